// The two products of int8 attention on ARM, for int8_attention.h: rows by pairs, eight bytes at a time (row_pairs.h).
//
// Queries and keys are signed, as they are stored. The softmax's weights are unsigned, so values are made so, too,
// which adds 128 to their mean. A vector has four queries; eight are processed at a time.
#pragma once
#include "row_pairs.h"

constexpr int64_t kQueries = 8;  // at a time
constexpr int64_t kTileKeys = 8;
constexpr int64_t kQueryPairs = kQueries / 2, kQueryVectors = kQueries / kWidth;

struct PairProducts {
  struct Queries {
    int8x16_t pairs[kLine / 8][kQueryPairs];
  };

  static void begin() {}
  static void end() {}

  // Two rows of a line as [64 / 8][2][8].
  static void pair_up(const uint8_t* first, const uint8_t* second, int8x16_t* to, int64_t stride) {
#pragma GCC unroll 4
    for (int64_t c = 0; c < kLine; c += 16) {
      const int8x16_t a = vld1q_s8((const int8_t*)first + c), b = vld1q_s8((const int8_t*)second + c);
      to[c / 8 * stride] = join_starts(a, b);
      to[(c / 8 + 1) * stride] = join_ends(a, b);
    }
  }

  // Those from `first` on; beyond the last they repeat it.
  template <int>
  static void lay_out_queries(const Lines& queries, int64_t first, int64_t length, int64_t, Queries& to) {
    for (int64_t i = 0; i < kQueryPairs; i++) {
      const int64_t at = first + 2 * i, last = length - 1;
      pair_up(queries.row(std::min(at, last)), queries.row(std::min(at + 1, last)), &to.pairs[0][i], kQueryPairs);
    }
  }

  // to: [padded / 2][64 / 8][2][8]; beyond the last they repeat it.
  static const uint8_t* lay_out_keys(uint8_t* to, const Lines& keys, int64_t length) {
    for (int64_t k = 0; k < round_up(length, kTileKeys); k += 2) {
      const int64_t last = length - 1;
      pair_up(keys.row(std::min(k, last)), keys.row(std::min(k + 1, last)), (int8x16_t*)(to + k * kLine), 1);
    }
    return to;
  }

  // words[c]: of 16 channels those from 4 c on, four keys a word in kOrder.
  static void interleave_keys(const Lines& values, int64_t key, int64_t channel, int64_t length, uint32x4_t words[4]) {
    uint8x16_t row[4];
#pragma GCC unroll 4
    for (int64_t i = 0; i < 4; i++)  // beyond the last their weights are zero
      row[i] = vld1q_u8(values.row(std::min(key + kOrder[i], length - 1)) + channel) ^ 0x80;
    const uint16x8_t low[2] = {(uint16x8_t)vzip1q_u8(row[0], row[1]), (uint16x8_t)vzip1q_u8(row[2], row[3])};
    const uint16x8_t high[2] = {(uint16x8_t)vzip2q_u8(row[0], row[1]), (uint16x8_t)vzip2q_u8(row[2], row[3])};
    words[0] = (uint32x4_t)vzip1q_u16(low[0], low[1]);
    words[1] = (uint32x4_t)vzip2q_u16(low[0], low[1]);
    words[2] = (uint32x4_t)vzip1q_u16(high[0], high[1]);
    words[3] = (uint32x4_t)vzip2q_u16(high[0], high[1]);
  }

  // to: [padded / 8][64 / 2][2][8]: pairs of channels by eight keys.
  static void lay_out_values(int8_t* to, const Lines& values, int64_t length, int64_t padded) {
    for (int64_t key = 0; key < padded; key += 8) {
      for (int64_t c = 0; c < kLine; c += 16) {
        uint32x4_t first[4], second[4];
        interleave_keys(values, key, c, length, first);
        interleave_keys(values, key + 4, c, length, second);
        uint32_t* at = (uint32_t*)(to + key * kLine + c * 8);
#pragma GCC unroll 4
        for (int64_t i = 0; i < 4; i++) {
          vst1q_u32(at + 8 * i, vzip1q_u32(first[i], second[i]));
          vst1q_u32(at + 8 * i + 4, vzip2q_u32(first[i], second[i]));
        }
      }
    }
  }

  // scores: [keys][kQueries] of `length` keys, rounded up to kTileKeys.
  template <int kGroups>
  static void multiply_keys(const uint8_t* keys, int64_t inside, int64_t length, const Queries& queries,
                            int32_t* scores) {
    constexpr int64_t kPairs = 4;  // of keys at a time: their sums stay in registers
    for (int64_t key = 0; key < length; key += 2 * kPairs) {
      const int8_t* from = (const int8_t*)keys + key * kLine + 2 * inside;
      int32x4_t sums[kPairs][kQueryPairs] = {};
#pragma GCC unroll 8
      for (int64_t c = 0; c < 2 * kGroups; c++) {
#pragma GCC unroll 4
        for (int64_t k = 0; k < kPairs; k++) {
          const int8x16_t pair = vld1q_s8(from + k * 2 * kLine + c * 16);
#pragma GCC unroll 4
          for (int64_t q = 0; q < kQueryPairs; q++)
            sums[k][q] = multiply_pairs(sums[k][q], pair, queries.pairs[inside / 8 + c][q]);
        }
      }
#pragma GCC unroll 4
      for (int64_t k = 0; k < kPairs; k++) {
#pragma GCC unroll 2
        for (int64_t q = 0; q < kQueryPairs; q += 2) {
          int32_t* to = scores + (key + 2 * k) * kQueries + 2 * q;
          vst1q_s32(to, join_starts(sums[k][q], sums[k][q + 1]));
          vst1q_s32(to + kQueries, join_ends(sums[k][q], sums[k][q + 1]));
        }
      }
    }
  }

  // Of each eight keys, words of four queries by four keys become pairs of queries by eight keys.
  static void lay_out_weights(WeightWords* weights, int64_t padded) {
    const auto pair_up = [](Uint32s& first, Uint32s& second) {
      const uint32x4_t a = (uint32x4_t)first, b = (uint32x4_t)second;
      first = (Uint32s)vzip1q_u32(a, b);
      second = (Uint32s)vzip2q_u32(a, b);
    };
    for (int64_t i = 0; i < kQueryVectors * padded / 4; i += 2) {
      pair_up(weights[i].high, weights[i + 1].high);
      pair_up(weights[i].low, weights[i + 1].low);
    }
  }

  // high, low: [kQueries][16 × kGroups channels] of weights × values; `inside`: the head's first channel in the line.
  template <int kGroups>
  static void multiply_values(const int8_t* values, int64_t inside, const WeightWords* weights, int64_t length,
                              Int32s* high, Int32s* low) {
    constexpr int64_t kPairs = 4;  // of channels at a time: their sums stay in registers
    const int64_t padded = round_up(length, kTileKeys);
    for (int64_t vector = 0; vector < kQueryVectors; vector++, weights += padded / 4) {
      for (int64_t c = 0; c < 16 * kGroups; c += 2 * kPairs) {
        const uint8_t* from = (const uint8_t*)values + (inside + c) * 8;
        uint32x4_t sums[2][2][kPairs] = {};  // [pair of queries][high, low]
        for (int64_t key = 0; key < padded; key += 8) {
          const WeightWords* weight = weights + key / 4;
#pragma GCC unroll 4
          for (int64_t i = 0; i < kPairs; i++) {
            const uint8x16_t pair = vld1q_u8(from + key * kLine + i * 16);
#pragma GCC unroll 2
            for (int64_t q = 0; q < 2; q++) {
              sums[q][0][i] = multiply_pairs(sums[q][0][i], (uint8x16_t)weight[q].high, pair);
              sums[q][1][i] = multiply_pairs(sums[q][1][i], (uint8x16_t)weight[q].low, pair);
            }
          }
        }
#pragma GCC unroll 2
        for (int64_t q = 0; q < 2; q++) {
          const int64_t at = ((4 * vector + 2 * q) * 16 * kGroups + c) / kWidth;
          store_rows<kPairs>(sums[q][0], high + at, 16 * kGroups / kWidth);
          store_rows<kPairs>(sums[q][1], low + at, 16 * kGroups / kWidth);
        }
      }
    }
  }

  // Two rows of sums, `stride` vectors apart.
  template <int64_t kPairs>
  static void store_rows(const uint32x4_t* sums, Int32s* to, int64_t stride) {
#pragma GCC unroll 2
    for (int64_t i = 0; i < kPairs; i += 2) {
      to[i / 2] = (Int32s)join_starts(sums[i], sums[i + 1]);
      to[stride + i / 2] = (Int32s)join_ends(sums[i], sums[i + 1]);
    }
  }

  // `count` rows of 16 × kGroups bytes; `scale`: of each query.
  template <int kGroups>
  static void store_context(const Int32s* high, const Int32s* low, const Floats* scale, const float* factor,
                            const float* offset, uint8_t* to, int64_t stride, int64_t count) {
    for (int64_t q = 0; q < count; q++) {
      const float of_query = scale[q / kWidth][q % kWidth];
      for (int64_t c = 0; c < 16 * kGroups; c += 16) {
        Floats x[4];
#pragma GCC unroll 4
        for (int64_t i = 0; i < 4; i++) {
          const int64_t at = (q * 16 * kGroups + c) / kWidth + i, channel = c + i * kWidth;
          const Floats mean = (to_floats(high[at]) * 256.0f + to_floats(low[at])) * of_query - 128.0f;
          x[i] = mean * load_floats(factor + channel) + load_floats(offset + channel);
        }
        vst1q_u8(to + q * stride + c, round_to_bytes(x) ^ 0x80);
      }
    }
  }
};
typedef PairProducts Int8Products;
