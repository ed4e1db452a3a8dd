// The int8 matrix product in AMX tiles: y = f((x · weightᵀ) * scale + offset), x uint8 [tokens, inputs], weight int8
// [outputs, inputs], sums in int32, f nothing or GELU, y in any encoding.
//
// Four tiles of sums (32 tokens × 32 outputs) share two tiles of x and two of the weight, so each tile that is loaded
// feeds two products. A panel of 32 outputs is walked over all rows of x that the second-level cache holds, while the
// next panel is fetched. The sums of a block are stored during the products of the next block: tiles and vectors work
// at the same time. The last block of rows begins earlier instead of being shorter.
#pragma once
#include <omp.h>

#include <algorithm>

#include "activation.h"
#include "gelu.h"
#include "tiles.h"

struct Int8Weights {
  const int8_t* panels;  // [outputs / 32][inputs / 64][2][16][16][4]: outputs by 32, inputs by 64, then a tile's halves
  const float* scale;    // [outputs]
  const float* offset;   // [outputs], zero point of x included
  int64_t inputs, outputs;
};

constexpr int64_t kBlock = 32;             // tokens and outputs of a block of sums
constexpr int64_t kTileBytes = 1024;       // 16 rows of 64 bytes
constexpr int64_t kDepth = 64;             // inputs that a tile spans
constexpr int64_t kCachedBytes = 1 << 20;  // of x, that stay in the second-level cache next to two panels

// Memory that is fetched into the second-level cache during the products, a few places a step.
struct Fetch {
  const uint8_t* at;
  int64_t stride, count, per_step;  // bytes between places, places left, places a step

  inline void advance() {
    for (int64_t i = 0; i < per_step && count > 0; i++, count--, at += stride)
      _mm_prefetch((const char*)at, _MM_HINT_T1);
  }
};

// Sums that are still to be stored, two rows of a block at a time.
template <bool kGelu>
struct PendingBlock {
  const int32_t* sums;  // [32][32]
  const Int8Weights* weights;
  const Activation* to;
  int64_t token, output;  // of the first sum
  int64_t row, rows;      // next row and their number

  // Stores the next two rows, if there are any.
  inline void advance() {
    if (row >= rows) return;
    for (const int64_t end = std::min(row + 2, rows); row < end; row++) {
      const int64_t at = (token + row) * weights->outputs + output;
#pragma GCC unroll 2
      for (int64_t c = 0; c < kBlock; c += kWidth) {
        const int64_t channel = output + c;
        Floats x = to_floats(load<Int32s>(sums + row * kBlock + c));
        x = x * load_floats(weights->scale + channel) + load_floats(weights->offset + channel);
        if (kGelu) x = gelu(x);
        store_activation(*to, at + c, channel, x);
      }
    }
  }
};

// sums[32][32] = 32 rows of x times a panel of `steps` tiles; stores `pending` meanwhile, and fetches the next panel and
// the rows of y that these sums will be stored to: 32 lines far apart, which the processor does not foresee. Rows of x
// bypass the first-level cache, where the panel stays: reading both from the second level takes longer than multiplying
// them.
template <bool kGelu>
inline void multiply_block(const uint8_t* x, int64_t stride, const int8_t* panel, int64_t steps, int32_t* sums,
                           PendingBlock<kGelu>& pending, Fetch& panels, Fetch y) {
  constexpr int64_t kBytes = kBlock * 4;
  int32_t* lower = sums + 16 * kBlock;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  const int64_t idle = steps / 4;  // until the last block's sums have left the tiles
  const int64_t stores = (kBlock / 2 + steps - idle - 1) / (steps - idle);
  for (int64_t k = 0; k < steps; k++) {
    const int8_t* weights = panel + 2 * k * kTileBytes;
    _tile_stream_loadd(4, x + k * kDepth, stride);
    _tile_loadd(6, weights, 64);
    _tile_dpbusd(0, 4, 6);
    _tile_loadd(7, weights + kTileBytes, 64);
    _tile_dpbusd(1, 4, 7);
    _tile_stream_loadd(5, x + 16 * stride + k * kDepth, stride);
    _tile_dpbusd(2, 5, 6);
    _tile_dpbusd(3, 5, 7);
    panels.advance();
    y.advance();
    for (int64_t i = 0; k >= idle && i < stores; i++) pending.advance();  // all of them before the tiles are stored
  }
  _tile_stored(0, sums, kBytes);
  _tile_stored(1, sums + 16, kBytes);
  _tile_stored(2, lower, kBytes);
  _tile_stored(3, lower + 16, kBytes);
}

// All blocks of `tokens` >= 32 rows of x, which begin at row `first` of y, by one panel after another.
template <bool kGelu>
inline void multiply_rows(const uint8_t* x, int64_t first, int64_t tokens, const Int8Weights& weights,
                          int64_t panel_from, int64_t panel_to, int64_t stored, const Activation& to) {
  static thread_local Scratch<int32_t> scratch;
  const int64_t steps = weights.inputs / kDepth, panel_bytes = kBlock * weights.inputs;
  const int64_t blocks = (tokens + kBlock - 1) / kBlock;
  const int64_t lines = panel_bytes / 64, size = element_bytes(to);
  int32_t* sums = scratch.reserve(kBlock * kBlock);
  PendingBlock<kGelu> pending{sums, &weights, &to, 0, 0, 0, 0};
  for (int64_t panel = panel_from; panel < panel_to; panel++) {
    const int8_t* here = weights.panels + panel * panel_bytes;
    const int64_t next_lines = panel + 1 < panel_to ? lines : 0;
    Fetch next{(const uint8_t*)here + panel_bytes, 64, next_lines, (lines + blocks * steps - 1) / (blocks * steps)};
    for (int64_t block = 0; block < blocks; block++) {
      const int64_t row = std::min(block * kBlock, tokens - kBlock);
      const uint8_t* y = (const uint8_t*)to.data + ((first + row) * weights.outputs + panel * kBlock) * size;
      const bool is_new = size > 1 || panel % 2 == 0;  // of bytes, two panels share a line
      const Fetch rows{y, weights.outputs * size, is_new ? kBlock : 0, (kBlock + steps - 1) / steps};
      multiply_block(x + row * weights.inputs, weights.inputs, here, steps, sums, pending, next, rows);
      pending = {sums, &weights, &to, first + row, panel * kBlock, 0, stored};
    }
  }
  for (int64_t i = 0; i < kBlock / 2; i++) pending.advance();
}

// y[tokens, outputs]. Rows of x are divided into chunks that the cache holds; threads share chunks × panels evenly.
template <bool kGelu>
void int8_product(const uint8_t* x, int64_t tokens, const Int8Weights& weights, const Activation& to) {
  static thread_local Scratch<uint8_t> padded;
  const int64_t stored = std::min(tokens, kBlock);  // rows of a block
  if (tokens < kBlock) {
    uint8_t* rows = padded.reserve(kBlock * weights.inputs);
    memcpy(rows, x, tokens * weights.inputs);
    x = rows;
    tokens = kBlock;
  }
  const int64_t most = std::max(kBlock, kCachedBytes / weights.inputs / kBlock * kBlock);
  const int64_t parts = (tokens + most - 1) / most;
  const int64_t rows = round_up((tokens + parts - 1) / parts, kBlock);
  const int64_t chunks = (tokens - kBlock) / rows + 1;  // the last has at least a block
  const int64_t panels = weights.outputs / kBlock;
#pragma omp parallel
  {
    configure_tiles();
    const int64_t threads = omp_get_num_threads(), thread = omp_get_thread_num();
    int64_t at = chunks * panels * thread / threads;
    for (const int64_t end = chunks * panels * (thread + 1) / threads; at < end;) {
      const int64_t chunk = at / panels, from = at % panels, until = std::min(panels, from + end - at);
      const int64_t first = chunk * rows, count = chunk == chunks - 1 ? tokens - first : rows;
      multiply_rows<kGelu>(x + first * weights.inputs, first, count, weights, from, until, stored, to);
      at += until - from;
    }
    _tile_release();
  }
}
