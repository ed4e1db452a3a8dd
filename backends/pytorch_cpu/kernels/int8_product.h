// The int8 matrix product: y = f((x · weightᵀ) * scale + offset), x bytes [tokens, inputs], weight int8 [outputs,
// inputs], sums in int32, f nothing or GELU, y in any encoding.
//
// Or it is added to y, bfloat16 in blocks of channels: the residual stream (stream_norm.h).
//
// x lies in blocks of 64 inputs, so that the rows of a block of sums are lines in a row. A panel of 32 outputs stays in
// the first-level cache and is walked over all rows of x that the second level holds, while the next panel is fetched;
// if it has more inputs than that cache holds, the sums are reloaded between its parts. An instruction set brings its
// own block of sums (*_blocks.h). The sums of a block are stored with those of the next one.
#pragma once
#include <omp.h>

#include <algorithm>

#include "activation.h"
#include "gelu.h"
#include "panel_rows.h"
#if defined(__AMX_INT8__)
#include "tile_blocks.h"
#elif defined(__ARM_FEATURE_DOTPROD)
#include "pair_blocks.h"
#elif defined(__AVX512VNNI__)
#include "vector_blocks.h"
#elif defined(BOUNDED_GROUPS)
#include "byte_blocks.h"
#else
#include "word_blocks.h"
#endif

constexpr int64_t kCachedBytes = 1 << 20;  // of x, that stay in the second-level cache next to panels

// Sums that are still to be stored, a row of a block at a time.
template <ElementType kType, bool kGelu, bool kAdds>
struct PendingBlock {
  static constexpr bool kIsBytes = kType == kUint8 || kType == kInt8;
  static constexpr int64_t kBytes = kType == kFloat ? 4 : kType == kBfloat16 ? 2 : 1;
  static constexpr int64_t kVectors = kPanel / kWidth, kTogether = kVectors < 4 ? kVectors : 4;  // in GELU
  const int32_t* sums;
  uint8_t* to[2];       // the first row's halves in y
  int64_t row_bytes;
  int64_t row = 0, rows = 0;  // the next to store, and of the block
  Floats scale[kVectors], offset[kVectors], multiplier[kVectors];
  float zero_point;

  inline void begin(const int32_t* found, int64_t count, const Int8Weights& weights, const Activation& y,
                    int64_t token, int64_t output) {
    sums = found;
    row_bytes = y.row_stride * kBytes;
    row = 0;
    rows = count;
    zero_point = (float)y.zero_point;
#pragma GCC unroll 2
    for (int64_t half = 0; half < 2; half++)
      to[half] = (uint8_t*)y.data + place(y, token, output + half * kPanel / 2) * kBytes;
#pragma GCC unroll 2
    for (int64_t i = 0; i < kVectors; i++) {
      const int64_t channel = output + i * kWidth;
      scale[i] = load_floats(weights.scale + channel);
      offset[i] = load_floats(weights.offset + channel);
      if (kIsBytes) multiplier[i] = load_floats(y.multiplier + channel);
      if (kIsBytes && !kGelu) {  // one multiplication instead of two
        scale[i] *= multiplier[i];
        offset[i] = offset[i] * multiplier[i] + zero_point;
      }
    }
  }

  // Stores at most `count` rows.
  inline void advance(int64_t count) {
    for (const int64_t end = std::min(row + count, rows); row < end; row++) {
      Floats x[kVectors];
#pragma GCC unroll 8
      for (int64_t i = 0; i < kVectors; i++)
        x[i] = to_floats(load<Int32s>(sums_at(sums, row, i * kWidth))) * scale[i] + offset[i];
#pragma GCC unroll 2
      for (int64_t i = 0; i < kVectors && kGelu; i += kTogether) gelu<kTogether>(x + i);
#pragma GCC unroll 8
      for (int64_t i = 0; i < kVectors && kGelu && kIsBytes; i++) x[i] = x[i] * multiplier[i] + zero_point;
      uint8_t* at = to[0] + row * row_bytes;
#pragma GCC unroll 8
      for (int64_t i = 0; i < kVectors && kAdds; i++) x[i] += load_floats((const uint16_t*)at + i * kWidth);
      if (kType == kFloat) {
#pragma GCC unroll 8
        for (int64_t i = 0; i < kVectors; i++)
          store(to[2 * i / kVectors] + row * row_bytes + i % (kVectors / 2) * sizeof(Floats), x[i]);
      } else if (kType == kBfloat16) {
        store_as_bfloat16(at, x);
      } else {
        store_as_bytes(at, x, kType == kInt8);
      }
    }
  }
};

// Rows [first, first + rows) of y by panels [from, until).
template <ElementType kType, bool kGelu, bool kAdds>
inline void multiply_chunk(const Activation& x, const Int8Weights& weights, int64_t first, int64_t rows, int64_t from,
                           int64_t until, const Activation& to) {
  static thread_local Scratch<int32_t> scratch;
  constexpr int64_t kSums = kBlockRows * kPanel;
  const int64_t blocks = (rows + kBlockRows - 1) / kBlockRows, depth = weights.inputs / kDepth;
  const int64_t parts = (depth + kMostSteps - 1) / kMostSteps;
  int32_t* partial = scratch.reserve((blocks + 2) * kSums);  // of each block, between the parts of a panel
  int32_t* finished = partial + blocks * kSums;              // of two blocks in turn
  PendingBlock<kType, kGelu, kAdds> pending{};
  const int64_t y_stride = to.row_stride * pending.kBytes;
  for (int64_t panel = from; panel < until; panel++) {
    for (int64_t part = 0; part < parts; part++) {
      const int64_t start = depth * part / parts, steps = depth * (part + 1) / parts - start;
      const int8_t* here = weights.panels + (panel * depth + start) * 2 * kTileBytes;
      const bool is_last = part == parts - 1;
      const int64_t lines = panel + 1 == until && is_last ? 0 : 2 * steps * kTileBytes / 64;
      Fetch next{here + 2 * steps * kTileBytes, 64, lines, (lines + blocks * steps - 1) / (blocks * steps)};
      for (int64_t block = 0; block < blocks; block++) {
        const int64_t begin = first_row(block, blocks, rows), row = first + begin;
        const int64_t count = std::min(first_row(block + 1, blocks, rows), rows) - begin;
        int32_t* sums = is_last ? finished + block % 2 * kSums : partial + block * kSums;
        const void* y = (const uint8_t*)to.data + place(to, row, panel * kPanel) * pending.kBytes;
        const int64_t y_lines = is_last ? count : 0;
        const uint8_t* lines_of_x = (const uint8_t*)x.data + row * kDepth + start * x.block_stride;
        const int32_t* previous = part ? partial + block * kSums : nullptr;
        multiply_block(lines_of_x, count, x.block_stride, here, steps, previous, sums, pending, next,
                       {y, y_stride, y_lines, (kBlockRows + steps - 1) / steps});
        if (is_last) pending.begin(sums, count, weights, to, row, panel * kPanel);
      }
    }
  }
  pending.advance(kBlockRows);
}

// y[rows, outputs]. Rows of x are divided into chunks that the cache holds; threads share chunks × panels evenly.
template <ElementType kType, bool kGelu, bool kAdds = false>
void int8_product(const Activation& x, int64_t rows, const Int8Weights& weights, const Activation& to) {
  const int64_t most = std::max(kBlockRows, kCachedBytes / weights.inputs / kBlockRows * kBlockRows);
  const int64_t parts = (rows + most - 1) / most;
  const int64_t each = round_up((rows + parts - 1) / parts, kBlockRows);
  const int64_t chunks = (rows + each - 1) / each, panels = weights.outputs / kPanel;
#pragma omp parallel
  {
    begin_products();
    const int64_t threads = omp_get_num_threads(), thread = omp_get_thread_num();
    int64_t at = chunks * panels * thread / threads;
    for (const int64_t end = chunks * panels * (thread + 1) / threads; at < end;) {
      const int64_t chunk = at / panels, from = at % panels, until = std::min(panels, from + end - at);
      const int64_t first = chunk * each, count = std::min(each, rows - first);
      multiply_chunk<kType, kGelu, kAdds>(x, weights, first, count, from, until, to);
      at += until - from;
    }
    end_products();
  }
}
