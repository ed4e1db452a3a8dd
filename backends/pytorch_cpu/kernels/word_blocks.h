// A block of sums in AVX2 vectors, for int8_product.h: 6 tokens × 32 outputs, by word_products.h. A token's bytes are
// widened once for the panel.
#pragma once
#include "vector_rows.h"
#include "word_products.h"

constexpr int64_t kBlockRows = 6;  // tokens of a block of sums
constexpr int64_t kMostSteps = 8;  // tiles along the inputs of a panel that stays in the first-level cache

// sums = previous, if any, + kCount rows of x, [steps][kCount][kDepth], by `steps` tiles of a half of a panel. A tile
// has [64 / 2][16][2].
template <int kCount>
inline void multiply_half(const uint16_t* x, const int8_t* panel, int64_t steps, const int32_t* previous, int32_t* sums,
                          Fetch& next, Fetch& y) {
  __m256i found[kCount][2] = {};
  if (previous) load_sums<kCount>(previous, kPanel, found);
  for (; steps > 0; steps--, x += kCount * kDepth, panel += 2 * kTileBytes) {
    next.advance();
    y.advance();
    add_products<kCount>(x, kDepth, panel, kDepth, found);
  }
  store_sums<kCount>(found, sums, kPanel);
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
