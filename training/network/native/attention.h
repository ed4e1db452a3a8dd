// softmax(q kᵀ / √size) v of each head of each sample, with dropout of the weights, forward and backward. The weights of
// a few queries at a time lie in the cache; the backward pass computes them once more from `sums`.
#pragma once
#include <algorithm>
#include <cmath>

#include "exponential.h"
#include "product.h"
#include "random.h"

constexpr int64_t kQueries = 8 * kRows;  // at a time
constexpr int64_t kAhead = 12, kLine = 16;  // rows to fetch ahead of their use; floats in a line of the cache
constexpr float kLn2 = 0.69314718f, kLowest = -1e30f;

struct Samples {
  const float* qkv;           // [T, 3 * heads * size]
  const int32_t* cu_seqlens;  // [count + 1]
  int64_t count, heads, size;
};

// One head of one sample, and the memory that its products need.
struct Head {
  Head(const Samples& samples, int64_t task, Scratch<float>& scratch) : samples(samples) {
    const int64_t sample = task / samples.heads;
    head = task % samples.heads;
    first = samples.cu_seqlens[sample], length = samples.cu_seqlens[sample + 1] - first;
    columns = (length + kWidth - 1) / kWidth * kWidth;
    stride = columns + (columns / kWidth % 2 ? 0 : kWidth);  // an odd number of vectors: rows fall on all cache sets
    next = scratch.reserve(7 * length * samples.size + length + 2 * stride * (samples.size + kQueries));
  }

  float* take(int64_t elements) {
    float* taken = next;
    next += elements;
    return taken;
  }

  // The head's rows of part 0, 1 or 2 (queries, keys, values) in `from`, whose rows have `parts` of them, times `by`.
  float* rows(const float* from, int64_t part, int64_t parts, float by) {
    const int64_t size = samples.size, width = samples.heads * size;
    float* to = take(length * size);
    for (int64_t t = 0; t < length; t++) {
      const float *row = from + ((first + t) * parts + part) * width + head * size, *later = row + kAhead * parts * width;
      for (int64_t d = 0; d < size; d += kLine) __builtin_prefetch(later + d);
      for (int64_t d = 0; d < size; d += kWidth) store(to + t * size + d, load_floats(row + d) * by);
    }
    return to;
  }

  // rows[length, size] → [size, stride], 0 after the last token.
  float* transposed(const float* rows) {
    const int64_t size = samples.size;
    float* to = take(size * stride);
    for (int64_t t = 0; t < columns; t += kWidth) {
      for (int64_t d = 0; d < size; d += kWidth) {
        Uint32s square[kWidth];
        for (int64_t i = 0; i < kWidth; i++)
          square[i] = t + i < length ? load<Uint32s>(rows + (t + i) * size + d) : Uint32s{};
        transpose(square);
        for (int64_t i = 0; i < kWidth; i++) store(to + (d + i) * stride + t, square[i]);
      }
    }
    return to;
  }

  // Σ over channels of `from`, whose rows are as wide as the heads, times rows[length, size]: of the mixture and its
  // gradient, the weighted mean of the gradients of a query's weights.
  float* row_products(const float* from, const float* rows) {
    const int64_t size = samples.size, width = samples.heads * size;
    float* to = take(length);
    for (int64_t t = 0; t < length; t++) {
      const float *row = from + (first + t) * width + head * size, *later = row + kAhead * width;
      for (int64_t d = 0; d < size; d += kLine) __builtin_prefetch(later + d);
      Floats sum{};
      for (int64_t d = 0; d < size; d += kWidth) sum += load_floats(row + d) * load_floats(rows + t * size + d);
      to[t] = reduce_sum(sum);
    }
    return to;
  }

  uint64_t row_of_draws(int64_t query) const { return (first + query) * samples.heads + head; }

  const Samples& samples;
  int64_t head, first, length, columns, stride;
  float* next;
};

// Writes rows of a head, times `by`, into part `part` of `parts` of `to`.
inline void put(const Head& of, const float* rows, float* to, int64_t part, int64_t parts, float by) {
  const int64_t size = of.samples.size, width = of.samples.heads * size;
  for (int64_t t = 0; t < of.length; t++) {
    float* row = to + ((of.first + t) * parts + part) * width + of.head * size;
    for (int64_t d = 0; d < size; d += kWidth) store(row + d, load_floats(rows + t * size + d) * by);
  }
}

// Scores → weights, not yet divided by their sum, 0 where dropped. Returns that sum; `top` becomes the largest score.
inline float weigh(float* scores, int64_t length, const Draws& draws, float& top) {
  const int64_t columns = (length + kWidth - 1) / kWidth * kWidth;
  for (int64_t j = length; j < columns; j++) scores[j] = kLowest;
  Floats largest = broadcast(kLowest), total{};
  for (int64_t j = 0; j < columns; j += kWidth) largest = maximum(largest, load_floats(scores + j));
  top = reduce_max(largest);
  for (int64_t j = 0; j < columns; j += kWidth) {
    const Floats weight = exp2_exact(load_floats(scores + j) - top);
    total += weight;
    store(scores + j, draws.keep(j, weight));
  }
  return reduce_sum(total);
}

// mixed[T, heads * size]; sums[T, heads]: log2 of the sum of each query's weights.
inline void attend(const Samples& samples, const Dropout& dropout, float* mixed, float* sums) {
  const int64_t size = samples.size, width = samples.heads * size;
#pragma omp parallel for schedule(dynamic, 1)
  for (int64_t task = 0; task < samples.count * samples.heads; task++) {
    static thread_local Scratch<float> scratch;
    Head head(samples, task, scratch);
    const float* queries = head.rows(samples.qkv, 0, 3, kLog2E / std::sqrt((float)size));
    const float* keys = head.transposed(head.rows(samples.qkv, 1, 3, 1));
    const float* values = head.rows(samples.qkv, 2, 3, 1);
    float* scores = head.take(kQueries * head.stride);
    for (int64_t from = 0; from < head.length; from += kQueries) {
      const int64_t rows = std::min(kQueries, head.length - from);
      product<false>(rows, head.columns, size, {queries + from * size, size, 1}, keys, head.stride, scores,
                     head.stride);
      float factors[kQueries];
      for (int64_t r = 0; r < rows; r++) {
        float top;
        const Draws draws(dropout, head.row_of_draws(from + r));
        const float sum = weigh(scores + r * head.stride, head.length, draws, top);
        factors[r] = dropout.factor / sum;
        sums[head.row_of_draws(from + r)] = top + std::log2(sum);
      }
      float* to = mixed + (head.first + from) * width + head.head * size;
      product<false>(rows, size, head.length, {scores, head.stride, 1}, values, size, to, width);
      for (int64_t r = 0; r < rows; r++)
        for (int64_t d = 0; d < size; d += kWidth)
          store(to + r * width + d, load_floats(to + r * width + d) * factors[r]);
    }
  }
}

// Scores → weights after dropout; gradients of those → gradients of the scores.
inline void unweigh(float* scores, float* grads, int64_t columns, const Draws& draws, float sum, float factor,
                    float mean) {
  for (int64_t j = 0; j < columns; j += kWidth) {
    const Floats weight = exp2_exact(minimum(load_floats(scores + j) - sum, Floats{}));
    const Floats kept = draws.keep(j, broadcast(factor));
    store(scores + j, weight * kept);
    store(grads + j, weight * (load_floats(grads + j) * kept - mean));
  }
}

// grads[T, 3 * heads * size] of qkv, from `to_mixed`, the gradient of `mixed`.
inline void attend_backward(const Samples& samples, const Dropout& dropout, const float* mixed, const float* sums,
                            const float* to_mixed, float* grads) {
  const int64_t size = samples.size, width = samples.heads * size;
  const float scale = 1 / std::sqrt((float)size);
#pragma omp parallel for schedule(dynamic, 1)
  for (int64_t task = 0; task < samples.count * samples.heads; task++) {
    static thread_local Scratch<float> scratch;
    Head head(samples, task, scratch);
    const float *queries = head.rows(samples.qkv, 0, 3, kLog2E * scale), *keys = head.rows(samples.qkv, 1, 3, 1);
    const float *to_mix = head.rows(to_mixed, 0, 1, 1), *turned_keys = head.transposed(keys);
    const float* turned_values = head.transposed(head.rows(samples.qkv, 2, 3, 1));
    float *to_keys = head.take(head.length * size), *to_values = head.take(head.length * size);
    float *scores = head.take(kQueries * head.stride), *to_scores = head.take(kQueries * head.stride);
    const float* means = head.row_products(mixed, to_mix);
    memset(to_keys, 0, head.length * size * sizeof(float));
    memset(to_values, 0, head.length * size * sizeof(float));
    for (int64_t from = 0; from < head.length; from += kQueries) {
      const int64_t rows = std::min(kQueries, head.length - from);
      const float *query = queries + from * size, *to_row = to_mix + from * size;
      product<false>(rows, head.columns, size, {query, size, 1}, turned_keys, head.stride, scores, head.stride);
      product<false>(rows, head.columns, size, {to_row, size, 1}, turned_values, head.stride, to_scores, head.stride);
      for (int64_t r = 0; r < rows; r++) {
        const uint64_t row = head.row_of_draws(from + r);
        unweigh(scores + r * head.stride, to_scores + r * head.stride, head.columns, Draws(dropout, row), sums[row],
                dropout.factor, means[from + r]);
      }
      product<true>(head.length, size, rows, {scores, 1, head.stride}, to_row, size, to_values, size);
      product<true>(head.length, size, rows, {to_scores, 1, head.stride}, query, size, to_keys, size);
      float* to_query = grads + (head.first + from) * 3 * width + head.head * size;
      product<false>(rows, size, head.length, {to_scores, head.stride, 1}, keys, size, to_query, 3 * width);
      for (int64_t r = 0; r < rows; r++)
        for (int64_t d = 0; d < size; d += kWidth)
          store(to_query + r * 3 * width + d, load_floats(to_query + r * 3 * width + d) * scale);
    }
    put(head, to_keys, grads, 1, 3, kLn2);  // the queries were multiplied by log2(e)
    put(head, to_values, grads, 2, 3, 1);
  }
}
