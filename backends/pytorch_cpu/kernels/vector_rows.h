// What the blocks of sums in x86's vectors share: vector_blocks.h, word_blocks.h, byte_blocks.h.
#pragma once
#include "panels.h"

inline void begin_products() {}
inline void end_products() {}

// The first row of a block of rows: all have about as many, since few would wait for each other's sums.
inline int64_t first_row(int64_t block, int64_t blocks, int64_t rows) { return rows * block / blocks; }

// A block's sums are [kBlockRows][kPanel].
inline const int32_t* sums_at(const int32_t* sums, int64_t row, int64_t channel) {
  return sums + row * kPanel + channel;
}
