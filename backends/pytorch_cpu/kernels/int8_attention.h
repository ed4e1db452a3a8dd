// softmax(Q Kᵀ / √size) V over packed samples in int8, in AMX tiles: q, k and v are int8 in blocks of 64 channels, which
// are one head, or two or four smaller ones.
//
// 16 queries at a time stand in the columns of every tile. The scores of a key are then one vector over the queries, so
// nothing in the softmax is reduced across a vector, and four keys' weights, a byte each, are one 32-bit word of a query,
// as the second product reads them. Keys are read in place; queries and values are transposed.
#pragma once
#include <omp.h>

#include <algorithm>

#include "activation.h"
#include "tiles.h"

struct Int8Qkv {
  const int8_t* values;        // [3 × width / 64][rows][64]: queries, keys, values
  int64_t rows;
  const float* score_factor;   // [heads], of the integer scores; log2(e) / √size included
  const float* value_factor;   // [width], from the integer values to bytes of the context
  const float* value_offset;   // [width], what is added to those, the zero point included
};

constexpr int64_t kLine = 64;       // channels of a block
constexpr int64_t kQueries = 16;    // at a time
constexpr int64_t kTileKeys = 64;   // in a tile of weights
constexpr int64_t kTile = 1024;     // bytes

// 2^x for x <= 30 to 1e-4 of it: weights have eight bits.
inline Floats exp2_coarse(Floats x) {
  constexpr __mmask16 kAllLanes = 0xffff;
  const Floats fraction =
      (Floats)_mm512_maskz_reduce_ps(kAllLanes, (__m512)x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
  Floats power = 7.802387e-2f * fraction + 2.2606693e-1f;
  power = power * fraction + 6.9583425e-1f;
  power = power * fraction + 9.9992508e-1f;
  return (Floats)_mm512_maskz_scalef_ps(kAllLanes, (__m512)power, (__m512)x);
}

inline Int32s round_to_int32(Floats x) {
  constexpr __mmask16 kAllLanes = 0xffff;
  return (Int32s)_mm512_maskz_cvtps_epi32(kAllLanes, (__m512)x);
}

// The lowest bytes of four vectors as one 32-bit word a lane.
inline Uint32s join_bytes(Int32s a, Int32s b, Int32s c, Int32s d) {
  return (Uint32s)a | (Uint32s)b << 8 | (Uint32s)c << 16 | (Uint32s)d << 24;
}

// to: [64 / 16][padded / 64][16][64], tiles of 16 channels by 64 keys; keys from `length` on are zero.
inline void transpose_values(int8_t* to, const int8_t* rows, int64_t length, int64_t padded) {
  for (int64_t key = 0; key < padded; key += kTileKeys) {
    Uint32s words[4][16];  // [channels 4 c ... of each group of 16][group of four keys]
    for (int64_t group = 0; group < 16; group++) {
      __m512i row[4];
#pragma GCC unroll 4
      for (int64_t i = 0; i < 4; i++) {
        const int64_t at = key + 4 * group + i;
        row[i] = at < length ? load<__m512i>(rows + at * kLine) : _mm512_setzero_si512();
      }
      const __m512i low[2] = {_mm512_unpacklo_epi8(row[0], row[1]), _mm512_unpacklo_epi8(row[2], row[3])};
      const __m512i high[2] = {_mm512_unpackhi_epi8(row[0], row[1]), _mm512_unpackhi_epi8(row[2], row[3])};
      words[0][group] = (Uint32s)_mm512_unpacklo_epi16(low[0], low[1]);
      words[1][group] = (Uint32s)_mm512_unpackhi_epi16(low[0], low[1]);
      words[2][group] = (Uint32s)_mm512_unpacklo_epi16(high[0], high[1]);
      words[3][group] = (Uint32s)_mm512_unpackhi_epi16(high[0], high[1]);
    }
    for (int64_t c = 0; c < 4; c++) {
      transpose(words[c]);  // row i: channel i / 4 * 16 + 4 c + i % 4, of 64 keys
      for (int64_t i = 0; i < 16; i++)
        store(to + i / 4 * 16 * padded + key * 16 + (4 * c + i % 4) * kTileKeys, words[c][i]);
    }
  }
}

// scores: [keys][16 queries] of `tiles` × 16 keys.
inline void multiply_keys(const int8_t* keys, int64_t tiles, const Uint32s* queries, int32_t* scores) {
  _tile_loadd(6, queries, 64);
  int64_t t = 0;
  for (; t + 2 <= tiles; t += 2) {
    _tile_zero(0);
    _tile_loadd(4, keys + t * kTile, 64);
    _tile_dpbssd(0, 4, 6);
    _tile_zero(1);
    _tile_loadd(5, keys + (t + 1) * kTile, 64);
    _tile_dpbssd(1, 5, 6);
    _tile_stored(0, scores + t * 256, 64);
    _tile_stored(1, scores + (t + 1) * 256, 64);
  }
  if (t < tiles) {
    _tile_zero(0);
    _tile_loadd(4, keys + t * kTile, 64);
    _tile_dpbssd(0, 4, 6);
    _tile_stored(0, scores + t * 256, 64);
  }
}

// weights: [padded / 4][16 queries], four keys a word, 255 for a query's highest score; returns 1 / their sums.
inline Floats softmax(const int32_t* scores, int64_t length, int64_t padded, float factor, Uint32s* weights) {
  Int32s top[4];
  for (int64_t i = 0; i < 4; i++) top[i] = load<Int32s>(scores);
  int64_t key = 0;
  for (; key + 4 <= length; key += 4) {
#pragma GCC unroll 4
    for (int64_t i = 0; i < 4; i++) {
      const Int32s one = load<Int32s>(scores + (key + i) * 16);
      top[i] = one > top[i] ? one : top[i];
    }
  }
  for (; key < length; key++) {
    const Int32s one = load<Int32s>(scores + key * 16);
    top[0] = one > top[0] ? one : top[0];
  }
#pragma GCC unroll 3
  for (int64_t i = 1; i < 4; i++) top[0] = top[i] > top[0] ? top[i] : top[0];
  const Floats offset = to_floats(top[0]) * factor - 7.99435344f;  // log2(255)
  Int32s total{};
  const auto weigh = [&](int64_t at) {
    const Int32s weight = round_to_int32(exp2_coarse(to_floats(load<Int32s>(scores + at * 16)) * factor - offset));
    total += weight;
    return weight;
  };
  for (key = 0; key + 4 <= length; key += 4) {
    const Int32s a = weigh(key), b = weigh(key + 1), c = weigh(key + 2), d = weigh(key + 3);
    weights[key / 4] = join_bytes(a, b, c, d);
  }
  if (key < length) {
    const Int32s a = weigh(key), b = key + 1 < length ? weigh(key + 1) : Int32s{},
                 c = key + 2 < length ? weigh(key + 2) : Int32s{};
    weights[key / 4] = join_bytes(a, b, c, Int32s{});
    key += 4;
  }
  for (; key < padded; key += 4) weights[key / 4] = Uint32s{};
  return 1.0f / to_floats(total);
}

// sums: [16 × kGroups channels][16 queries] of values × weights.
template <int kGroups>
inline void multiply_values(const int8_t* values, const Uint32s* weights, int64_t tiles, int32_t* sums) {
  const int64_t group = tiles * kTile;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t t = 0; t < tiles; t++) {
    const int8_t* from = values + t * kTile;
    _tile_loadd(6, (const int8_t*)weights + t * kTile, 64);
    _tile_loadd(4, from, 64);
    _tile_dpbsud(0, 4, 6);
    if (kGroups > 1) {
      _tile_loadd(5, from + group, 64);
      _tile_dpbsud(1, 5, 6);
    }
    if (kGroups > 2) {
      _tile_loadd(4, from + 2 * group, 64);
      _tile_dpbsud(2, 4, 6);
      _tile_loadd(5, from + 3 * group, 64);
      _tile_dpbsud(3, 5, 6);
    }
  }
  _tile_stored(0, sums, 64);
  _tile_stored(1, sums + 256, 64);
  _tile_stored(2, sums + 512, 64);
  _tile_stored(3, sums + 768, 64);
}

// `count` rows of 16 × kGroups bytes from sums[16 × kGroups channels][16 queries].
template <int kGroups>
inline void store_context(const int32_t* sums, Floats scale, const float* factor, const float* offset, uint8_t* to,
                          int64_t stride, int64_t count) {
  Uint32s words[16] = {};
  for (int64_t w = 0; w < 4 * kGroups; w++) {
    Int32s bytes[4];
#pragma GCC unroll 4
    for (int64_t i = 0; i < 4; i++) {
      const int64_t c = 4 * w + i;
      const Floats x = to_floats(load<Int32s>(sums + c * 16)) * (scale * factor[c]) + offset[c];
      const Int32s rounded = round_to_int32(minimum(x, broadcast(255.0f)));
      bytes[i] = rounded > 0 ? rounded : Int32s{};
    }
    words[w] = join_bytes(bytes[0], bytes[1], bytes[2], bytes[3]);
  }
  transpose(words);
  for (int64_t q = 0; q < count; q++) memcpy(to + q * stride, &words[q], 16 * kGroups);
}

struct Int8Scratch {
  Scratch<int8_t> values;
  Scratch<int32_t> scores, sums;
  Scratch<uint32_t> weights;
};

// One head of 16 × kGroups channels of the sample of tokens [first, first + length).
template <int kGroups>
inline void attend(const Int8Qkv& qkv, int64_t heads, int64_t head, int64_t first, int64_t length,
                   const Activation& to) {
  static thread_local Int8Scratch scratch;
  constexpr int64_t kSize = 16 * kGroups;
  const int64_t padded = round_up(length, kTileKeys), key_tiles = (length + 15) / 16, block = qkv.rows * kLine;
  int8_t* values = scratch.values.reserve(padded * kLine);
  int32_t* scores = scratch.scores.reserve(key_tiles * 256);
  int32_t* sums = scratch.sums.reserve(1024);
  Uint32s* weights = (Uint32s*)scratch.weights.reserve(padded / 4 * 16);
  const int64_t channel = head * kSize, inside = channel % kLine, blocks = heads * kSize / kLine;
  const int8_t* queries = qkv.values + channel / kLine * block + first * kLine;
  const int8_t* keys = queries + blocks * block;
  transpose_values(values, keys + blocks * block, length, padded);
  for (int64_t q = 0; q < length; q += kQueries) {
    Uint32s words[16];  // [four channels][query]
#pragma GCC unroll 16
    for (int64_t i = 0; i < 16; i++) words[i] = load<Uint32s>(queries + std::min(q + i, length - 1) * kLine);
    transpose(words);
    for (int64_t w = 0; w < 16 && kSize < kLine; w++)  // of the block's other heads: products with their keys are 0
      if (w < inside / 4 || w >= (inside + kSize) / 4) words[w] = Uint32s{};
    multiply_keys(keys, key_tiles, words, scores);
    const Floats scale = softmax(scores, length, padded, qkv.score_factor[head], weights);
    multiply_values<kGroups>(values + inside * padded, weights, padded / kTileKeys, sums);
    uint8_t* out = (uint8_t*)to.data + place(to, first + q, channel);
    store_context<kGroups>(sums, scale, qkv.value_factor + channel, qkv.value_offset + channel, out, to.row_stride,
                           std::min(kQueries, length - q));
  }
}

template <int kGroups>
void int8_attention(const Int8Qkv& qkv, const int64_t* cu_seqlens, int64_t samples, int64_t heads,
                    const Activation& to) {
#pragma omp parallel
  {
    configure_tiles();
#pragma omp for schedule(dynamic) collapse(2)
    for (int64_t s = 0; s < samples; s++)
      for (int64_t h = 0; h < heads; h++)
        attend<kGroups>(qkv, heads, h, cu_seqlens[s], cu_seqlens[s + 1] - cu_seqlens[s], to);
    _tile_release();
  }
}
