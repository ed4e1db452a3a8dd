// The int8 matrix product in AMX tiles: y = f((x · weightᵀ) * scale + offset), x uint8 [tokens, inputs], weight int8
// [outputs, inputs], sums in int32, f nothing or GELU, y in any encoding.
//
// x lies in blocks of 64 inputs, so that each tile is 16 lines in a row. Four tiles of sums (32 tokens × 32 outputs)
// share two tiles of x and two of the weight, so each tile that is loaded feeds two products. A panel of 32 outputs by
// at most 1,024 inputs stays in the first-level cache and is walked over all rows of x that the second level holds,
// while the next panel is fetched. The sums of a block are stored during the products of the next block: tiles and
// vectors work at the same time.
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
constexpr int64_t kTileSums = 256;         // 16 rows of 16
constexpr int64_t kDepth = 64;             // inputs that a tile spans
constexpr int64_t kMostSteps = 16;         // tiles along the inputs of a panel in the first-level cache
constexpr int64_t kCachedBytes = 1 << 20;  // of x, that stay in the second-level cache next to two panels

// Lines that are fetched into the second-level cache during the products, a few a step.
struct Fetch {
  const void* at;
  int64_t stride, lines, per_step;  // bytes between lines, lines left

  inline void advance() {
    for (int64_t i = 0; i < per_step && lines > 0; i++, lines--, at = (const char*)at + stride)
      _mm_prefetch((const char*)at, _MM_HINT_T1);
  }
};

// Sums that are still to be stored, a row of a block at a time.
template <ElementType kType, bool kGelu>
struct PendingBlock {
  static constexpr bool kIsBytes = kType == kUint8 || kType == kInt8;
  static constexpr int64_t kBytes = kType == kFloat ? 4 : kType == kBfloat16 ? 2 : 1;
  const int32_t* sums;  // [2][2][16][16], a tile each
  uint8_t* to[2];       // the first row's halves in y
  int64_t row_bytes;
  int64_t row = kBlock;  // the next to store; none yet
  Floats scale[2], offset[2], multiplier[2];
  float zero_point;

  inline void begin(const int32_t* found, const Int8Weights& weights, const Activation& y, int64_t token,
                    int64_t output) {
    sums = found;
    row_bytes = y.row_stride * kBytes;
    row = 0;
    zero_point = (float)y.zero_point;
#pragma GCC unroll 2
    for (int64_t half = 0; half < 2; half++) {
      const int64_t channel = output + half * kWidth;
      to[half] = (uint8_t*)y.data + place(y, token, channel) * kBytes;
      scale[half] = load_floats(weights.scale + channel);
      offset[half] = load_floats(weights.offset + channel);
      if (kIsBytes) multiplier[half] = load_floats(y.multiplier + channel);
      if (kIsBytes && !kGelu) {  // one multiplication instead of two
        scale[half] *= multiplier[half];
        offset[half] = offset[half] * multiplier[half] + zero_point;
      }
    }
  }

  // Stores at most `count` rows.
  inline void advance(int64_t count) {
    for (const int64_t end = std::min(row + count, kBlock); row < end; row++) {
      const int32_t* from = sums + row / 16 * 2 * kTileSums + row % 16 * kWidth;
#pragma GCC unroll 2
      for (int64_t half = 0; half < 2; half++) {
        Floats x = to_floats(load<Int32s>(from + half * kTileSums)) * scale[half] + offset[half];
        if (kGelu) x = gelu(x);
        if (kGelu && kIsBytes) x = x * multiplier[half] + zero_point;
        uint8_t* at = to[half] + row * row_bytes;
        if (kType == kFloat)
          store(at, x);
        else if (kType == kBfloat16)
          store(at, demote_to_bfloat16(x));
        else
          store(at, kType == kUint8 ? round_to_uint8(x) : round_to_uint8(x) ^ 0x80);
      }
    }
  }
};

inline void begin_sums(const int32_t* previous) {
  if (!previous) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  } else {
    _tile_loadd(0, previous, 64);
    _tile_loadd(1, previous + kTileSums, 64);
    _tile_loadd(2, previous + 2 * kTileSums, 64);
    _tile_loadd(3, previous + 3 * kTileSums, 64);
  }
}

inline void store_sums(int32_t* sums) {
  _tile_stored(0, sums, 64);
  _tile_stored(1, sums + kTileSums, 64);
  _tile_stored(2, sums + 2 * kTileSums, 64);
  _tile_stored(3, sums + 3 * kTileSums, 64);
}

// Adds the product of 32 rows of x and `steps` tiles of a panel to the tiles of sums; fetches the next panel, and the
// rows of y that the sums will be stored to. Rows of x bypass the first-level cache, where the panel stays: reading
// both from the second level takes longer than multiplying them.
template <class Pending>
inline void multiply_block(const uint8_t* x, int64_t block_bytes, const int8_t* panel, int64_t steps, Pending& pending,
                           Fetch& next, Fetch y) {
  const int64_t rows = (kBlock + steps - 1) / steps;
  for (int64_t k = 0; k < steps; k++) {
    const int8_t* weights = panel + 2 * k * kTileBytes;
    const uint8_t* tiles = x + k * block_bytes;
    _tile_stream_loadd(4, tiles, 64);
    _tile_loadd(6, weights, 64);
    _tile_dpbusd(0, 4, 6);
    _tile_loadd(7, weights + kTileBytes, 64);
    _tile_dpbusd(1, 4, 7);
    _tile_stream_loadd(5, tiles + kTileBytes, 64);
    _tile_dpbusd(2, 5, 6);
    _tile_dpbusd(3, 5, 7);
    next.advance();
    y.advance();
    pending.advance(rows);
  }
}

// Rows [first, first + rows) of y by panels [from, to); both counts are multiples of a block.
template <ElementType kType, bool kGelu>
inline void multiply_rows(const uint8_t* x, int64_t block_bytes, const Int8Weights& weights, int64_t first,
                          int64_t rows, int64_t from, int64_t until, const Activation& to) {
  static thread_local Scratch<int32_t> scratch;
  constexpr int64_t kSums = 4 * kTileSums;
  const int64_t blocks = rows / kBlock, depth = weights.inputs / kDepth;
  const int64_t parts = (depth + kMostSteps - 1) / kMostSteps;
  int32_t* partial = scratch.reserve((blocks + 2) * kSums);  // of each block, between the parts of a panel
  int32_t* finished = partial + blocks * kSums;              // of two blocks in turn
  PendingBlock<kType, kGelu> pending{};
  const int64_t y_stride = to.row_stride * pending.kBytes;
  for (int64_t panel = from; panel < until; panel++) {
    for (int64_t part = 0; part < parts; part++) {
      const int64_t start = depth * part / parts, steps = depth * (part + 1) / parts - start;
      const int8_t* here = weights.panels + (panel * depth + start) * 2 * kTileBytes;
      const bool is_last = part == parts - 1;
      const int64_t lines = panel + 1 == until && is_last ? 0 : 2 * steps * kTileBytes / 64;
      Fetch next{here + 2 * steps * kTileBytes, 64, lines, (lines + blocks * steps - 1) / (blocks * steps)};
      for (int64_t block = 0; block < blocks; block++) {
        const int64_t row = first + block * kBlock;
        int32_t* sums = is_last ? finished + block % 2 * kSums : partial + block * kSums;
        const void* y = (const uint8_t*)to.data + place(to, row, panel * kBlock) * pending.kBytes;
        const int64_t y_lines = is_last && y_stride > 64 ? kBlock : 0;  // lines in a row the processor foresees
        begin_sums(part ? partial + block * kSums : nullptr);
        multiply_block(x + row * kDepth + start * block_bytes, block_bytes, here, steps, pending, next,
                       {y, y_stride, y_lines, (kBlock + steps - 1) / steps});
        store_sums(sums);
        if (is_last) pending.begin(sums, weights, to, row, panel * kBlock);
      }
    }
  }
  pending.advance(kBlock);
}

// y[rows, outputs]. Rows of x are divided into chunks that the cache holds; threads share chunks × panels evenly.
template <ElementType kType, bool kGelu>
void int8_product(const uint8_t* x, int64_t rows, const Int8Weights& weights, const Activation& to) {
  const int64_t most = std::max(kBlock, kCachedBytes / weights.inputs / kBlock * kBlock);
  const int64_t parts = (rows + most - 1) / most;
  const int64_t each = round_up((rows + parts - 1) / parts, kBlock);
  const int64_t chunks = (rows + each - 1) / each, panels = weights.outputs / kBlock;
#pragma omp parallel
  {
    configure_tiles();
    const int64_t threads = omp_get_num_threads(), thread = omp_get_thread_num();
    int64_t at = chunks * panels * thread / threads;
    for (const int64_t end = chunks * panels * (thread + 1) / threads; at < end;) {
      const int64_t chunk = at / panels, from = at % panels, until = std::min(panels, from + end - at);
      const int64_t first = chunk * each, count = std::min(each, rows - first);
      multiply_rows<kType, kGelu>(x, rows * kDepth, weights, first, count, from, until, to);
      at += until - from;
    }
    _tile_release();
  }
}
