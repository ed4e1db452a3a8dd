// A chain of small int8 matrix products over blocks of tokens: what a product writes stays in the cache for the next
// one, and what stands between two products (scales, residual sums, relu, rounding to bytes) is done where its sums are
// stored. For models with many narrow products, as MobileBERT, passes over memory would take longer than multiplying.
//
// Weights lie in panels of kPanel outputs. A product multiplies kUnit rows by a panel at a time, in AMX tiles, in
// VNNI's vectors, or in AVX2's (word_products.h, byte_products.h). It stores int32 sums that the epilogue reads back
// from the first-level cache.
#pragma once
#include <algorithm>

#include "activation.h"
#include "tiles.h"
#if defined(BOUNDED_GROUPS)
#include "byte_products.h"
#else
#include "word_products.h"
#endif

enum StepKind : int32_t {
  kRelu = 0,      // bytes = round(relu(y) + zero point)
  kNarrow = 1,    // narrow = y + narrow * residual, and its bytes
  kStream = 2,    // stream = y + stream * residual, and its bytes if another product follows
  kWide = 3,      // wide = y, as bfloat16; the last of a chain
};

struct Step {  // y = (x · weightᵀ) * scale + offset
  const int8_t* panels;
  const float* scale;       // [outputs]; all factors that do not depend on the token are in it
  const float* offset;      // [outputs]
  const float* residual;    // [outputs]
  const float* multiplier;  // [outputs], of the bytes; null: none are stored
  int64_t inputs, outputs;
  int32_t kind;
  int32_t zero_point;  // of the bytes
};

struct Tokens {
  const uint8_t* bytes;  // [T, inputs of the first product]
  float* stream;         // [T, stream_width]
  uint16_t* wide;        // [T, wide_width], bfloat16; its last columns are `narrow` before the first product
  int64_t tokens, stream_width, wide_width, narrow_width;  // T is a multiple of kUnit
};

#if defined(__AMX_INT8__)
constexpr int64_t kUnit = 32, kPanel = 32;

// Panels: [outputs / 32][inputs / 64][2][16][16][4].
inline void multiply_unit(const uint8_t* x, int64_t inputs, const int8_t* panel, int32_t* sums) {
  constexpr int64_t kTile = 1024, kRowBytes = kPanel * 4;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t k = 0; k < inputs; k += 64, panel += 2 * kTile) {
    _tile_loadd(4, x + k, inputs);
    _tile_loadd(6, panel, 64);
    _tile_dpbusd(0, 4, 6);
    _tile_loadd(7, panel + kTile, 64);
    _tile_dpbusd(1, 4, 7);
    _tile_loadd(5, x + 16 * inputs + k, inputs);
    _tile_dpbusd(2, 5, 6);
    _tile_dpbusd(3, 5, 7);
  }
  _tile_stored(0, sums, kRowBytes);
  _tile_stored(1, sums + 16, kRowBytes);
  _tile_stored(2, sums + 16 * kPanel, kRowBytes);
  _tile_stored(3, sums + 16 * kPanel + 16, kRowBytes);
}
inline void begin_products() { configure_tiles(); }
inline void end_products() { _tile_release(); }
#elif defined(__AVX512VNNI__)
constexpr int64_t kUnit = 6, kPanel = 64;

// Panels: [outputs / 64][inputs / 4][64][4].
inline void multiply_unit(const uint8_t* x, int64_t inputs, const int8_t* panel, int32_t* to) {
  constexpr int kVectors = kPanel / kWidth;
  __m512i sums[kUnit][kVectors] = {};
  for (int64_t k = 0; k < inputs; k += 4, panel += kPanel * 4) {
#pragma GCC unroll 8
    for (int r = 0; r < kUnit; r++) {
      int32_t four;
      memcpy(&four, x + r * inputs + k, 4);
      const __m512i row = _mm512_set1_epi32(four);
#pragma GCC unroll 4
      for (int c = 0; c < kVectors; c++)
        sums[r][c] = _mm512_dpbusd_epi32(sums[r][c], row, load<__m512i>(panel + c * 64));
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kUnit; r++) {
#pragma GCC unroll 4
    for (int c = 0; c < kVectors; c++) store(to + r * kPanel + c * kWidth, sums[r][c]);
  }
}
inline void begin_products() {}
inline void end_products() {}
#elif defined(BOUNDED_GROUPS)
constexpr int64_t kUnit = 6, kPanel = 32;

// Panels: [outputs / 32][2][inputs / 4][16][4].
inline void multiply_unit(const uint8_t* x, int64_t inputs, const int8_t* panel, int32_t* to) {
  constexpr int64_t kRows = kUnit / 2;  // whose sums stay in registers
  for (int64_t half = 0; half < 2; half++) {
    for (int64_t row = 0; row < kUnit; row += kRows) {
      __m256i sums[kRows][2] = {};
      add_products<kRows>(x + row * inputs, inputs, panel + half * 16 * inputs, inputs, sums);
      store_sums<kRows>(sums, to + row * kPanel + half * 16, kPanel);
    }
  }
}
inline void begin_products() {}
inline void end_products() {}
#else
constexpr int64_t kUnit = 6, kPanel = 32;

// Panels: [outputs / 32][2][inputs / 2][16][2].
inline void multiply_unit(const uint8_t* x, int64_t inputs, const int8_t* panel, int32_t* to) {
  static thread_local Scratch<uint16_t> scratch;
  uint16_t* words = scratch.reserve(kUnit * inputs);
  for (int64_t i = 0; i < kUnit * inputs; i += 16) store(words + i, widened(x + i));
  for (int64_t half = 0; half < 2; half++) {
    __m256i sums[kUnit][2] = {};
    add_products<kUnit>(words, inputs, panel + half * 16 * inputs, inputs, sums);
    store_sums<kUnit>(sums, to + half * 16, kPanel);
  }
}
inline void begin_products() {}
inline void end_products() {}
#endif

constexpr int64_t kBlockRows = 96;  // of tokens, whose activations the caches hold next to a layer's weights

// Stores a unit's sums. `out` and `accumulated` are those of the unit's first row and the panel's first output.
template <StepKind kind>
inline void store_unit(const int32_t* sums, const Step& step, int64_t output, uint8_t* bytes, float* accumulated,
                       int64_t accumulated_stride, uint16_t* wide, int64_t wide_stride) {
  const Floats zero_point = broadcast((float)step.zero_point);
  for (int64_t c = 0; c < kPanel; c += kWidth) {
    const Floats scale = load_floats(step.scale + output + c), offset = load_floats(step.offset + output + c);
    const Floats residual = kind == kNarrow || kind == kStream ? load_floats(step.residual + output + c) : Floats{};
    const Floats multiplier = step.multiplier ? load_floats(step.multiplier + output + c) : Floats{};
#pragma GCC unroll 2
    for (int64_t r = 0; r < kUnit; r++) {
      Floats y = to_floats(load<Int32s>(sums + r * kPanel + c)) * scale + offset;
      if (kind == kWide) {
        store(wide + r * wide_stride + c, demote_to_bfloat16(y));
      } else if (kind == kRelu) {
        store(bytes + r * step.outputs + c, round_to_uint8(maximum(y, broadcast(0.0f)) + zero_point));
      } else {
        float* at = accumulated + r * accumulated_stride + c;
        y = y + load_floats(at) * residual;
        store(at, y);
        if (step.multiplier) store(bytes + r * step.outputs + c, round_to_uint8(y * multiplier + zero_point));
      }
    }
  }
}

template <StepKind kind>
inline void run_step(const Step& step, const uint8_t* x, int64_t rows, uint8_t* bytes, float* accumulated,
                     int64_t accumulated_stride, uint16_t* wide, int64_t wide_stride) {
  alignas(64) int32_t sums[kUnit * kPanel];
  for (int64_t output = 0; output < step.outputs; output += kPanel) {
    const int8_t* panel = step.panels + output * step.inputs;
    for (int64_t row = 0; row < rows; row += kUnit) {
      multiply_unit(x + row * step.inputs, step.inputs, panel, sums);
      store_unit<kind>(sums, step, output, bytes + row * step.outputs + output,
                       accumulated + row * accumulated_stride + output, accumulated_stride,
                       wide + row * wide_stride + output, wide_stride);
    }
  }
}

// All steps for one block of rows, the first of which is token `first`.
inline void run_block(const Step* steps, int64_t count, const Tokens& all, int64_t first, int64_t rows) {
  static thread_local Scratch<uint8_t> byte_scratch;
  static thread_local Scratch<float> narrow_scratch;
  int64_t widest = 0;
  for (int64_t i = 0; i < count; i++) widest = std::max(widest, steps[i].outputs);
  uint8_t* buffers = byte_scratch.reserve(2 * kBlockRows * widest);
  float* narrow = narrow_scratch.reserve(kBlockRows * all.narrow_width);
  float* stream = all.stream + first * all.stream_width;
  uint16_t* wide = all.wide + first * all.wide_width;
  if (steps[0].kind == kNarrow) {
    const uint16_t* residual = wide + all.wide_width - all.narrow_width;
    for (int64_t r = 0; r < rows; r++)
      for (int64_t c = 0; c < all.narrow_width; c += kWidth)
        store(narrow + r * all.narrow_width + c, load_floats(residual + r * all.wide_width + c));
  }
  const uint8_t* x = all.bytes + first * steps[0].inputs;
  for (int64_t i = 0; i < count; i++) {
    uint8_t* bytes = buffers + i % 2 * kBlockRows * widest;
    const auto run = [&](auto kernel, float* accumulated, int64_t stride) {
      kernel(steps[i], x, rows, bytes, accumulated, stride, wide, all.wide_width);
    };
    switch (steps[i].kind) {
      case kRelu: run(run_step<kRelu>, narrow, all.narrow_width); break;
      case kNarrow: run(run_step<kNarrow>, narrow, all.narrow_width); break;
      case kStream: run(run_step<kStream>, stream, all.stream_width); break;
      default: run(run_step<kWide>, narrow, all.narrow_width);
    }
    x = bytes;
  }
}

inline void run_chain(const Step* steps, int64_t count, const Tokens& all) {
#pragma omp parallel
  {
    begin_products();
#pragma omp for schedule(static)
    for (int64_t first = 0; first < all.tokens; first += kBlockRows)
      run_block(steps, count, all, first, std::min(kBlockRows, all.tokens - first));
    end_products();
  }
}
