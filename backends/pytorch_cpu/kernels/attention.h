// softmax(Q Kᵀ / √d) V over packed samples, one (sample, head) at a time: keys and values are laid out once for the
// products, then a few queries at a time meet all of them while their scores stay in the first-level cache.
//
// Two kinds of arithmetic, under one shape: floats, and bfloat16 pairs where the machine multiplies those.
#pragma once
#include <cmath>

#include "activation.h"
#include "vector_math.h"

// --- operands out of rows of Q, K and V ---

template <class Element>
inline void gather_row(float* to, const Element* row, int64_t size) {
  for (int64_t d = 0; d < size; d += kWidth) store(to + d, read(row + d));
}
inline void gather_row(uint32_t* to, const uint16_t* row, int64_t size) {
  for (int64_t d = 0; d < size; d += 2 * kWidth) store((uint16_t*)to + d, load<Words>(row + d));
}

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
struct Room {  // one thread's
  Scratch<Operand> query, keys, weights, values;
  Scratch<float> scores, context;
};

// The highest of `count` vectors, in four strands: one alone would wait for itself.
inline Floats highest_of(const float* from, int64_t count, Floats first) {
  Floats top[4] = {first, first, first, first};
  int64_t i = 0;
  for (; i + 4 <= count; i += 4) {
#pragma GCC unroll 4
    for (int strand = 0; strand < 4; strand++)
      top[strand] = maximum(top[strand], read(from + (i + strand) * kWidth));
  }
  for (; i < count; i++) top[0] = maximum(top[0], read(from + i * kWidth));
  return maximum(maximum(top[0], top[1]), maximum(top[2], top[3]));
}

// weights = one × 2^(factor (scores - the highest)), as operands; returns their sum. Columns from `length` on weigh
// nothing.
template <class Maths>
inline float softmax(const float* scores, int64_t length, int64_t padded, Floats outside, float factor,
                     typename Maths::Operand* weights) {
  const int64_t last = (length - 1) / kWidth * kWidth;
  const Floats last_scores = read(scores + last) + outside;
  const float offset = highest(highest_of(scores, last / kWidth, last_scores)) * factor - Maths::kLogOne;
  Floats total{};
  const auto weigh = [&](int64_t i, Floats score) {
    const Floats weight = exp2_below(score * factor - offset);
    total += weight;
    Maths::keep(weights + i / Maths::kStep, weight);
  };
  for (int64_t i = 0; i < last; i += kWidth) weigh(i, read(scores + i));
  weigh(last, last_scores);
  for (int64_t i = last + kWidth; i < padded; i += kWidth) Maths::keep(weights + i / Maths::kStep, Floats{});
  return sum(total);
}

inline int64_t up_to_multiple(int64_t x, int64_t of) { return (x + of - 1) / of * of; }

// One head of one sample; its context goes to out[first token + q, channel ...].
template <class Maths, class Element>
void attend(const Rows<Element>& rows, int64_t length, int64_t size, int64_t first, int64_t channel, int64_t width,
            const Activation& out) {
  typedef typename Maths::Operand Operand;
  constexpr int kStep = Maths::kStep, kRows = Maths::kRows;
  static thread_local Room<Operand> room;
  const int64_t padded = up_to_multiple(length, Maths::kKeys), steps = padded / kStep, depth = size / kStep;
  Operand *query = room.query.room(kRows * depth), *keys = room.keys.room(depth * padded);
  Operand *weights = room.weights.room(kRows * steps), *values = room.values.room(steps * size);
  float *scores = room.scores.room(kRows * padded), *context = room.context.room(kRows * size);
  gather_keys(keys, padded, rows.k, rows.stride, length, depth, kStep);
  gather_values(values, rows.v, rows.stride, length, size);
  const int64_t filled = (length + kStep - 1) / kStep * size;
  memset((void*)(values + filled), 0, (steps * size - filled) * sizeof(Operand));

  Floats outside{};  // what the last scores are lowered by: columns beyond the last key weigh nothing
  for (int64_t i = length; i % kWidth; i++) outside[i % kWidth] = -1e30f;
  const float to_base_two = 1.44269504f / std::sqrt((float)size) * rows.score_factor;
  for (int64_t q0 = 0; q0 < length; q0 += kRows) {
    const int64_t count = length - q0 < kRows ? length - q0 : kRows;
    for (int64_t r = 0; r < count; r++) gather_row(query + r * depth, rows.q + (q0 + r) * rows.stride, size);
    Maths::product(query, depth, keys, padded, depth, padded, scores, padded);
    float factor[kRows];
    for (int64_t r = 0; r < count; r++)
      factor[r] = rows.value_factor /
                  softmax<Maths>(scores + r * padded, length, padded, outside, to_base_two, weights + r * steps);
    Maths::product(weights, steps, values, size, steps, size, context, size);
    for (int64_t r = 0; r < count; r++)
      for (int64_t d = 0; d < size; d += kWidth)
        put(out, (first + q0 + r) * width + channel + d, channel + d, read(context + r * size + d) * factor[r]);
  }
}

// qkv[T, 3 * width] of packed samples; sample s owns tokens ends[s]..ends[s + 1].
template <class Maths, class Element>
void attention(const Element* qkv, const int64_t* ends, int64_t samples, int64_t heads, int64_t size, Activation out) {
  const int64_t width = heads * size, stride = 3 * width;
#pragma omp parallel
  {
    Maths::begin();
#pragma omp for schedule(dynamic) collapse(2)
    for (int64_t s = 0; s < samples; s++) {
      for (int64_t h = 0; h < heads; h++) {
        const Element* q = qkv + ends[s] * stride + h * size;
        const int64_t length = ends[s + 1] - ends[s];
        const auto rows = Maths::take(Rows<Element>{q, q + width, q + 2 * width, stride}, length, size);
        attend<Maths>(rows, length, size, ends[s], h * size, width, out);
      }
    }
    Maths::end();
  }
}
