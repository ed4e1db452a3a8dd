// The arithmetic of attention's two matrix products: float; pairs of bfloat16 or of int16 in vectors; pairs of bfloat16
// in AMX tiles. Each type says what an operand is, how many queries it processes at a time, and how it multiplies.
#pragma once
#include <algorithm>
#include <cmath>

#include "simd.h"
#include "tiles.h"

template <class Element>
struct HeadRows {  // one head of one sample: q, k and v of its first token
  const Element *q, *k, *v;
  int64_t row_stride, block_stride;  // as an activation's; in blocks of channels, a head begins a block
  float score_factor = 1, value_factor = 1;  // undo the scaling of quantized operands in the two products

  static constexpr int64_t kLine = 64 / sizeof(Element);

  // Channel d of token t of q, k or v.
  const Element* at(const Element* first, int64_t t, int64_t d) const {
    return first + t * row_stride + d / kLine * block_stride + d % kLine;
  }
};

// to[r][c] = Σ_k left[r][k] right[k][c] for a tile of Rows x (Columns * kWidth) results: each element of `left` is
// broadcast, `right` is loaded in vectors.
template <class Arithmetic, int Rows, int Columns>
inline void matmul_tile(const typename Arithmetic::Operand* left, int64_t left_stride,
                        const typename Arithmetic::Operand* right, int64_t right_stride, int64_t steps, float* to,
                        int64_t to_stride) {
  typename Arithmetic::Accumulator sums[Rows][Columns] = {};
  for (int64_t k = 0; k < steps; k++) {
#pragma GCC unroll 8
    for (int r = 0; r < Rows; r++) {
#pragma GCC unroll 8
      for (int c = 0; c < Columns; c++)
        sums[r][c] = Arithmetic::mul_add(sums[r][c], left + r * left_stride + k, right + k * right_stride + c * kWidth);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < Rows; r++) {
#pragma GCC unroll 8
    for (int c = 0; c < Columns; c++) store(to + r * to_stride + c * kWidth, to_floats(sums[r][c]));
  }
}

// What all arithmetic in vectors shares.
template <class Arithmetic, class Element, int Step>
struct VectorArithmetic {
  typedef Element Operand;
  typedef Floats Accumulator;
  static constexpr int kStep = Step;            // elements along the summed axis that one operand holds
  static constexpr int kRows = ::kRows;         // queries at a time
  static constexpr int kKeys = kWidth;          // the number of keys is padded to a multiple of this
  static constexpr float kLog2WeightScale = 0;  // softmax weights are stored times 2^this

  static void begin() {}
  static void end() {}

  template <class From>
  static HeadRows<From> prepare(HeadRows<From> rows, int64_t, int64_t) {
    return rows;
  }

  // Stores two vectors of softmax weights as operands, one after the other.
  static void store_two(Operand* to, Floats first, Floats second) {
    Arithmetic::store_weights(to, first);
    Arithmetic::store_weights(to + kWidth / kStep, second);
  }

  // kRows rows by any number of columns that is a multiple of the vector width.
  static void matmul(const Operand* left, int64_t left_stride, const Operand* right, int64_t right_stride,
                     int64_t steps, int64_t columns, float* to, int64_t to_stride) {
    int64_t c = 0;
    for (; c + kColumns * kWidth <= columns; c += kColumns * kWidth)
      matmul_tile<Arithmetic, kRows, kColumns>(left, left_stride, right + c, right_stride, steps, to + c, to_stride);
    for (; c < columns; c += kWidth)
      matmul_tile<Arithmetic, kRows, 1>(left, left_stride, right + c, right_stride, steps, to + c, to_stride);
  }
};

struct FloatArithmetic : VectorArithmetic<FloatArithmetic, float, 1> {
  static Floats mul_add(Floats sum, const Operand* scalar, const Operand* vec) {
    return sum + *scalar * load<Floats>(vec);
  }
  // Stores softmax weights as operands of the second product.
  static void store_weights(Operand* to, Floats weights) { store(to, weights); }
};

#if defined(__AVX512BF16__)
struct Bfloat16Arithmetic : VectorArithmetic<Bfloat16Arithmetic, uint32_t, 2> {
  static Floats mul_add(Floats sum, const Operand* scalar, const Operand* vec) {
    return (Floats)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(*scalar), (__m512bh)load<__m512i>(vec));
  }
  static void store_weights(Operand* to, Floats weights) { store((uint16_t*)to, demote_to_bfloat16(weights)); }
};
#endif

#if defined(__AVX512VNNI__) || (defined(__AVX2__) && !defined(__AVX512F__))
// int16 operands with int32 accumulators, for processors that multiply int16 pairs faster than bfloat16 pairs: Intel's
// with VNNI and without AMX, and those with AVX2 alone. Queries, keys and values of a head are scaled by their largest
// magnitude, so that no accumulator can overflow; values have eight bits left at 2,000 tokens.
struct Int16Arithmetic : VectorArithmetic<Int16Arithmetic, uint32_t, 2> {
  typedef Int32s Accumulator;
  static constexpr float kLog2WeightScale = 12;
  static constexpr float kLargestSum = 2147483000.0f;  // just below 2^31

  static Int32s mul_add(Int32s sum, const Operand* scalar, const Operand* vec) {
#if defined(__AVX512VNNI__)
    return (Int32s)_mm512_dpwssd_epi32((__m512i)sum, _mm512_set1_epi32(*scalar), load<__m512i>(vec));
#else
    return sum + (Int32s)_mm256_madd_epi16(_mm256_set1_epi32(*scalar), load<__m256i>(vec));
#endif
  }
  static void store_weights(Operand* to, Floats weights) { store((uint16_t*)to, round_to_int16(weights)); }
  static void store_two(Operand* to, Floats first, Floats second) { store_as_int16((uint16_t*)to, first, second); }

  static HeadRows<uint16_t> prepare(HeadRows<uint16_t> from, int64_t length, int64_t size) {
    static thread_local Scratch<uint16_t> scratch;
    uint16_t *q = scratch.reserve(3 * length * size), *k = q + length * size, *v = k + length * size;
    const float limit = std::min(32000.0f, std::sqrt(kLargestSum / size) - 1);
    const float value_limit = std::min(32000.0f, kLargestSum / (4097.0f * length) - 1);
    const float query_scale = quantize(q, from, from.q, length, size, limit);
    const float key_scale = quantize(k, from, from.k, length, size, limit);
    const float value_scale = quantize(v, from, from.v, length, size, value_limit);
    return {q, k, v, size, from.kLine, query_scale * key_scale, value_scale};
  }

  // Writes `length` bfloat16 rows as int16, the largest magnitude at `limit`; returns the scale (the value of one step).
  static float quantize(uint16_t* to, const HeadRows<uint16_t>& rows, const uint16_t* first, int64_t length,
                        int64_t size, float limit) {
    typedef uint16_t Magnitudes __attribute__((vector_size(2 * kWidth * 2)));
    Magnitudes top{};  // without their sign, floats are ordered as their bits are
    for (int64_t d = 0; d < size; d += 2 * kWidth) {
      const uint16_t* row = rows.at(first, 0, d);
      for (int64_t t = 0; t < length; t++, row += rows.row_stride) {
        const Magnitudes magnitudes = load<Magnitudes>(row) & 0x7fff;
        top = top > magnitudes ? top : magnitudes;
      }
    }
    uint16_t bits = 0x0da2;  // 1e-30: a lower bound, so that limit / largest stays finite
    for (int i = 0; i < 2 * kWidth; i++) bits = std::max(bits, top[i]);
    const float largest = promote_bfloat16(bits), factor = limit / largest;
    for (int64_t d = 0; d < size; d += 2 * kWidth) {
      const uint16_t* row = rows.at(first, 0, d);
      for (int64_t t = 0; t < length; t++, row += rows.row_stride)
        store_as_int16(to + t * size + d, load_floats(row) * factor, load_floats(row + kWidth) * factor);
    }
    return largest / limit;
  }
};
#endif

#if defined(__AMX_BF16__)
// AMX: 16 rows by 16 columns in a tile register, 16 pairs of bfloat16 per step.
struct AmxArithmetic : Bfloat16Arithmetic {
  static constexpr int kRows = 16;
  static constexpr int kKeys = 32;
  static constexpr int kPairs = 16;

  static void begin() { configure_tiles(); }
  static void end() { _tile_release(); }

  // `steps` and `columns` are multiples of 16. Four tiles of results (0 to 3) share each tile of `left` (4).
  static void matmul(const Operand* left, int64_t left_stride, const Operand* right, int64_t right_stride,
                     int64_t steps, int64_t columns, float* to, int64_t to_stride) {
    const int64_t left_bytes = left_stride * 4, right_bytes = right_stride * 4, to_bytes = to_stride * 4;
    int64_t c = 0;
    for (; c + 4 * kWidth <= columns; c += 4 * kWidth) {
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
      for (int64_t k = 0; k < steps; k += kPairs) {
        const Operand* row = right + k * right_stride + c;
        _tile_loadd(4, left + k, left_bytes);
        _tile_loadd(5, row, right_bytes);
        _tile_dpbf16ps(0, 4, 5);
        _tile_loadd(6, row + kWidth, right_bytes);
        _tile_dpbf16ps(1, 4, 6);
        _tile_loadd(7, row + 2 * kWidth, right_bytes);
        _tile_dpbf16ps(2, 4, 7);
        _tile_loadd(5, row + 3 * kWidth, right_bytes);
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
        _tile_loadd(4, left + k, left_bytes);
        _tile_loadd(5, right + k * right_stride + c, right_bytes);
        _tile_dpbf16ps(0, 4, 5);
      }
      _tile_stored(0, to + c, to_bytes);
    }
  }
};
#endif

// The arithmetic for bfloat16 inputs.
#if defined(__AMX_BF16__)
typedef AmxArithmetic Bfloat16Input;
#elif defined(__AVX512BF16__)
typedef Bfloat16Arithmetic Bfloat16Input;
#elif defined(__AVX512VNNI__) || (defined(__AVX2__) && !defined(__AVX512F__))
typedef Int16Arithmetic Bfloat16Input;
#else
typedef FloatArithmetic Bfloat16Input;
#endif
