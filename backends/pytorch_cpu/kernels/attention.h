// softmax(Q Kᵀ / √d) V over packed samples, one (sample, head) at a time: keys and values are laid out once for the
// products, then a few queries at a time attend to all of them while their scores stay in the first-level cache.
//
// One template serves every arithmetic of vector_math.h.
#pragma once
#include <cmath>

#include "activation.h"
#include "vector_math.h"

// --- operands from rows of Q, K and V ---

// Row t of q, k or v, its channels in order.
template <class Element>
inline void gather_row(float* to, const HeadRows<Element>& rows, const Element* first, int64_t t, int64_t size) {
  for (int64_t d = 0; d < size; d += kWidth) store(to + d, load_floats(rows.at(first, t, d)));
}
inline void gather_row(uint32_t* to, const HeadRows<uint16_t>& rows, const uint16_t* first, int64_t t, int64_t size) {
  for (int64_t d = 0; d < size; d += 2 * kWidth) store((uint16_t*)to + d, load<Uint32s>(rows.at(first, t, d)));
}

// One vector of a key's operands; the first parameter only selects the operand's type.
inline Uint32s load_operands(const float*, const float* row) { return load<Uint32s>(row); }
inline Uint32s load_operands(const float*, const uint16_t* row) { return (Uint32s)load_floats(row); }
inline Uint32s load_operands(const uint32_t*, const uint16_t* row) { return load<Uint32s>(row); }

// keys: [size / step][padded], key k in column k. Columns beyond the last key repeat it; softmax masks their scores.
template <class Operand, class Element>
inline void gather_keys(Operand* keys, int64_t padded, const HeadRows<Element>& rows, int64_t length, int64_t depth,
                        int64_t step) {
  for (int64_t k = 0; k < padded; k += kWidth) {
    for (int64_t d = 0; d < depth; d += kWidth) {
      Uint32s square[kWidth];
#pragma GCC unroll 16
      for (int64_t i = 0; i < kWidth; i++) {
        const int64_t key = k + i < length ? k + i : length - 1;
        square[i] = load_operands(keys, rows.at(rows.k, key, d * step));
      }
      transpose(square);
#pragma GCC unroll 16
      for (int64_t i = 0; i < kWidth; i++) store(keys + (d + i) * padded + k, square[i]);
    }
  }
}

// values: [steps][size]; where operands are pairs, a step holds two adjacent tokens.
template <class Element>
inline void gather_values(float* values, const HeadRows<Element>& rows, int64_t length, int64_t size) {
  for (int64_t k = 0; k < length; k++) gather_row(values + k * size, rows, rows.v, k, size);
}
inline void gather_values(uint32_t* values, const HeadRows<uint16_t>& rows, int64_t length, int64_t size) {
  for (int64_t k = 0; k < length; k += 2) {
    const bool is_pair = k + 1 < length;  // the last token of an odd length is paired with zeros
    for (int64_t at = 0; at < size; at += rows.kLine) {
      const uint16_t *first = rows.at(rows.v, k, at), *second = first + rows.row_stride;
      for (int64_t d = 0; d < std::min(rows.kLine, size - at); d++)
        values[k / 2 * size + at + d] = first[d] | (uint32_t)(is_pair ? second[d] : 0) << 16;
    }
  }
}

template <class Operand>
struct ThreadScratch {
  Scratch<Operand> query, keys, weights, values;
  Scratch<float> scores, context;
};

// The maximum of `count` vectors, in four independent chains: in one, each step would wait for the one before.
inline Floats max_of(const float* from, int64_t count, Floats first) {
  Floats top[4] = {first, first, first, first};
  int64_t i = 0;
  for (; i + 4 <= count; i += 4) {
#pragma GCC unroll 4
    for (int chain = 0; chain < 4; chain++)
      top[chain] = maximum(top[chain], load_floats(from + (i + chain) * kWidth));
  }
  for (; i < count; i++) top[0] = maximum(top[0], load_floats(from + i * kWidth));
  return maximum(maximum(top[0], top[1]), maximum(top[2], top[3]));
}

// weights = 2^(factor (scores - max) + kLog2WeightScale), stored as operands; returns their sum. `mask` is added to the
// exponents of the last vector that holds a key, not to its scores: of a head without queries, the factor is about zero.
// Columns from `length` to that vector's end repeat a key, which leaves the maximum; later weights are zero.
template <class Arithmetic>
inline float softmax(const float* scores, int64_t length, int64_t padded, Floats mask, float factor,
                     typename Arithmetic::Operand* weights) {
  const int64_t last = (length - 1) / kWidth * kWidth;
  const Floats last_scores = load_floats(scores + last);
  const float offset =
      reduce_max(max_of(scores, last / kWidth, last_scores)) * factor - Arithmetic::kLog2WeightScale;
  Floats total{};
  const auto store_weight = [&](int64_t i, Floats exponent) {
    const Floats weight = exp2(exponent);
    total += weight;
    Arithmetic::store_weights(weights + i / Arithmetic::kStep, weight);
  };
  int64_t i = 0;
  for (; i + 2 * kWidth <= last; i += 2 * kWidth) {
    const Floats first = exp2(load_floats(scores + i) * factor - offset);
    const Floats second = exp2(load_floats(scores + i + kWidth) * factor - offset);
    total += first + second;
    Arithmetic::store_two(weights + i / Arithmetic::kStep, first, second);
  }
  if (i < last) store_weight(i, load_floats(scores + i) * factor - offset);
  store_weight(last, last_scores * factor - offset + mask);
  for (int64_t i = last + kWidth; i < padded; i += kWidth)
    Arithmetic::store_weights(weights + i / Arithmetic::kStep, Floats{});
  return reduce_sum(total);
}

// One head of one sample; its context goes to to[first + q, channel ...], `first` being the sample's first token.
template <class Arithmetic, class Element>
void attend(const HeadRows<Element>& rows, int64_t length, int64_t size, int64_t first, int64_t channel,
            const Activation& to) {
  typedef typename Arithmetic::Operand Operand;
  constexpr int kStep = Arithmetic::kStep, kRows = Arithmetic::kRows;
  static thread_local ThreadScratch<Operand> scratch;
  const int64_t padded = round_up(length, Arithmetic::kKeys), steps = padded / kStep, depth = size / kStep;
  Operand *query = scratch.query.reserve(kRows * depth), *keys = scratch.keys.reserve(depth * padded);
  Operand *weights = scratch.weights.reserve(kRows * steps), *values = scratch.values.reserve(steps * size);
  float *scores = scratch.scores.reserve(kRows * padded), *context = scratch.context.reserve(kRows * size);
  gather_keys(keys, padded, rows, length, depth, kStep);
  gather_values(values, rows, length, size);
  const int64_t filled = (length + kStep - 1) / kStep * size;
  memset((void*)(values + filled), 0, (steps * size - filled) * sizeof(Operand));

  Floats mask{};  // -1e30 in the lanes beyond the last key
  for (int64_t i = length; i % kWidth; i++) mask[i % kWidth] = -1e30f;
  const float log2_factor = 1.44269504f / std::sqrt((float)size) * rows.score_factor;  // exp(x) = 2^(x log2 e)
  for (int64_t q0 = 0; q0 < length; q0 += kRows) {
    const int64_t count = length - q0 < kRows ? length - q0 : kRows;
    for (int64_t r = 0; r < count; r++) gather_row(query + r * depth, rows, rows.q, q0 + r, size);
    Arithmetic::matmul(query, depth, keys, padded, depth, padded, scores, padded);
    float factor[kRows];
    for (int64_t r = 0; r < count; r++)
      factor[r] = rows.value_factor /
                  softmax<Arithmetic>(scores + r * padded, length, padded, mask, log2_factor, weights + r * steps);
    Arithmetic::matmul(weights, steps, values, size, steps, size, context, size);
    for (int64_t r = 0; r < count; r++)
      for (int64_t d = 0; d < size; d += kWidth)
        store_activation(to, first + q0 + r, channel + d,
                         load_floats(context + r * size + d) * factor[r]);
  }
}

// qkv[T, 3 * width] of packed samples; sample s owns tokens cu_seqlens[s]..cu_seqlens[s + 1].
template <class Arithmetic, class Element>
void attention(const Activation& qkv, const int64_t* cu_seqlens, int64_t samples, int64_t heads, int64_t size,
               Activation to) {
  const int64_t width = heads * size;
#pragma omp parallel
  {
    Arithmetic::begin();
#pragma omp for schedule(dynamic) collapse(2)
    for (int64_t s = 0; s < samples; s++) {
      for (int64_t h = 0; h < heads; h++) {
        const auto first = [&](int64_t part) {
          return (const Element*)qkv.data + place(qkv, cu_seqlens[s], part * width + h * size);
        };
        const HeadRows<Element> stored{first(0), first(1), first(2), qkv.row_stride, qkv.block_stride};
        const int64_t length = cu_seqlens[s + 1] - cu_seqlens[s];
        attend<Arithmetic>(Arithmetic::prepare(stored, length, size), length, size, cu_seqlens[s], h * size, to);
      }
    }
    Arithmetic::end();
  }
}
