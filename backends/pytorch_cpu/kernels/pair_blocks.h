// A block of sums on ARM, for int8_product.h: 6 tokens × 32 outputs, by pairs of rows (row_pairs.h); x is int8.
//
// Sums of 3 pairs of tokens by 8 pairs of outputs stay in registers for a half of the panel: 11 loads feed 24 products.
#pragma once
#include "panels.h"
#include "row_pairs.h"
#include "simd.h"

constexpr int64_t kBlockRows = 6;   // tokens of a block of sums
constexpr int64_t kMostSteps = 16;  // tiles along the inputs of a panel that stays in the first-level cache
constexpr int kOutputPairs = 8;     // of a half

inline void begin_products() {}
inline void end_products() {}

// The first row of a block of rows. All are even, so the token after the last one lies where x has storage.
inline int64_t first_row(int64_t block, int64_t, int64_t) { return block * kBlockRows; }

// A block's sums are [kBlockRows][kPanel].
inline const int32_t* sums_at(const int32_t* sums, int64_t row, int64_t channel) {
  return sums + row * kPanel + channel;
}

// sums = previous, if any, + kPairs pairs of rows of x by `steps` tiles of a panel, 16 outputs of them. A tile has
// [64 / 8][8 pairs of outputs][2][8].
template <int kPairs>
inline void multiply_half(const int8_t* x, int64_t block_bytes, const int8_t* panel, int64_t steps,
                          const int32_t* previous, int32_t* sums, Fetch& next, Fetch& y) {
  int32x4_t found[kPairs][kOutputPairs] = {};
  if (previous) {
#pragma GCC unroll 3
    for (int r = 0; r < kPairs; r++) {
#pragma GCC unroll 4
      for (int o = 0; o < kOutputPairs; o += 2) {
        const int32_t* at = previous + 2 * r * kPanel + 2 * o;
        const int32x4_t first = vld1q_s32(at), second = vld1q_s32(at + kPanel);
        found[r][o] = join_starts(first, second);
        found[r][o + 1] = join_ends(first, second);
      }
    }
  }
  for (; steps > 0; steps--, x += block_bytes, panel += 2 * kTileBytes) {
    next.advance();
    y.advance();
    const int8_t *row = x, *weights = panel;
#pragma GCC unroll 1
    for (; row < x + kDepth; row += 8, weights += 16 * kOutputPairs) {
      int8x16_t rows[kPairs];
#pragma GCC unroll 3
      for (int r = 0; r < kPairs; r++)
        rows[r] = vcombine_s8(vld1_s8(row + 2 * r * kDepth), vld1_s8(row + (2 * r + 1) * kDepth));
#pragma GCC unroll 8
      for (int o = 0; o < kOutputPairs; o++) {
        const int8x16_t pair = vld1q_s8(weights + 16 * o);
#pragma GCC unroll 3
        for (int r = 0; r < kPairs; r++) found[r][o] = multiply_pairs(found[r][o], rows[r], pair);
        __asm__ volatile("" : : : "memory");  // GCC would load all weights first, for which no registers are left
      }
    }
  }
#pragma GCC unroll 3
  for (int r = 0; r < kPairs; r++) {
#pragma GCC unroll 4
    for (int o = 0; o < kOutputPairs; o += 2) {
      int32_t* at = sums + 2 * r * kPanel + 2 * o;
      vst1q_s32(at, join_starts(found[r][o], found[r][o + 1]));
      vst1q_s32(at + kPanel, join_ends(found[r][o], found[r][o + 1]));
    }
  }
}

template <int kPairs>
__attribute__((noinline)) void multiply_rows(const int8_t* x, int64_t block_bytes, const int8_t* panel, int64_t steps,
                                             const int32_t* previous, int32_t* sums, Fetch& next, Fetch& y) {
  for (int64_t half = 0; half < 2; half++)
    multiply_half<kPairs>(x, block_bytes, panel + half * kTileBytes, steps, previous ? previous + half * 16 : nullptr,
                          sums + half * 16, next, y);
}

// The same for `rows` rows, at most kBlockRows; the sums of the block before are stored first.
template <class Pending>
inline void multiply_block(const uint8_t* x, int64_t rows, int64_t block_bytes, const int8_t* panel, int64_t steps,
                           const int32_t* previous, int32_t* sums, Pending& pending, Fetch& next, Fetch y) {
  // Not a static table: GCC makes those of templates one for all libraries of a process, that of i8mm for dotprod, too.
  const auto multiply = rows > 4 ? multiply_rows<3> : rows > 2 ? multiply_rows<2> : multiply_rows<1>;
  pending.advance(kBlockRows);
  multiply((const int8_t*)x, block_bytes, panel, steps, previous, sums, next, y);
}
