// A block of sums in AVX-512 vectors, for int8_product.h: 12 tokens × 32 outputs, by VNNI.
//
// Outputs lie in the lanes. Four inputs of a token are broadcast to both vectors of the weight: 14 loads feed 24
// products, few enough to cost nothing. The sums stay in registers for a whole panel.
#pragma once
#include "simd.h"
#include "vector_rows.h"

constexpr int64_t kBlockRows = 12;  // tokens of a block of sums
constexpr int64_t kMostSteps = 8;   // tiles along the inputs of a panel that stays in the first-level cache

// sums = previous, if any, + kCount rows of x by `steps` tiles of a panel.
template <int kCount>
__attribute__((noinline)) void multiply_rows(const uint8_t* x, int64_t block_bytes, const int8_t* panel, int64_t steps,
                                             const int32_t* previous, int32_t* sums, Fetch& next, Fetch& y) {
  __m512i found[kCount][2] = {};
  if (previous) {
#pragma GCC unroll 12
    for (int r = 0; r < kCount; r++)
      for (int half = 0; half < 2; half++) found[r][half] = load<__m512i>(sums_at(previous, r, half * 16));
  }
  for (; steps > 0; steps--, x += block_bytes, panel += 2 * kTileBytes) {
    next.advance();
    y.advance();
    // Not unrolled, and each sum in its register at the end of a round: GCC would copy sums between registers.
#pragma GCC unroll 1
    for (int k = 0; k < 16; k++) {
      const __m512i first = load<__m512i>(panel + k * 64), second = load<__m512i>(panel + kTileBytes + k * 64);
#pragma GCC unroll 12
      for (int r = 0; r < kCount; r++) {
        int32_t four;
        memcpy(&four, x + r * kDepth + k * 4, sizeof four);
        const __m512i row = _mm512_set1_epi32(four);
        found[r][0] = _mm512_dpbusd_epi32(found[r][0], row, first);
        found[r][1] = _mm512_dpbusd_epi32(found[r][1], row, second);
      }
#pragma GCC unroll 12
      for (int r = 0; r < kCount; r++) __asm__("" : "+v"(found[r][0]), "+v"(found[r][1]));
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < kCount; r++)
    for (int half = 0; half < 2; half++) store(sums + r * kPanel + half * 16, found[r][half]);
}

// By the number of rows. Not in the template below: GCC makes static tables of templates one for all libraries of a
// process, whatever their instructions.
constexpr decltype(&multiply_rows<1>) kByRows[] = {
    multiply_rows<1>, multiply_rows<2>, multiply_rows<3>, multiply_rows<4>, multiply_rows<5>, multiply_rows<6>,
    multiply_rows<7>, multiply_rows<8>, multiply_rows<9>, multiply_rows<10>, multiply_rows<11>, multiply_rows<12>};

// The same for `rows` rows, at most kBlockRows; the sums of the block before are stored first.
template <class Pending>
inline void multiply_block(const uint8_t* x, int64_t rows, int64_t block_bytes, const int8_t* panel, int64_t steps,
                           const int32_t* previous, int32_t* sums, Pending& pending, Fetch& next, Fetch y) {
  pending.advance(kBlockRows);
  kByRows[rows - 1](x, block_bytes, panel, steps, previous, sums, next, y);
}
