// The arithmetic of an attention's two products: floats; pairs of bfloat16 or of 16-bit words, in vectors; pairs of
// bfloat16 in AMX's tiles. Each says what an operand is, how many queries it takes at a time, and how it multiplies.
#pragma once
#include <algorithm>
#include <cmath>

#include "simd.h"

template <class Element>
struct Rows {  // of one head of one sample: a token's q, k and v, `stride` apart from the next one's
  const Element *q, *k, *v;
  int64_t stride;
  float score_factor = 1, value_factor = 1;  // what their products are to be multiplied by
};

// to[r][c] = Σ_k one[r][k] many[k][c] for a tile of Rows x Columns vectors.
template <class Maths, int Rows, int Columns>
inline void vector_tile(const typename Maths::Operand* one, int64_t one_stride, const typename Maths::Operand* many,
                        int64_t many_stride, int64_t steps, float* to, int64_t to_stride) {
  typename Maths::Sums sums[Rows][Columns] = {};
  for (int64_t k = 0; k < steps; k++) {
#pragma GCC unroll 8
    for (int r = 0; r < Rows; r++) {
#pragma GCC unroll 8
      for (int c = 0; c < Columns; c++)
        sums[r][c] = Maths::accumulate(sums[r][c], one + r * one_stride + k, many + k * many_stride + c * kWidth);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < Rows; r++) {
#pragma GCC unroll 8
    for (int c = 0; c < Columns; c++) store(to + r * to_stride + c * kWidth, floats(sums[r][c]));
  }
}

// What the arithmetics in vectors share.
template <class Maths, class Element, int Step>
struct VectorMaths {
  typedef Element Operand;
  typedef Floats Sums;
  static constexpr int kStep = Step;       // neighbours along the summed axis that an operand holds
  static constexpr int kRows = ::kRows;    // queries at a time
  static constexpr int kKeys = kWidth;     // keys are filled up to a multiple of these
  static constexpr float kLogOne = 0;      // to the base of two: what a softmax's weight of one is kept as

  static void begin() {}
  static void end() {}

  template <class From>
  static Rows<From> take(Rows<From> rows, int64_t, int64_t) {
    return rows;
  }

  // kRows rows by any number of columns that is a multiple of the vector's width
  static void product(const Operand* one, int64_t one_stride, const Operand* many, int64_t many_stride, int64_t steps,
                      int64_t columns, float* to, int64_t to_stride) {
    int64_t c = 0;
    for (; c + kColumns * kWidth <= columns; c += kColumns * kWidth)
      vector_tile<Maths, kRows, kColumns>(one, one_stride, many + c, many_stride, steps, to + c, to_stride);
    for (; c < columns; c += kWidth)
      vector_tile<Maths, kRows, 1>(one, one_stride, many + c, many_stride, steps, to + c, to_stride);
  }
};

struct FloatMaths : VectorMaths<FloatMaths, float, 1> {
  static Floats accumulate(Floats sum, const Operand* one, const Operand* many) {
    return sum + *one * load<Floats>(many);
  }
  // scores → operands of the second product
  static void keep(Operand* to, Floats weights) { store(to, weights); }
};

#if defined(__AVX512BF16__)
struct Bfloat16Maths : VectorMaths<Bfloat16Maths, uint32_t, 2> {
  static Floats accumulate(Floats sum, const Operand* one, const Operand* many) {
    return (Floats)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(*one), (__m512bh)load<__m512i>(many));
  }
  static void keep(Operand* to, Floats weights) { store((uint16_t*)to, narrow(weights)); }
};
#endif

#if defined(__AVX512VNNI__)
// Words of 16 bits, sums of 32: where bfloat16 pairs are slow and VNNI's words are not (Intel before AMX). A head's
// queries, keys and values are scaled by their largest; no sum can overflow.
struct WordMaths : VectorMaths<WordMaths, uint32_t, 2> {
  typedef Ints Sums;
  static constexpr float kLogOne = 12;
  static constexpr float kMost = 2147483000.0f;  // that a sum may reach

  static Ints accumulate(Ints sum, const Operand* one, const Operand* many) {
    return (Ints)_mm512_dpwssd_epi32((__m512i)sum, _mm512_set1_epi32(*one), load<__m512i>(many));
  }
  static void keep(Operand* to, Floats weights) { store((uint16_t*)to, to_words(weights)); }

  static Rows<uint16_t> take(Rows<uint16_t> from, int64_t length, int64_t size) {
    static thread_local Scratch<uint16_t> words;
    uint16_t *q = words.room(3 * length * size), *k = q + length * size, *v = k + length * size;
    const float limit = std::min(32000.0f, std::sqrt(kMost / size) - 1);
    const float value_limit = std::min(32000.0f, kMost / (4097.0f * length) - 1);
    const float query_unit = scale(q, from.q, from.stride, length, size, limit);
    const float key_unit = scale(k, from.k, from.stride, length, size, limit);
    const float value_unit = scale(v, from.v, from.stride, length, size, value_limit);
    return {q, k, v, size, query_unit * key_unit, value_unit};
  }

  // Writes rows of words with the largest at `limit`; returns what one of them stands for.
  static float scale(uint16_t* to, const uint16_t* from, int64_t stride, int64_t length, int64_t size, float limit) {
    typedef uint16_t Magnitudes __attribute__((vector_size(2 * kWidth * 2)));
    Magnitudes top{};  // floats' order is their magnitudes' bits'
    for (int64_t t = 0; t < length; t++) {
      for (int64_t d = 0; d < size; d += 2 * kWidth) {
        const Magnitudes found = load<Magnitudes>(from + t * stride + d) & 0x7fff;
        top = top > found ? top : found;
      }
    }
    uint16_t bits = 0x0da2;  // 1e-30: nothing less, lest one over it be infinite
    for (int i = 0; i < 2 * kWidth; i++) bits = std::max(bits, top[i]);
    const float most = read(bits), factor = limit / most;
    for (int64_t t = 0; t < length; t++)
      for (int64_t d = 0; d < size; d += kWidth) store(to + t * size + d, to_words(read(from + t * stride + d) * factor));
    return most / limit;
  }
};
#endif

#if defined(__AMX_BF16__)
// AMX: 16 rows by 16 columns in a tile register, 16 pairs of bfloat16 a step.
struct TileMaths : Bfloat16Maths {
  static constexpr int kRows = 16;
  static constexpr int kKeys = 32;
  static constexpr int kPairs = 16;

  static void begin() {
    struct alignas(64) {
      uint8_t palette = 1, start_row = 0, reserved[14] = {};
      uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } shapes;
    _tile_loadconfig(&shapes);
  }
  static void end() { _tile_release(); }

  // `steps` and `columns` are multiples of 16
  static void product(const Operand* one, int64_t one_stride, const Operand* many, int64_t many_stride, int64_t steps,
                      int64_t columns, float* to, int64_t to_stride) {
    const int64_t one_bytes = one_stride * 4, many_bytes = many_stride * 4, to_bytes = to_stride * 4;
    int64_t c = 0;
    for (; c + 4 * kWidth <= columns; c += 4 * kWidth) {
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
      for (int64_t k = 0; k < steps; k += kPairs) {
        const Operand* row = many + k * many_stride + c;
        _tile_loadd(4, one + k, one_bytes);
        _tile_loadd(5, row, many_bytes);
        _tile_dpbf16ps(0, 4, 5);
        _tile_loadd(6, row + kWidth, many_bytes);
        _tile_dpbf16ps(1, 4, 6);
        _tile_loadd(7, row + 2 * kWidth, many_bytes);
        _tile_dpbf16ps(2, 4, 7);
        _tile_loadd(5, row + 3 * kWidth, many_bytes);
        _tile_dpbf16ps(3, 4, 5);
      }
      _tile_stored(0, to + c, to_bytes);
      _tile_stored(1, to + c + kWidth, to_bytes);
      _tile_stored(2, to + c + 2 * kWidth, to_bytes);
      _tile_stored(3, to + c + 3 * kWidth, to_bytes);
    }
    for (; c < columns; c += kWidth) {
      _tile_zero(0);
      for (int64_t k = 0; k < steps; k += kPairs) {
        _tile_loadd(4, one + k, one_bytes);
        _tile_loadd(5, many + k * many_stride + c, many_bytes);
        _tile_dpbf16ps(0, 4, 5);
      }
      _tile_stored(0, to + c, to_bytes);
    }
  }
};
#endif
