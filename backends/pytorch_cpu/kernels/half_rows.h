// Sums of rows by 16 outputs in AVX2's vectors: word_products.h, byte_products.h.
#pragma once
#include "simd.h"

// From or to rows of int32, each `stride` after the one before.
template <int kCount>
inline void load_sums(const int32_t* from, int64_t stride, __m256i (&sums)[kCount][2]) {
#pragma GCC unroll 6
  for (int r = 0; r < kCount; r++)
    for (int i = 0; i < 2; i++) sums[r][i] = load<__m256i>(from + r * stride + i * 8);
}

template <int kCount>
inline void store_sums(const __m256i (&sums)[kCount][2], int32_t* to, int64_t stride) {
#pragma GCC unroll 6
  for (int r = 0; r < kCount; r++)
    for (int i = 0; i < 2; i++) store(to + r * stride + i * 8, sums[r][i]);
}
