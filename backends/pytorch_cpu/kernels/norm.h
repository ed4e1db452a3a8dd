// LayerNorm and what stands before it, in one pass over memory: a row is summed, normalised and handed on while it is in
// the first-level cache. Widths are multiples of the vector's.
#pragma once
#include "activation.h"

struct Norm {
  const float* weight;  // [width]
  const float* bias;    // [width]
  float epsilon;
};

// Normalises row[0..width) in place and hands it on, too, as out's row.
inline void normalise(float* row, int64_t index, int64_t width, const Norm& norm, const Activation& out) {
  Floats total{};
  for (int64_t i = 0; i < width; i += kWidth) total += read(row + i);
  const float mean = sum(total) / width;
  Floats squares{};
  for (int64_t i = 0; i < width; i += kWidth) {
    Floats apart = read(row + i) - mean;
    squares += apart * apart;
  }
  const float scale = 1.0f / __builtin_sqrtf(sum(squares) / width + norm.epsilon);
  for (int64_t i = 0; i < width; i += kWidth) {
    Floats x = (read(row + i) - mean) * scale * read(norm.weight + i) + read(norm.bias + i);
    store(row + i, x);
    if (out.to) put(out, index * width + i, i, x);
  }
}

// stream[T, width] = LayerNorm(stream + projected[T, width])
template <class Element>
void add_norm(const Element* projected, float* stream, int64_t tokens, int64_t width, Norm norm, Activation out) {
#pragma omp parallel for schedule(static)
  for (int64_t t = 0; t < tokens; t++) {
    float* row = stream + t * width;
    const Element* added = projected + t * width;
    for (int64_t i = 0; i < width; i += kWidth) store(row + i, read(row + i) + read(added + i));
    normalise(row, t, width, norm, out);
  }
}

struct Tables {
  const float *words, *types, *positions;  // [rows, width]
};

// stream[T, width] = LayerNorm(words[ids] + types[type_ids] + positions[position_ids])
inline void embed(const int64_t* ids, const int64_t* type_ids, const int64_t* position_ids, Tables tables,
                  float* stream, int64_t tokens, int64_t width, Norm norm, Activation out) {
#pragma omp parallel for schedule(static)
  for (int64_t t = 0; t < tokens; t++) {
    const float* word = tables.words + ids[t] * width;
    const float* type = tables.types + type_ids[t] * width;
    const float* position = tables.positions + position_ids[t] * width;
    float* row = stream + t * width;
    for (int64_t i = 0; i < width; i += kWidth) store(row + i, read(word + i) + read(type + i) + read(position + i));
    normalise(row, t, width, norm, out);
  }
}
