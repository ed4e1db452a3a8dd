// LayerNorm fused with the sum before it, in one pass over memory: a row is summed, normalized and stored while it is
// in the first-level cache. Widths are multiples of the vector width.
#pragma once
#include "activation.h"

struct LayerNorm {
  const float* weight;  // [width]
  const float* bias;    // [width]
  float epsilon;
};

// Normalizes row[0..width) in place and stores the result as row `index` of `to` as well.
inline void normalize(float* row, int64_t index, int64_t width, const LayerNorm& norm, const Activation& to) {
  Floats total{};
  for (int64_t i = 0; i < width; i += kWidth) total += load_floats(row + i);
  const float mean = reduce_sum(total) / width;
  Floats squares{};
  for (int64_t i = 0; i < width; i += kWidth) {
    Floats difference = load_floats(row + i) - mean;
    squares += difference * difference;
  }
  const float scale = 1.0f / __builtin_sqrtf(reduce_sum(squares) / width + norm.epsilon);
  for (int64_t i = 0; i < width; i += kWidth) {
    Floats x = (load_floats(row + i) - mean) * scale * load_floats(norm.weight + i) + load_floats(norm.bias + i);
    store(row + i, x);
    if (to.data) store_activation(to, index, i, x);
  }
}

// stream[T, width] = LayerNorm(stream + projected[T, width]); `projected` is of floats or bfloat16.
inline void add_norm(Activation projected, float* stream, int64_t tokens, int64_t width, LayerNorm norm,
                     Activation to) {
#pragma omp parallel for schedule(static)
  for (int64_t t = 0; t < tokens; t++) {
    float* row = stream + t * width;
    for (int64_t i = 0; i < width; i += kWidth) store(row + i, load_floats(row + i) + load_activation(projected, t, i));
    normalize(row, t, width, norm, to);
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
    for (int64_t i = 0; i < width; i += kWidth)
      store(row + i, load_floats(word + i) + load_floats(type + i) + load_floats(position + i));
    normalize(row, t, width, norm, to);
  }
}
