// LayerNorm of the residual stream in bfloat16, in place, after a product has added to it (int8_product.h). It lies in
// blocks of channels, so a row is a line in each; four rows at a time, whose lines are neighbours.
//
// A line's even and odd channels are two vectors of floats: a shift and a mask split it, with no lane to move. Channels
// are a multiple of 64.
#pragma once
#include <omp.h>

#include <algorithm>

#include "activation.h"

struct StreamNorm {
  const float* weight;  // [width]
  const float* bias;    // [width]
  float epsilon;
};

constexpr int64_t kStreamLine = 32;  // channels
constexpr int64_t kRowsTogether = 4;

struct EvenOdd {
  Floats even, odd;
};

inline EvenOdd split(__m512i line) {
  return {(Floats)(__m512i)((Uint32s)line << 16), (Floats)(__m512i)((Uint32s)line & 0xffff0000)};
}

// Both rounded to bfloat16, in the order of the channels.
inline __m512i join(EvenOdd x) {
  const auto rounded = [](Floats of) { return (Uint32s)of + 0x7fff + ((Uint32s)of >> 16 & 1); };
  return (__m512i)((rounded(x.even) >> 16) | (rounded(x.odd) & 0xffff0000));
}

// 64 channels of two lines as bytes, rounded to nearest even and clamped.
inline __m512i join_bytes(EvenOdd first, EvenOdd second) {
  const auto rounded = [](Floats x) { return (__m512i)round_to_int32(minimum(x, broadcast(255.0f))); };
  // In each quarter of a vector: four even ones, four odd ones, of the first line and then of the second.
  const __m512i words[2] = {_mm512_packus_epi32(rounded(first.even), rounded(first.odd)),
                            _mm512_packus_epi32(rounded(second.even), rounded(second.odd))};
  const __m512i alternate = _mm512_maskz_broadcast_i32x4(0xffff, _mm_set_epi8(15, 11, 14, 10, 13, 9, 12, 8, 7, 3, 6, 2, 5, 1, 4, 0));
  const __m512i bytes = _mm512_shuffle_epi8(_mm512_packus_epi16(words[0], words[1]), alternate);
  return _mm512_maskz_permutexvar_epi64(0xff, _mm512_set_epi64(7, 5, 3, 1, 6, 4, 2, 0), bytes);
}

// In the order of the channels.
inline void store_floats(float* to, EvenOdd x) {
  const __m512i lower = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  const __m512i upper = _mm512_set_epi32(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8);
  store(to, (Floats)_mm512_permutex2var_ps((__m512)x.even, lower, (__m512)x.odd));
  store(to + 16, (Floats)_mm512_permutex2var_ps((__m512)x.even, upper, (__m512)x.odd));
}

inline EvenOdd load_even_odd(const float* from) {
  EvenOdd found;
  for (int64_t i = 0; i < kWidth; i++) {
    found.even[i] = from[2 * i];
    found.odd[i] = from[2 * i + 1];
  }
  return found;
}

// A norm's parameters, even channels of each line before the odd ones; and with the encoding of the next input.
struct SplitNorm {
  const EvenOdd *weight, *bias, *byte_weight, *byte_bias;  // [width / 32]
};

inline SplitNorm split_norm(StreamNorm norm, int64_t width, const Activation& to) {
  static thread_local Scratch<EvenOdd> scratch;
  const int64_t lines = width / kStreamLine;
  EvenOdd* found = scratch.reserve(4 * lines);
  for (int64_t i = 0; i < lines; i++) {
    const EvenOdd weight = load_even_odd(norm.weight + i * kStreamLine), bias = load_even_odd(norm.bias + i * kStreamLine);
    found[i] = weight;
    found[lines + i] = bias;
    if (!to.multiplier) continue;
    const EvenOdd multiplier = load_even_odd(to.multiplier + i * kStreamLine);
    const float zero = (float)to.zero_point;
    found[2 * lines + i] = {weight.even * multiplier.even, weight.odd * multiplier.odd};
    found[3 * lines + i] = {bias.even * multiplier.even + zero, bias.odd * multiplier.odd + zero};
  }
  return {found, found + lines, found + 2 * lines, found + 3 * lines};
}

// (x - mean) / deviation = x * scale + offset
struct Moments {
  float scale, offset;
};

// `row`: a line every `stride` bytes.
inline Moments moments(const uint8_t* row, int64_t stride, int64_t lines, float epsilon) {
  Floats sums[4] = {}, squares[4] = {};
  for (int64_t i = 0; i < lines; i += 2) {
#pragma GCC unroll 2
    for (int64_t j = 0; j < 2; j++) {
      const EvenOdd x = split(load<__m512i>(row + (i + j) * stride));
      sums[2 * j] += x.even;
      sums[2 * j + 1] += x.odd;
      squares[2 * j] += x.even * x.even;
      squares[2 * j + 1] += x.odd * x.odd;
    }
  }
  const float count = (float)(lines * kStreamLine);
  const float mean = reduce_sum((sums[0] + sums[1]) + (sums[2] + sums[3])) / count;
  const float square = reduce_sum((squares[0] + squares[1]) + (squares[2] + squares[3])) / count;
  float variance = square - mean * mean;
  if (__builtin_expect(variance < square * 0.01f, 0)) {  // too little is left of the squares
    Floats differences[2] = {};
    for (int64_t i = 0; i < lines; i++) {
      const EvenOdd x = split(load<__m512i>(row + i * stride));
      differences[0] += (x.even - mean) * (x.even - mean);
      differences[1] += (x.odd - mean) * (x.odd - mean);
    }
    variance = reduce_sum(differences[0] + differences[1]) / count;
  }
  const float scale = 1.0f / __builtin_sqrtf(variance + epsilon);
  return {scale, -mean * scale};
}

inline EvenOdd scaled(EvenOdd x, EvenOdd by, EvenOdd and_add) {
  return {x.even * by.even + and_add.even, x.odd * by.odd + and_add.odd};
}

// One row, of lines `stride` bytes apart, in place, and as row `index` of `to`. Its lines `ahead` bytes further are
// fetched, as those of the stream are.
inline void normalize_row(uint8_t* row, int64_t stride, int64_t lines, Moments of, const SplitNorm& norm,
                          const Activation& to, int64_t index, int64_t ahead) {
  const auto normal = [&](const uint8_t* line) {
    const EvenOdd x = split(load<__m512i>(line));
    return EvenOdd{x.even * of.scale + of.offset, x.odd * of.scale + of.offset};
  };
  for (int64_t i = 0; i < lines; i += 2) {
    uint8_t *first = row + i * stride, *second = first + stride;
    const EvenOdd a = normal(first), b = normal(second);
    const EvenOdd y[2] = {scaled(a, norm.weight[i], norm.bias[i]), scaled(b, norm.weight[i + 1], norm.bias[i + 1])};
    store(first, join(y[0]));
    store(second, join(y[1]));
    if (to.type == kFloat) {
      float* at = (float*)to.data + place(to, index, i * kStreamLine);
      store_floats(at, y[0]);
      store_floats(at + kStreamLine, y[1]);
    } else {
      uint8_t* at = (uint8_t*)to.data + place(to, index, i * kStreamLine);
      if (to.row_stride == 64) __builtin_prefetch(at + ahead, 1, 3);
      const __m512i bytes = join_bytes(scaled(a, norm.byte_weight[i], norm.byte_bias[i]),
                                       scaled(b, norm.byte_weight[i + 1], norm.byte_bias[i + 1]));
      store(at, to.type == kUint8 ? bytes : _mm512_xor_si512(bytes, _mm512_set1_epi8((char)0x80)));
    }
  }
}

// stream[tokens, width], bfloat16 in blocks, = LayerNorm(stream); `to` gets the same as bytes or as floats in rows.
inline void norm_stream(const Activation& stream, int64_t tokens, int64_t width, StreamNorm norm, const Activation& to) {
  const int64_t lines = width / kStreamLine, stride = stream.block_stride * 2;
  const int64_t groups = (tokens + kRowsTogether - 1) / kRowsTogether;
#pragma omp parallel
  {
    const SplitNorm parameters = split_norm(norm, width, to);
#pragma omp for schedule(static)
    for (int64_t group = 0; group < groups; group++) {
      const int64_t first = group * kRowsTogether, count = std::min(kRowsTogether, tokens - first);
      const int64_t ahead = first + 2 * kRowsTogether <= tokens ? kRowsTogether * 64 : 0;  // to the next group
      uint8_t* rows = (uint8_t*)stream.data + first * 64;
      Moments found[kRowsTogether];
      for (int64_t r = 0; r < count; r++) {
        for (int64_t i = 0; i < lines; i++) __builtin_prefetch(rows + ahead + r * 64 + i * stride, 1, 3);
        found[r] = moments(rows + r * 64, stride, lines, norm.epsilon);
      }
      for (int64_t r = 0; r < count; r++)
        normalize_row(rows + r * 64, stride, lines, found[r], parameters, to, first + r, ahead);
    }
  }
}

struct EmbeddingSums {
  const float *words, *types, *positions;  // tables, [rows, width]
};

// stream[tokens, width], bfloat16 in blocks, = words[ids] + types[type_ids] + positions[position_ids]
inline void sum_embeddings(const int64_t* ids, const int64_t* type_ids, const int64_t* position_ids,
                           EmbeddingSums tables, int64_t tokens, int64_t width, const Activation& stream) {
#pragma omp parallel for schedule(static)
  for (int64_t t = 0; t < tokens; t++) {
    const float* word = tables.words + ids[t] * width;
    const float* type = tables.types + type_ids[t] * width;
    const float* position = tables.positions + position_ids[t] * width;
    for (int64_t i = 0; i < width; i += kWidth)
      store_activation(stream, t, i, load_floats(word + i) + load_floats(type + i) + load_floats(position + i));
  }
}
