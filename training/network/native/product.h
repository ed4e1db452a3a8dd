// Matrix products of small matrices that lie in the cache, in vectors.
#pragma once
#include "simd.h"

struct Left {  // element (row, step) at data[row * row_stride + step * step_stride]
  const float* data;
  int64_t row_stride, step_stride;
};

template <int Rows, int Columns, bool kAdd>
inline void tile(Left left, const float* right, int64_t right_stride, int64_t steps, float* to, int64_t to_stride) {
  Floats sums[Rows][Columns] = {};
  const float* a = left.data;
  for (int64_t k = 0; k < steps; k++, a += left.step_stride, right += right_stride) {
#pragma GCC unroll 8
    for (int r = 0; r < Rows; r++) {
#pragma GCC unroll 8
      for (int c = 0; c < Columns; c++) sums[r][c] += a[r * left.row_stride] * load<Floats>(right + c * kWidth);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < Rows; r++) {
#pragma GCC unroll 8
    for (int c = 0; c < Columns; c++) {
      float* at = to + r * to_stride + c * kWidth;
      store(at, kAdd ? load<Floats>(at) + sums[r][c] : sums[r][c]);
    }
  }
}

template <int Rows, int Columns, bool kAdd>
inline void tiles(int64_t rows, Left left, const float* right, int64_t right_stride, int64_t steps, float* to,
                  int64_t to_stride) {
  for (; rows >= Rows; rows -= Rows, left.data += Rows * left.row_stride, to += Rows * to_stride)
    tile<Rows, Columns, kAdd>(left, right, right_stride, steps, to, to_stride);
  if constexpr (Rows > 1)
    if (rows) tiles<Rows / 2, Columns, kAdd>(rows, left, right, right_stride, steps, to, to_stride);
}

// The last Columns or fewer vectors of each row.
template <int Columns, bool kAdd>
inline void last_tiles(int64_t rows, int64_t columns, int64_t steps, Left left, const float* right,
                       int64_t right_stride, float* to, int64_t to_stride) {
  if (columns == Columns * kWidth)
    tiles<kRows, Columns, kAdd>(rows, left, right, right_stride, steps, to, to_stride);
  else if constexpr (Columns > 1)
    last_tiles<Columns - 1, kAdd>(rows, columns, steps, left, right, right_stride, to, to_stride);
}

// to[rows, columns] = left[rows, steps] right[steps, columns], or added to it; columns: a multiple of kWidth.
template <bool kAdd>
inline void product(int64_t rows, int64_t columns, int64_t steps, Left left, const float* right, int64_t right_stride,
                    float* to, int64_t to_stride) {
  int64_t c = 0;
  for (; c + kColumns * kWidth <= columns; c += kColumns * kWidth)
    tiles<kRows, kColumns, kAdd>(rows, left, right + c, right_stride, steps, to + c, to_stride);
  if (c < columns)
    last_tiles<kColumns - 1, kAdd>(rows, columns - c, steps, left, right + c, right_stride, to + c, to_stride);
}
