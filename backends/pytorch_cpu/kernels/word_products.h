// Exact sums of products of bytes in AVX2, for word_blocks.h and chain.h.
//
// Before VNNI x86 multiplies bytes by adding two products in 16 bits, where they saturate (vpmaddubsw, which libraries
// use there): the answers are wrong. Widened to 16 bits they are exact, and on AMD's Zen 3 no slower. Rows of x are
// widened before, the weight's bytes as they are loaded. Two inputs of a row are broadcast to both vectors of 16
// outputs, so that 6 × 2 sums, the weight and two operands fill the 16 registers.
#pragma once
#include "half_rows.h"

inline __m256i widened(const uint8_t* x) { return _mm256_cvtepu8_epi16(load<__m128i>(x)); }
inline __m256i widened(const int8_t* x) { return _mm256_cvtepi8_epi16(load<__m128i>(x)); }

// sums += kCount rows of x, each `stride` after the one before, by the weight of 16 outputs, [inputs / 2][16][2].
template <int kCount>
inline void add_products(const uint16_t* x, int64_t stride, const int8_t* weight, int64_t inputs,
                         __m256i (&sums)[kCount][2]) {
  // Not unrolled: GCC would copy sums between registers.
#pragma GCC unroll 1
  for (int64_t k = 0; k < inputs; k += 2, weight += 32) {
    const __m256i first = widened(weight), second = widened(weight + 16);
#pragma GCC unroll 6
    for (int r = 0; r < kCount; r++) {
      int32_t two;
      memcpy(&two, x + r * stride + k, sizeof two);
      const __m256i row = _mm256_set1_epi32(two);
      sums[r][0] = _mm256_add_epi32(sums[r][0], _mm256_madd_epi16(row, first));
      sums[r][1] = _mm256_add_epi32(sums[r][1], _mm256_madd_epi16(row, second));
    }
  }
}
