// Sums of products of bytes in AVX2, four of them in 16 bits: exact for weights with bounded groups
// (backends/quantization/bounded_groups.py), for byte_blocks.h and chain.h.
//
// vpmaddubsw multiplies bytes, and adds two products in 16 bits. Of such weights four stay within them, so that two of
// its results are added before they are widened: five instructions for 64 products, where word_products.h has eight.
#pragma once
#include "half_rows.h"

// Four products of bytes in each lane of 32 bits, as two sums of 16 bits.
inline __m256i multiply_bytes(__m256i x, __m256i weight) { return _mm256_maddubs_epi16(x, weight); }
inline __m256i add_words(__m256i sums, __m256i words) {
  return _mm256_add_epi32(sums, _mm256_madd_epi16(words, _mm256_set1_epi16(1)));
}

// sums += kCount rows of x, each `stride` after the one before, by the weight of 16 outputs, [inputs / 4][16][4].
template <int kCount>
inline void add_products(const uint8_t* x, int64_t stride, const int8_t* weight, int64_t inputs,
                         __m256i (&sums)[kCount][2]) {
  // Not unrolled: GCC would copy sums between registers.
#pragma GCC unroll 1
  for (int64_t k = 0; k < inputs; k += 8, weight += 128) {
#pragma GCC unroll 4
    for (int r = 0; r < kCount; r++) {
      int32_t fours[2];
      memcpy(fours, x + r * stride + k, sizeof fours);
      const __m256i first = _mm256_set1_epi32(fours[0]), second = _mm256_set1_epi32(fours[1]);
#pragma GCC unroll 2
      for (int i = 0; i < 2; i++) {
        const __m256i words = _mm256_add_epi16(multiply_bytes(first, load<__m256i>(weight + i * 32)),
                                               multiply_bytes(second, load<__m256i>(weight + 64 + i * 32)));
        sums[r][i] = add_words(sums[r][i], words);
      }
    }
  }
}
