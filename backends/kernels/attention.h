// softmax(Q Kᵀ / √d) V over packed samples, one (sample, head) at a time: keys and values are laid out once for the
// products, then a few queries at a time meet all of them while their scores stay in the first-level cache.
//
// Two kinds of arithmetic, under one shape: floats, and bfloat16 pairs where the machine multiplies those.
#pragma once
#include <cmath>
#include <vector>

#include "activation.h"

// Arithmetic in float. An operand is a float; one step of a product takes one of them.
struct FloatMaths {
  typedef float Operand;
  static constexpr int kStep = 1;

  static Floats accumulate(Floats sum, const Operand* one, const Operand* many) {
    return sum + *one * load<Floats>(many);
  }
  // scores → operands of the second product, in place
  static void keep(Operand* to, Floats weights) { store(to, weights); }
};

#if defined(__AVX512BF16__)
// Arithmetic in bfloat16, sums in float. An operand is two neighbours along the summed axis.
struct Bfloat16Maths {
  typedef uint32_t Operand;
  static constexpr int kStep = 2;

  static Floats accumulate(Floats sum, const Operand* one, const Operand* many) {
    return (Floats)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(*one), (__m512bh)load<__m512i>(many));
  }
  static void keep(Operand* to, Floats weights) { store((uint16_t*)to, narrow(weights)); }
};
#endif

// to[r][c] = Σ_k one[r][k] many[k][c] for a tile of Rows x Columns vectors.
template <class Maths, int Rows, int Columns>
inline void tile(const typename Maths::Operand* one, int64_t one_stride, const typename Maths::Operand* many,
                 int64_t many_stride, int64_t steps, float* to, int64_t to_stride) {
  Floats sums[Rows][Columns] = {};
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
    for (int c = 0; c < Columns; c++) store(to + r * to_stride + c * kWidth, sums[r][c]);
  }
}

// The same for any number of columns that is a multiple of the vector's width.
template <class Maths>
inline void product(const typename Maths::Operand* one, int64_t one_stride, const typename Maths::Operand* many,
                    int64_t many_stride, int64_t steps, int64_t columns, float* to, int64_t to_stride) {
  int64_t c = 0;
  for (; c + kColumns * kWidth <= columns; c += kColumns * kWidth)
    tile<Maths, kRows, kColumns>(one, one_stride, many + c, many_stride, steps, to + c, to_stride);
  for (; c < columns; c += kWidth)
    tile<Maths, kRows, 1>(one, one_stride, many + c, many_stride, steps, to + c, to_stride);
}

inline float as_float(float x) { return x; }
inline float as_float(uint16_t x) {
  uint32_t bits = (uint32_t)x << 16;
  float to;
  memcpy(&to, &bits, sizeof to);
  return to;
}

// --- operands out of rows of Q, K and V ---

template <class Element>
inline void gather_row(float* to, const Element* row, int64_t size) {
  for (int64_t d = 0; d < size; d += kWidth) store(to + d, read(row + d));
}
inline void gather_row(uint32_t* to, const uint16_t* row, int64_t size) { memcpy(to, row, size * 2); }

// a vector of a key's operands
inline Words operands(const float*, const float* row) { return load<Words>(row); }
inline Words operands(const float*, const uint16_t* row) { return (Words)read(row); }
inline Words operands(const uint32_t*, const uint16_t* row) { return load<Words>(row); }

// keys: [size / step][padded], key k in column k; what stands in the columns beyond the last key is not read as one
template <class Operand, class Element>
inline void gather_keys(Operand* keys, int64_t padded, const Element* rows, int64_t stride, int64_t length,
                        int64_t depth, int64_t step) {
  for (int64_t k = 0; k < padded; k += kWidth) {
    for (int64_t d = 0; d < depth; d += kWidth) {
      Words square[kWidth];
#pragma GCC unroll 16
      for (int64_t i = 0; i < kWidth; i++) {
        const int64_t key = k + i < length ? k + i : length - 1;
        square[i] = operands(keys, rows + key * stride + d * step);
      }
      turn(square);
#pragma GCC unroll 16
      for (int64_t i = 0; i < kWidth; i++) store(keys + (d + i) * padded + k, square[i]);
    }
  }
}

// values: [steps][size]; two neighbouring tokens stand in one step of pairs
template <class Element>
inline void gather_values(float* values, const Element* rows, int64_t stride, int64_t length, int64_t size) {
  for (int64_t k = 0; k < length; k++) gather_row(values + k * size, rows + k * stride, size);
}
inline void gather_values(uint32_t* values, const uint16_t* rows, int64_t stride, int64_t length, int64_t size) {
  for (int64_t k = 0; k < length; k += 2) {
    const uint16_t* first = rows + k * stride;
    const uint16_t* second = first + stride;
    const uint32_t some = k + 1 < length ? 0xffff : 0;  // an odd length's last token stands alone
    for (int64_t d = 0; d < size; d++) values[k / 2 * size + d] = first[d] | (uint32_t)((some ? second[d] : 0)) << 16;
  }
}

template <class Operand>
struct Scratch {  // one thread's, kept from call to call
  std::vector<Operand> query, keys, weights, values;
  std::vector<float> scores, context;
};

// weights = 2^(factor (scores - the highest)), as operands; returns their sum. `outside` is added to the last vector.
template <class Maths>
inline float softmax(const float* scores, int64_t padded, Floats outside, float factor,
                     typename Maths::Operand* weights) {
  const int64_t last = padded - kWidth;
  const Floats last_scores = read(scores + last) + outside;
  Floats top = last_scores;
  for (int64_t i = 0; i < last; i += kWidth) top = maximum(top, read(scores + i));
  const float offset = highest(top) * factor;
  Floats total{};
  const auto weigh = [&](int64_t i, Floats score) {
    const Floats weight = exp2_below(maximum(score * factor - offset, all(-126.0f)));
    total += weight;
    Maths::keep(weights + i / Maths::kStep, weight);
  };
  for (int64_t i = 0; i < last; i += kWidth) weigh(i, read(scores + i));
  weigh(last, last_scores);
  return sum(total);
}

// One head of one sample. q, k, v: the head's first element of the sample's first token; context goes to
// out[first token + q, channel ...].
template <class Maths, class Element>
void attend(const Element* q, const Element* k, const Element* v, int64_t stride, int64_t length, int64_t size,
            int64_t first, int64_t channel, int64_t width, const Activation& out) {
  typedef typename Maths::Operand Operand;
  constexpr int kStep = Maths::kStep;
  static thread_local Scratch<Operand> scratch;
  const int64_t padded = (length + kWidth - 1) / kWidth * kWidth;
  const int64_t depth = size / kStep, steps = (length + kStep - 1) / kStep, weight_stride = padded / kStep;
  scratch.keys.resize(depth * padded);
  scratch.values.resize(steps * size);
  scratch.query.resize(kRows * depth);
  scratch.weights.resize(kRows * weight_stride);
  scratch.scores.resize(kRows * padded);
  scratch.context.resize(kRows * size);
  gather_keys(scratch.keys.data(), padded, k, stride, length, depth, kStep);
  gather_values(scratch.values.data(), v, stride, length, size);

  Floats outside{};  // what the last scores are lowered by: columns beyond the last key weigh nothing
  for (int64_t i = length; i < padded; i++) outside[i % kWidth] = -1e30f;
  const float to_base_two = 1.44269504f / std::sqrt((float)size);
  for (int64_t q0 = 0; q0 < length; q0 += kRows) {
    const int64_t rows = length - q0 < kRows ? length - q0 : kRows;
    for (int64_t r = 0; r < rows; r++) gather_row(scratch.query.data() + r * depth, q + (q0 + r) * stride, size);
    float* scores = scratch.scores.data();
    product<Maths>(scratch.query.data(), depth, scratch.keys.data(), padded, depth, padded, scores, padded);
    float inverse[kRows];
    for (int64_t r = 0; r < rows; r++)
      inverse[r] = 1 / softmax<Maths>(scores + r * padded, padded, outside, to_base_two,
                                      scratch.weights.data() + r * weight_stride);
    float* context = scratch.context.data();
    product<Maths>(scratch.weights.data(), weight_stride, scratch.values.data(), size, steps, size, context, size);
    for (int64_t r = 0; r < rows; r++)
      for (int64_t d = 0; d < size; d += kWidth)
        put(out, (first + q0 + r) * width + channel + d, channel + d, read(context + r * size + d) * inverse[r]);
  }
}

// qkv[T, 3 * width] of packed samples; sample s owns tokens ends[s]..ends[s + 1].
template <class Maths, class Element>
void attention(const Element* qkv, const int64_t* ends, int64_t samples, int64_t heads, int64_t size, Activation out) {
  const int64_t width = heads * size, stride = 3 * width;
#pragma omp parallel for schedule(dynamic) collapse(2)
  for (int64_t s = 0; s < samples; s++) {
    for (int64_t h = 0; h < heads; h++) {
      const Element* q = qkv + ends[s] * stride + h * size;
      attend<Maths>(q, q + width, q + 2 * width, stride, ends[s + 1] - ends[s], size, ends[s], h * size, width, out);
    }
  }
}
