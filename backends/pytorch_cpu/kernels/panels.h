// The weight of int8_product.h as its blocks of sums read it, and the lines that they fetch early.
#pragma once
#include <cstdint>

struct Int8Weights {
  const int8_t* panels;  // [outputs / 32][inputs / 64][2][a half of a tile, as a block reads it]
  const float* scale;    // [outputs]
  const float* offset;   // [outputs], zero point of x included
  int64_t inputs, outputs;
};

constexpr int64_t kPanel = 32;        // outputs of a panel
constexpr int64_t kDepth = 64;        // inputs of a tile, and of a block of x
constexpr int64_t kTileBytes = 1024;  // of a half: 16 outputs by 64 inputs; [16][16][4] unless a block says otherwise

// Lines that are fetched into the second-level cache during the products, a few a step.
struct Fetch {
  const void* at;
  int64_t stride, lines, per_step;  // bytes between lines, lines left

  inline void advance() {
    for (int64_t i = 0; i < per_step && lines > 0; i++, lines--, at = (const char*)at + stride)
      __builtin_prefetch(at, 0, 2);
  }
};
