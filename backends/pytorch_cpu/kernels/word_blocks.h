// A block of sums in AVX2 vectors, for int8_product.h: 6 tokens × 32 outputs, by products of pairs of 16-bit integers.
//
// Before VNNI x86 multiplies bytes by adding two products in 16 bits, where they saturate (vpmaddubsw, which libraries
// use there): the answers are wrong. Widened to 16 bits they are exact, and on AMD's Zen 3 no slower. A token's bytes
// are widened once for the panel, the weight's as they are loaded. Two inputs of a token are broadcast to both vectors
// of a half of the panel, so that 6 × 2 sums, the weight and two operands fill the 16 registers.
#pragma once
#include "simd.h"
#include "vector_rows.h"

constexpr int64_t kBlockRows = 6;  // tokens of a block of sums
constexpr int64_t kMostSteps = 8;  // tiles along the inputs of a panel that stays in the first-level cache

inline __m256i widened(const uint8_t* x) { return _mm256_cvtepu8_epi16(load<__m128i>(x)); }
inline __m256i widened(const int8_t* x) { return _mm256_cvtepi8_epi16(load<__m128i>(x)); }

// sums = previous, if any, + kCount rows of x, [steps][kCount][kDepth], by `steps` tiles of a half of a panel. A tile
// has [64 / 2][2][8][2].
template <int kCount>
inline void multiply_half(const uint16_t* x, const int8_t* panel, int64_t steps, const int32_t* previous, int32_t* sums,
                          Fetch& next, Fetch& y) {
  __m256i found[kCount][2] = {};
  if (previous) {
#pragma GCC unroll 6
    for (int r = 0; r < kCount; r++)
      for (int i = 0; i < 2; i++) found[r][i] = load<__m256i>(sums_at(previous, r, i * 8));
  }
  for (; steps > 0; steps--, x += kCount * kDepth, panel += 2 * kTileBytes) {
    next.advance();
    y.advance();
#pragma GCC unroll 1
    for (int k = 0; k < kDepth; k += 2) {
      const __m256i first = widened(panel + k * 16), second = widened(panel + k * 16 + 16);
#pragma GCC unroll 6
      for (int r = 0; r < kCount; r++) {
        int32_t two;
        memcpy(&two, x + r * kDepth + k, sizeof two);
        const __m256i row = _mm256_set1_epi32(two);
        found[r][0] = _mm256_add_epi32(found[r][0], _mm256_madd_epi16(row, first));
        found[r][1] = _mm256_add_epi32(found[r][1], _mm256_madd_epi16(row, second));
      }
#pragma GCC unroll 6
      for (int r = 0; r < kCount; r++) __asm__("" : "+x"(found[r][0]), "+x"(found[r][1]));
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < kCount; r++)
    for (int i = 0; i < 2; i++) store(sums + r * kPanel + i * 8, found[r][i]);
}

template <int kCount>
__attribute__((noinline)) void multiply_rows(const uint8_t* x, int64_t block_bytes, const int8_t* panel, int64_t steps,
                                             const int32_t* previous, int32_t* sums, Fetch& next, Fetch& y) {
  alignas(64) uint16_t words[kMostSteps * kCount * kDepth];
  for (int64_t step = 0; step < steps; step++)
    for (int64_t i = 0; i < kCount * kDepth; i += 16)
      store(words + step * kCount * kDepth + i, widened(x + step * block_bytes + i));
  for (int64_t half = 0; half < 2; half++)
    multiply_half<kCount>(words, panel + half * kTileBytes, steps, previous ? previous + half * 16 : nullptr,
                          sums + half * 16, next, y);
}

// By the number of rows. Not in the template below: GCC makes static tables of templates one for all libraries of a
// process, whatever their instructions.
constexpr decltype(&multiply_rows<1>) kByRows[] = {
    multiply_rows<1>, multiply_rows<2>, multiply_rows<3>, multiply_rows<4>, multiply_rows<5>, multiply_rows<6>};

// The same for `rows` rows, at most kBlockRows; the sums of the block before are stored first.
template <class Pending>
inline void multiply_block(const uint8_t* x, int64_t rows, int64_t block_bytes, const int8_t* panel, int64_t steps,
                           const int32_t* previous, int32_t* sums, Pending& pending, Fetch& next, Fetch y) {
  pending.advance(kBlockRows);
  kByRows[rows - 1](x, block_bytes, panel, steps, previous, sums, next, y);
}
