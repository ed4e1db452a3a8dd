// softmax(Q Kᵀ / √size) V over packed samples in int8, in AMX tiles, by vpdpbusd or by ARM's smmla: q, k and v are
// bytes in lines of 64 channels, which are one head, or two or four smaller ones.
//
// A few queries at a time stand next to each other. The scores of a key are then vectors over the queries, so nothing
// in the softmax is reduced across a vector, and bytes of four keys' weights are one 32-bit word of a query, as the
// second product reads them.
#pragma once
#include <omp.h>

#include "int8_attention_products.h"

struct Int8Qkv {
  Activation values;           // [rows, 3 × width]: queries, keys, values; uint8 with zero point 128, or int8
  const float* score_factor;   // [heads], of the integer scores; log2(e) / √size included
  const float* value_factor;   // [width], from the integer values to bytes of the context
  const float* value_offset;   // [width], what is added to those, the zero point included

  Lines lines(int64_t row, int64_t channel) const {
    return {(const uint8_t*)values.data + place(values, row, channel), values.row_stride};
  }
};

// 2^x for x <= 30 to 1e-4 of it, a hundredth of the error of queries, keys and values in bytes.
inline Floats exp2_coarse(Floats x) {
#if defined(__AVX512DQ__)
  constexpr __mmask16 kAllLanes = 0xffff;
  const Floats fraction =
      (Floats)_mm512_maskz_reduce_ps(kAllLanes, (__m512)x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
#else
  x = maximum(x, broadcast(-126.0f));
  const Floats rounded = (x - 0.5f) + kRounder, fraction = x - (rounded - kRounder);
#endif
  Floats power = 7.802387e-2f * fraction + 2.2606693e-1f;
  power = power * fraction + 6.9583425e-1f;
  power = power * fraction + 9.9992508e-1f;
#if defined(__AVX512DQ__)
  return (Floats)_mm512_maskz_scalef_ps(kAllLanes, (__m512)power, (__m512)x);
#else
  return (Floats)((Int32s)power + (((Int32s)rounded - (Int32s)broadcast(kRounder)) << 23));
#endif
}

// What makes x * factor - offset 16 bits' largest exponent at x = top, or a few ulp less: one more would carry.
inline Floats offset_for(Floats top, float factor) {
  constexpr float kLargest = 15.9999780f;  // log2(65,535)
#if defined(__AVX512F__)
  constexpr int kUp = _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC;
  return (Floats)_mm512_fmsub_round_ps((__m512)top, _mm512_set1_ps(factor), _mm512_set1_ps(kLargest), kUp);
#else
  const Floats offset = top * factor - kLargest;
  return offset + maximum(offset, -offset) * 2.4e-7f;  // two ulp
#endif
}

// Of a vector of queries; scores: a row of kQueries for each key. weights: [padded / 4], about 65,535 for a query's
// highest score; returns 1 / their sums.
inline Floats softmax(const int32_t* scores, int64_t length, int64_t padded, float factor, WeightWords* weights) {
  Int32s top[4];
  for (int64_t i = 0; i < 4; i++) top[i] = load<Int32s>(scores);
  int64_t key = 0;
  for (; key + 4 <= length; key += 4) {
#pragma GCC unroll 4
    for (int64_t i = 0; i < 4; i++) {
      const Int32s one = load<Int32s>(scores + (key + i) * kQueries);
      top[i] = maximum(one, top[i]);
    }
  }
  for (; key < length; key++) {
    const Int32s one = load<Int32s>(scores + key * kQueries);
    top[0] = maximum(one, top[0]);
  }
#pragma GCC unroll 3
  for (int64_t i = 1; i < 4; i++) top[0] = maximum(top[i], top[0]);
  const Floats offset = offset_for(to_floats(top[0]), factor);
  Int32s total{};
  const auto weigh = [&](int64_t at) {
    const Int32s weight = round_to_int32(exp2_coarse(to_floats(load<Int32s>(scores + at * kQueries)) * factor - offset));
    total += weight;
    return weight;
  };
  for (key = 0; key + 4 <= length; key += 4) {
    const Int32s a = weigh(key), b = weigh(key + 1), c = weigh(key + 2), d = weigh(key + 3);
    weights[key / 4] = join_weights(a, b, c, d);
  }
  if (key < length) {
    const Int32s a = weigh(key), b = key + 1 < length ? weigh(key + 1) : Int32s{},
                 c = key + 2 < length ? weigh(key + 2) : Int32s{};
    weights[key / 4] = join_weights(a, b, c, Int32s{});
    key += 4;
  }
  for (; key < padded; key += 4) weights[key / 4] = WeightWords{};
  return 1.0f / to_floats(total);
}

struct Int8Scratch {
  Scratch<uint8_t> keys;
  Scratch<int8_t> values;
  Scratch<int32_t> scores;
  Scratch<WeightWords> weights;
};

// One head of 16 × kGroups channels of the sample of tokens [first, first + length).
template <int kGroups>
inline void attend(const Int8Qkv& qkv, int64_t heads, int64_t head, int64_t first, int64_t length,
                   const Activation& to) {
  static thread_local Int8Scratch scratch;
  constexpr int64_t kSize = 16 * kGroups, kVectors = kQueries / kWidth;
  const int64_t padded = round_up(length, kTileKeys), width = heads * kSize;
  const int64_t channel = head * kSize, inside = channel % kLine, line = channel - inside;
  int8_t* values = scratch.values.reserve(padded * kLine);
  int32_t* scores = scratch.scores.reserve(padded * kQueries);
  WeightWords* weights = scratch.weights.reserve(kVectors * padded / 4);
  const Lines queries = qkv.lines(first, line);
  const uint8_t* keys =
      Int8Products::lay_out_keys(scratch.keys.reserve(padded * kLine), qkv.lines(first, width + line), length);
  Int8Products::lay_out_values(values, qkv.lines(first, 2 * width + line), length, padded);
  for (int64_t q = 0; q < length; q += kQueries) {
    const int64_t count = std::min(kQueries, length - q);
    Int8Products::Queries operands;
    Floats scale[kVectors];
    Int32s high[kSize * kVectors], low[kSize * kVectors];
    Int8Products::lay_out_queries<kGroups>(queries, q, length, inside, operands);
    Int8Products::multiply_keys<kGroups>(keys, inside, length, operands, scores);
    for (int64_t v = 0; v < kVectors; v++)
      scale[v] = softmax(scores + v * kWidth, length, padded, qkv.score_factor[head], weights + v * padded / 4);
    Int8Products::lay_out_weights(weights, padded);
    Int8Products::multiply_values<kGroups>(values, inside, weights, length, high, low);
    uint8_t* out = (uint8_t*)to.data + place(to, first + q, channel);
    Int8Products::store_context<kGroups>(high, low, scale, qkv.value_factor + channel, qkv.value_offset + channel, out,
                                         to.row_stride, count);
  }
}

template <int kGroups>
void int8_attention(const Int8Qkv& qkv, const int64_t* cu_seqlens, int64_t samples, int64_t heads,
                    const Activation& to) {
#pragma omp parallel
  {
    Int8Products::begin();
#pragma omp for schedule(dynamic) collapse(2)
    for (int64_t s = 0; s < samples; s++)
      for (int64_t h = 0; h < heads; h++)
        attend<kGroups>(qkv, heads, h, cu_seqlens[s], cu_seqlens[s + 1] - cu_seqlens[s], to);
    Int8Products::end();
  }
}
