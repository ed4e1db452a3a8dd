// LayerNorm fused with the sum before it, in one pass over memory: a row is summed, normalized and stored while it is
// in the first-level cache. Widths are multiples of the vector width.
#pragma once
#include <algorithm>
#include "activation.h"

struct LayerNorm {
  const float* weight;  // [width]
  const float* bias;    // [width]
  float epsilon;
};

// Calls step(i, chain) for every vector of a row, with four chains in turn: sums in one would wait for each other.
template <class Step>
inline void for_each_vector(int64_t width, Step step) {
  int64_t i = 0;
  for (; i + 4 * kWidth <= width; i += 4 * kWidth) {
#pragma GCC unroll 4
    for (int chain = 0; chain < 4; chain++) step(i + chain * kWidth, chain);
  }
  for (; i < width; i += kWidth) step(i, 0);
}

inline float sum_of(const Floats chains[4]) { return reduce_sum((chains[0] + chains[1]) + (chains[2] + chains[3])); }

// row[0..width) = LayerNorm of the vectors read(i); stored as row `index` of `to` as well.
template <class Read>
inline void normalize(float* row, int64_t index, int64_t width, LayerNorm norm, Activation to, Read read) {
  Floats totals[4] = {}, squares[4] = {};
  for_each_vector(width, [&](int64_t i, int chain) {
    const Floats x = read(i);
    store(row + i, x);
    totals[chain] += x;
  });
  const float mean = sum_of(totals) / width;
  for_each_vector(width, [&](int64_t i, int chain) {
    const Floats difference = load_floats(row + i) - mean;
    squares[chain] += difference * difference;
  });
  const float scale = 1.0f / __builtin_sqrtf(sum_of(squares) / width + norm.epsilon);
  for_each_vector(width, [&](int64_t i, int) {
    const Floats x = (load_floats(row + i) - mean) * scale * load_floats(norm.weight + i) + load_floats(norm.bias + i);
    store(row + i, x);
    if (to.data) store_activation(to, index, i, x);
  });
}

// Fetches the line that element (row, channel) begins, to be written if `writes`; nothing if it begins none.
// Inlined always: GCC takes a function that only prefetches for one that does nothing, and drops its calls.
template <bool writes>
__attribute__((always_inline)) inline void fetch_line(const Activation& of, int64_t row, int64_t channel) {
  const int64_t bytes = element_bytes(of.type);
  if (channel * bytes % 64 == 0) __builtin_prefetch((const char*)of.data + place(of, row, channel) * bytes, writes, 3);
}

// stream[T, width] = LayerNorm(stream + projected[T, width]); `projected` is of floats or bfloat16. Lines of later
// rows are fetched early: in blocks of channels they are too many streams for the processor to foresee, and those of
// the stream come late.
inline void add_norm(Activation projected, float* stream, int64_t tokens, int64_t width, LayerNorm norm,
                     Activation to) {
#pragma omp parallel for schedule(static)
  for (int64_t t = 0; t < tokens; t++) {
    const Activation added = projected, written = to;
    float* row = stream + t * width;
    const int64_t later = std::min(t + 4, tokens - 1);
    normalize(row, t, width, norm, to, [=](int64_t i) {
      fetch_line<false>(added, later, i);
      if (written.data) fetch_line<true>(written, later, i);
      if (i % 16 == 0) __builtin_prefetch(stream + later * width + i, 1, 3);
      return load_floats(row + i) + load_activation(added, t, i);
    });
  }
}

struct EmbeddingTables {
  const float *words, *types, *positions;  // [rows, width]
};

// stream[T, width] = LayerNorm(words[ids] + types[type_ids] + positions[position_ids])
inline void embed(const int64_t* ids, const int64_t* type_ids, const int64_t* position_ids, EmbeddingTables tables,
                  float* stream, int64_t tokens, int64_t width, LayerNorm norm, Activation to) {
#pragma omp parallel for schedule(static)
  for (int64_t t = 0; t < tokens; t++) {
    const float* word = tables.words + ids[t] * width;
    const float* type = tables.types + type_ids[t] * width;
    const float* position = tables.positions + position_ids[t] * width;
    float* row = stream + t * width;
    normalize(row, t, width, norm, to, [=](int64_t i) {
      return load_floats(word + i) + load_floats(type + i) + load_floats(position + i);
    });
  }
}
