// Blocks of four neighbouring inputs of one output: what one lane of a dot-product instruction multiplies.
//
// A panel is [inputs / 4][kTokens][4] bytes, so that a block reads one row of it. Each row that is loaded feeds one
// instruction, so the first-level cache is what limits the speed. Outputs with about as many blocks are computed
// together, which hides the instruction's latency; each group of them is filled up with zero blocks to the same number.
#pragma once
#include "sparse_product.h"

constexpr int kTogether = kWidth == 16 ? 8 : 4;             // outputs at a time: their sums stay in registers
constexpr int kInputsVectors = 2;                           // of tokens in a panel: with 1,024 inputs it stays in 48 KiB
constexpr int64_t kInputsTokens = kInputsVectors * kWidth;  // of a panel

// A block of each of kTogether outputs. Places are so small that one load brings four.
struct InputStep {
  uint16_t rows[kTogether];    // of the part's panel, in bytes
  int32_t weights[kTogether];  // four of int8 each
};

// Adds `count` steps of kTogether outputs to their sums at `to`, kCount vectors of tokens each, or starts them; returns
// the steps that follow.
template <int kCount>
inline const InputStep* multiply_inputs(const uint8_t* panel, const InputStep* step, int64_t count, bool starts,
                                        int32_t* const* to) {
  Int32s sums[kTogether][kCount] = {};
  if (!starts) {
#pragma GCC unroll 8
    for (int o = 0; o < kTogether; o++)
#pragma GCC unroll 4
      for (int v = 0; v < kCount; v++) sums[o][v] = load<Int32s>(to[o] + v * kWidth);
  }
  for (const InputStep* end = step + count; step < end; step++) {
#pragma GCC unroll 8
    for (int o = 0; o < kTogether; o++) {
      uint64_t four;
      memcpy(&four, step->rows + o / 4 * 4, sizeof four);
      const uint8_t* row = panel + (uint16_t)(four >> 16 * (o % 4));
#pragma GCC unroll 4
      for (int v = 0; v < kCount; v++)
        sums[o][v] = dot(sums[o][v], load<Int32s>(row + v * sizeof(Int32s)), step->weights[o]);
    }
  }
#pragma GCC unroll 8
  for (int o = 0; o < kTogether; o++)
#pragma GCC unroll 4
    for (int v = 0; v < kCount; v++) store(to[o] + v * kWidth, sums[o][v]);
  return step;
}

// sums[chunk_outputs][kInputsTokens] of a chunk of outputs. A function of its own: within a larger one, the loops'
// bounds do not stay in registers.
template <int kCount>
__attribute__((noinline)) void multiply_inputs_chunk(const uint32_t* panel, const SparseWeights& weights,
                                                     int64_t chunk, const Ahead& next, int32_t* sums) {
  const int64_t groups = weights.chunk_outputs / kTogether;
  for (int64_t part = 0; part < weights.parts; part++) {
    const int64_t segment = chunk * weights.parts + part;
    const uint8_t* rows = (const uint8_t*)(panel + part * weights.part_rows * kInputsTokens);
    const InputStep* step = (const InputStep*)weights.steps + weights.starts[segment];
    const int32_t* counts = weights.counts + segment * groups;
    const int32_t* places = weights.places + segment * weights.chunk_outputs;
    for (int64_t g = 0; g < groups; g++, places += kTogether) {
      int32_t* to[kTogether];
#pragma GCC unroll 8
      for (int o = 0; o < kTogether; o++) to[o] = sums + places[o] * kInputsTokens;
      step = multiply_inputs<kCount>(rows, step, counts[g], part == 0, to);
      if (part == 0) next.x.fetch<0>(g, groups);
      if (part == weights.parts - 1) next.y.fetch<1>(g, groups);
    }
  }
}

// places: [chunk_outputs], of the outputs.
struct Inputs {
  static constexpr int64_t kTokens = kInputsTokens;

  static inline void transpose(uint32_t* panel, const uint8_t* x, int64_t tokens, int64_t inputs) {
    transpose_panel<kTokens>(panel, x, tokens, inputs);
  }

  // sums[chunk_outputs][kTokens] of a chunk of outputs, for the `count` tokens of a panel.
  static inline void multiply(const uint32_t* panel, const SparseWeights& weights, int64_t chunk, const Ahead& next,
                              int64_t count, int32_t* sums) {
    count <= kWidth ? multiply_inputs_chunk<1>(panel, weights, chunk, next, sums)
                      : multiply_inputs_chunk<kInputsVectors>(panel, weights, chunk, next, sums);
  }
};
