// A block of sums in AMX tiles, for int8_product.h: 32 tokens × 32 outputs.
//
// Four tiles of sums share two tiles of x and two of the weight, so each tile that is loaded feeds two products. The
// sums of a block are stored during the products of the next block: tiles and vectors work at the same time.
#pragma once
#include "panels.h"
#include "tiles.h"

constexpr int64_t kBlockRows = 32;       // tokens of a block of sums
constexpr int64_t kMostSteps = 16;       // tiles along the inputs of a panel that stays in the first-level cache
constexpr int64_t kTileSums = 256;       // 16 rows of 16

inline void begin_products() { configure_tiles(); }
inline void end_products() { _tile_release(); }

// The first row of a block of rows.
inline int64_t first_row(int64_t block, int64_t, int64_t) { return block * kBlockRows; }

// A block's sums are [2][2][16][16], a tile each.
inline const int32_t* sums_at(const int32_t* sums, int64_t row, int64_t channel) {
  return sums + row / 16 * 2 * kTileSums + channel / 16 * kTileSums + row % 16 * 16;
}

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

// sums = previous, if any, + 32 rows of x by `steps` tiles of a panel; fetches the next panel, and the rows of y that the
// sums will be stored to. Rows of x bypass the first-level cache, where the panel stays: reading both from the second
// level takes longer than multiplying them.
template <class Pending>
inline void multiply_block(const uint8_t* x, int64_t, int64_t block_bytes, const int8_t* panel, int64_t steps,
                           const int32_t* previous, int32_t* sums, Pending& pending, Fetch& next, Fetch y) {
  const int64_t rows = (kBlockRows + steps - 1) / steps;
  begin_sums(previous);
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
  store_sums(sums);
}
