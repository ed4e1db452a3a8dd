// The two products of int8 attention, in AMX tiles, in vectors by VNNI or, on ARM, by pairs of rows, and how each lays
// out its operands.
//
// A softmax's weights have 16 bits, since eight would round a long tail to zero. Their high and low bytes are multiplied
// with the values one after the other, so a word of the values is read once for both.
#pragma once
#include <algorithm>

#include "activation.h"
#include "tiles.h"

constexpr int64_t kLine = 64;  // channels of a line, a byte each

// The lines of a sample's tokens: bytes of one head or of several small ones.
struct Lines {
  const uint8_t* data;
  int64_t stride;

  const uint8_t* row(int64_t i) const { return data + i * stride; }
};

// Four keys' weights for each query of a vector, and the order of the keys in a word: the cheapest to join.
struct WeightWords {
  Uint32s high, low;
};
constexpr int64_t kOrder[4] = {0, 2, 1, 3};

inline WeightWords join_weights(Int32s a, Int32s b, Int32s c, Int32s d) {
  const Uint32s even = (Uint32s)a | (Uint32s)b << 16, odd = (Uint32s)c | (Uint32s)d << 16;
  return {(even >> 8 & 0x00ff00ff) | (odd & 0xff00ff00), (even & 0x00ff00ff) | (odd << 8 & 0xff00ff00)};
}

#if defined(__ARM_FEATURE_DOTPROD)
#include "int8_attention_pairs.h"
#else
// In tiles and in vectors 16 queries stand next to each other: a vector, or a row of a tile, has one key's scores or
// one channel's sums of all 16. Keys stay unsigned, as they are stored. That adds 128 times a query's sum to all its
// scores, which no softmax sees.
constexpr int64_t kQueries = 16;   // at a time
constexpr int64_t kTileKeys = 64;  // in a tile of weights
constexpr int64_t kTile = 1024;    // bytes

inline __m512i to_signed(__m512i bytes) { return _mm512_xor_si512(bytes, _mm512_set1_epi8((char)0x80)); }

// What both lay out and store in the same way.
struct QueryColumns {
  typedef Uint32s Queries[16];  // [four channels][query]

  // Those from `first` on, beyond the last it again. `inside`: the head's first channel in the line; channels of other
  // heads become zero, so that products with their keys are.
  template <int kGroups>
  static inline void lay_out_queries(const Lines& queries, int64_t first, int64_t length, int64_t inside, Queries& to) {
    constexpr int64_t kSize = 16 * kGroups;
#pragma GCC unroll 16
    for (int64_t i = 0; i < 16; i++)
      to[i] = (Uint32s)to_signed(load<__m512i>(queries.row(std::min(first + i, length - 1))));
    transpose(to);
    for (int64_t w = 0; w < 16 && kSize < kLine; w++)
      if (w < inside / 4 || w >= (inside + kSize) / 4) to[w] = Uint32s{};
  }

  static void lay_out_weights(WeightWords*, int64_t) {}

  // `count` rows of 16 × kGroups bytes from sums [16 × kGroups channels] in two parts.
  template <int kGroups>
  static void store_context(const Int32s* high, const Int32s* low, const Floats* scale, const float* factor,
                            const float* offset, uint8_t* to, int64_t stride, int64_t count) {
    Uint32s words[16] = {};
    for (int64_t w = 0; w < 4 * kGroups; w++) {
#pragma GCC unroll 4
      for (int64_t i = 0; i < 4; i++) {
        const int64_t c = 4 * w + i;
        const Floats sum = to_floats(high[c]) * 256.0f + to_floats(low[c]);
        words[w] |= round_to_byte(sum * (*scale * factor[c]) + offset[c]) << 8 * i;
      }
    }
    transpose(words);
    for (int64_t q = 0; q < count; q++) memcpy(to + q * stride, &words[q], 16 * kGroups);
  }
};

// words[c]: of each 16 channels those from 4 c on, four keys a word in kOrder; keys from `length` on are zero.
inline void interleave_keys(const Lines& values, int64_t key, int64_t length, Uint32s words[4]) {
  __m512i row[4];
#pragma GCC unroll 4
  for (int64_t i = 0; i < 4; i++) {
    const int64_t at = key + kOrder[i];
    row[i] = at < length ? to_signed(load<__m512i>(values.row(at))) : _mm512_setzero_si512();
  }
  const __m512i low[2] = {_mm512_unpacklo_epi8(row[0], row[1]), _mm512_unpacklo_epi8(row[2], row[3])};
  const __m512i high[2] = {_mm512_unpackhi_epi8(row[0], row[1]), _mm512_unpackhi_epi8(row[2], row[3])};
  words[0] = (Uint32s)_mm512_unpacklo_epi16(low[0], low[1]);
  words[1] = (Uint32s)_mm512_unpackhi_epi16(low[0], low[1]);
  words[2] = (Uint32s)_mm512_unpacklo_epi16(high[0], high[1]);
  words[3] = (Uint32s)_mm512_unpackhi_epi16(high[0], high[1]);
}

#if defined(__AMX_INT8__)
// Operands in tiles; lines lie next to each other, and their number is a multiple of 16.
struct TileProducts : QueryColumns {
  static void begin() { configure_tiles(); }
  static void end() { _tile_release(); }

  // Keys are read in place.
  static const uint8_t* lay_out_keys(uint8_t*, const Lines& keys, int64_t) { return keys.data; }

  // to: [64 / 16][padded / 64][16][64], tiles of 16 channels by 64 keys.
  static void lay_out_values(int8_t* to, const Lines& values, int64_t length, int64_t padded) {
    for (int64_t key = 0; key < padded; key += kTileKeys) {
      Uint32s words[4][16];  // [channels 4 c ... of each group of 16][group of four keys]
      for (int64_t group = 0; group < 16; group++) {
        Uint32s four[4];
        interleave_keys(values, key + 4 * group, length, four);
#pragma GCC unroll 4
        for (int64_t c = 0; c < 4; c++) words[c][group] = four[c];
      }
      for (int64_t c = 0; c < 4; c++) {
        transpose(words[c]);  // row i: channel i / 4 * 16 + 4 c + i % 4, of 64 keys
        for (int64_t i = 0; i < 16; i++)
          store(to + i / 4 * 16 * padded + key * 16 + (4 * c + i % 4) * kTileKeys, words[c][i]);
      }
    }
  }

  // scores: [keys][16 queries] of `length` keys, rounded up to 16; other heads' channels of `queries` are zero.
  template <int kGroups>
  static void multiply_keys(const uint8_t* keys, int64_t, int64_t length, const Uint32s* queries, int32_t* scores) {
    const int64_t tiles = (length + 15) / 16;
    _tile_loadd(6, queries, 64);
    int64_t t = 0;
    for (; t + 2 <= tiles; t += 2) {
      _tile_zero(0);
      _tile_loadd(4, keys + t * kTile, 64);
      _tile_dpbusd(0, 4, 6);
      _tile_zero(1);
      _tile_loadd(5, keys + (t + 1) * kTile, 64);
      _tile_dpbusd(1, 5, 6);
      _tile_stored(0, scores + t * 256, 64);
      _tile_stored(1, scores + (t + 1) * 256, 64);
    }
    if (t < tiles) {
      _tile_zero(0);
      _tile_loadd(4, keys + t * kTile, 64);
      _tile_dpbusd(0, 4, 6);
      _tile_stored(0, scores + t * 256, 64);
    }
  }

  // high, low: [16 × kGroups channels] of values × weights; `inside`: the head's first channel in the line.
  template <int kGroups>
  static void multiply_values(const int8_t* values, int64_t inside, const WeightWords* weights, int64_t length,
                              Int32s* high, Int32s* low) {
    const int64_t tiles = (length + kTileKeys - 1) / kTileKeys, group = tiles * kTile;
    values += inside / 16 * group;
    for (int64_t g = 0; g < kGroups; g += 2, values += 2 * group) {
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
      for (int64_t t = 0; t < tiles; t++) {
        _tile_loadd(6, &weights[t * 16].high, sizeof(WeightWords));
        _tile_loadd(7, &weights[t * 16].low, sizeof(WeightWords));
        _tile_loadd(4, values + t * kTile, 64);
        _tile_dpbsud(0, 4, 6);
        _tile_dpbsud(1, 4, 7);
        if (kGroups > 1) {
          _tile_loadd(5, values + group + t * kTile, 64);
          _tile_dpbsud(2, 5, 6);
          _tile_dpbsud(3, 5, 7);
        }
      }
      _tile_stored(0, high + 16 * g, 64);
      _tile_stored(1, low + 16 * g, 64);
      if (kGroups > 1) {
        _tile_stored(2, high + 16 * g + 16, 64);
        _tile_stored(3, low + 16 * g + 16, 64);
      }
    }
  }
};
typedef TileProducts Int8Products;
#else
inline Int32s multiply_add(Int32s sums, Uint32s bytes, Uint32s signed_bytes) {
  return (Int32s)_mm512_dpbusd_epi32((__m512i)sums, (__m512i)bytes, (__m512i)signed_bytes);
}

inline Uint32s broadcast_word(const void* from) {
  int32_t word;
  memcpy(&word, from, sizeof word);
  return (Uint32s)_mm512_set1_epi32(word);
}

// Vectors over the queries, and one word of a key or of four keys' values for all of them.
struct VectorProducts : QueryColumns {
  static constexpr int64_t kKeys = 8;  // at a time: their sums and 64 channels of the queries stay in registers

  static void begin() {}
  static void end() {}

  // Next to each other, as they are in blocks of channels; else rows of the product before are 3 × width apart and share
  // few sets of the first-level cache.
  static const uint8_t* lay_out_keys(uint8_t* to, const Lines& keys, int64_t length) {
    if (keys.stride == kLine) return keys.data;
    for (int64_t k = 0; k < length; k++) store(to + k * kLine, load<__m512i>(keys.row(k)));
    return to;
  }

  // to: [padded / 4][4][16 words]: of each 16 channels those from 4 c on, four keys a word.
  static void lay_out_values(int8_t* to, const Lines& values, int64_t length, int64_t) {
    for (int64_t key = 0; key < length; key += 4) {
      Uint32s words[4];
      interleave_keys(values, key, length, words);
#pragma GCC unroll 4
      for (int64_t c = 0; c < 4; c++) store(to + key * kLine + c * 64, words[c]);
    }
  }

  // scores: [keys][16 queries] of `length` keys, rounded up to kKeys.
  template <int kGroups>
  static void multiply_keys(const uint8_t* keys, int64_t inside, int64_t length, const Uint32s* queries,
                            int32_t* scores) {
    Uint32s words[4 * kGroups];
#pragma GCC unroll 16
    for (int64_t w = 0; w < 4 * kGroups; w++) words[w] = queries[inside / 4 + w];
    for (int64_t key = 0; key < length; key += kKeys) {
      const uint8_t* from = keys + key * kLine + inside;
      Int32s sums[kKeys] = {};
#pragma GCC unroll 16
      for (int64_t w = 0; w < 4 * kGroups; w++)
#pragma GCC unroll 8
        for (int64_t i = 0; i < kKeys; i++)
          sums[i] = multiply_add(sums[i], broadcast_word(from + i * kLine + 4 * w), words[w]);
#pragma GCC unroll 8
      for (int64_t i = 0; i < kKeys; i++) store(scores + (key + i) * kQueries, sums[i]);
    }
  }

  // high, low: [16 × kGroups channels] of values × weights; `inside`: the head's first channel in the line.
  template <int kGroups>
  static void multiply_values(const int8_t* values, int64_t inside, const WeightWords* weights, int64_t length,
                              Int32s* high, Int32s* low) {
    constexpr int kChannels = 8;  // at a time, so that their sums stay in registers
    for (int64_t c = 0; c < 16 * kGroups; c += kChannels) {
      const int8_t* from = values + inside + c / 16 * 16 + c % 16 / 4 * 64;
      Int32s sums[kChannels][2] = {};
      for (int64_t key = 0; key < length; key += 4) {
        const WeightWords& weight = weights[key / 4];
#pragma GCC unroll 8
        for (int64_t i = 0; i < kChannels; i++) {
          const Uint32s word = broadcast_word(from + key * kLine + i / 4 * 64 + i % 4 * 4);
          sums[i][0] = multiply_add(sums[i][0], weight.high, word);
          sums[i][1] = multiply_add(sums[i][1], weight.low, word);
        }
      }
#pragma GCC unroll 8
      for (int64_t i = 0; i < kChannels; i++) {
        high[c + i] = sums[i][0];
        low[c + i] = sums[i][1];
      }
    }
  }
};
typedef VectorProducts Int8Products;
#endif
#endif
