// The int8 matrix product with a weight of mostly zero blocks: y = f((x · weightᵀ) * scale + offset), x uint8
// [tokens, inputs], sums in int32, f nothing or GELU, y in any encoding. A block is four neighbouring inputs of one
// output: what one lane of a dot-product instruction multiplies. Only blocks that are not zero are stored, each with the
// place of its inputs.
//
// Tokens lie in the lanes. x is transposed panel by panel to [inputs / 4][kTokens][4] bytes, so that a block reads one
// row of a panel and is broadcast to it. Each row that is loaded feeds one instruction, so the first-level cache is what
// limits the speed: a weight is divided along its inputs into parts for which a panel stays there. Outputs with about as
// many blocks are computed together, which hides the instruction's latency, and loops of equal lengths follow each
// other, which the processor foresees.
#pragma once
#include <omp.h>

#include <algorithm>
#if defined(__AVXVNNI__)
#include <immintrin.h>
#endif

#include "activation.h"
#include "gelu.h"

constexpr int kTogether = 4;                    // outputs at a time
constexpr int kVectors = 2;                     // of tokens in a panel: with 1,024 inputs it stays in 48 KiB
constexpr int64_t kTokens = kVectors * kWidth;  // of a panel
constexpr int64_t kChunk = 128;                 // outputs that are stored at once
constexpr int64_t kAhead = 96;                  // blocks, that are fetched before they are needed

struct Block {
  uint32_t row;    // of a panel, in bytes
  int32_t weight;  // four of int8
};

// Outputs are divided into chunks, inputs into parts. In each, outputs are ordered by their number of blocks, and each
// kTogether of them are filled up with zero blocks to the same number.
struct SparseWeights {
  const Block* blocks;     // of one (chunk, part) after another; those of kTogether outputs alternate
  const int64_t* starts;   // [chunks][parts], of their blocks
  const int32_t* steps;    // [chunks][parts][kChunk / kTogether], blocks of each of kTogether outputs
  const int32_t* places;   // [chunks][parts][kChunk], their places in the chunk
  const float* scale;      // [outputs]
  const float* offset;     // [outputs], zero point of x included
  int64_t inputs, outputs, parts;
};

// sums + the products of four bytes of x in each lane with the four of a weight.
inline Int32s dot(Int32s sums, Int32s x, int32_t weight) {
#if defined(__AVX512VNNI__)
  return (Int32s)_mm512_dpbusd_epi32((__m512i)sums, (__m512i)x, _mm512_set1_epi32(weight));
#elif defined(__AVXVNNI__)
  return (Int32s)_mm256_dpbusd_avx_epi32((__m256i)sums, (__m256i)x, _mm256_set1_epi32(weight));
#else
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) sums += (Int32s)((Uint32s)x >> (8 * i) & 0xff) * (int32_t)(int8_t)(weight >> (8 * i));
  return sums;
#endif
}

// --- panels ---

// kWidth words of a row of x from byte `at` on; zeros beyond its end.
inline Uint32s load_words(const uint8_t* row, int64_t at, int64_t inputs) {
  Uint32s words{};
  memcpy(&words, row + at, std::min<int64_t>(sizeof words, inputs - at));
  return words;
}

// The words of x [tokens, inputs] transposed: panel[inputs / 4][kTokens]. Tokens beyond the last repeat it.
inline void transpose_panel(uint32_t* panel, const uint8_t* x, int64_t tokens, int64_t inputs) {
  for (int64_t t = 0; t < round_up(tokens, kWidth); t += kWidth) {
    for (int64_t k = 0; k < inputs; k += 4 * kWidth) {
      Uint32s square[kWidth];
      const bool is_whole = k + 4 * kWidth <= inputs;
#pragma GCC unroll 16
      for (int64_t i = 0; i < kWidth; i++) {
        const uint8_t* row = x + std::min(t + i, tokens - 1) * inputs;
        square[i] = is_whole ? load<Uint32s>(row + k) : load_words(row, k, inputs);
      }
      transpose(square);
#pragma GCC unroll 16
      for (int64_t i = 0; i < kWidth; i++) store(panel + (k / 4 + i) * kTokens + t, square[i]);
    }
  }
}

// --- products ---

// The sums of kTogether outputs, kCount vectors of tokens each; returns the blocks that follow.
template <int kCount>
inline const Block* multiply(const uint32_t* panel, const Block* block, int64_t steps, const int32_t* places,
                             bool continues, int32_t* sums) {
  Int32s found[kTogether][kCount] = {};
  if (continues) {
#pragma GCC unroll 4
    for (int o = 0; o < kTogether; o++)
#pragma GCC unroll 4
      for (int v = 0; v < kCount; v++) found[o][v] = load<Int32s>(sums + places[o] * kTokens + v * kWidth);
  }
  for (const Block* end = block + steps * kTogether; block < end; block += kTogether) {
    __builtin_prefetch(block + kAhead);
#pragma GCC unroll 4
    for (int o = 0; o < kTogether; o++) {
      const uint8_t* row = (const uint8_t*)panel + block[o].row;
#pragma GCC unroll 4
      for (int v = 0; v < kCount; v++)
        found[o][v] = dot(found[o][v], load<Int32s>(row + v * sizeof(Int32s)), block[o].weight);
    }
  }
#pragma GCC unroll 4
  for (int o = 0; o < kTogether; o++)
#pragma GCC unroll 4
    for (int v = 0; v < kCount; v++) store(sums + places[o] * kTokens + v * kWidth, found[o][v]);
  return block;
}

// The lines of y that a chunk's results will be stored to, fetched into the second-level cache during its products: they
// are too far apart for the processor to foresee.
struct Fetch {
  const Activation& to;
  int64_t token, channel;         // of the first line
  int64_t line, row_lines, rows;  // channels of a line, lines of a row

  // The `number`th of `count` equal shares.
  inline void share(int64_t number, int64_t count) const {
    const int64_t lines = rows * row_lines, bytes = 64 / line;
    for (int64_t i = lines * number / count; i < lines * (number + 1) / count; i++)
      __builtin_prefetch((char*)to.data + place(to, token + i / row_lines, channel + i % row_lines * line) * bytes, 1, 2);
  }
};

// sums[kChunk][kTokens] of a chunk of outputs.
template <int kCount>
inline void multiply_chunk(const uint32_t* panel, const SparseWeights& weights, int64_t chunk, const Fetch& fetch,
                           int32_t* sums) {
  constexpr int64_t kGroups = kChunk / kTogether;
  for (int64_t part = 0; part < weights.parts; part++) {
    const int64_t segment = chunk * weights.parts + part;
    const Block* block = weights.blocks + weights.starts[segment];
    const int32_t* steps = weights.steps + segment * kGroups;
    const int32_t* places = weights.places + segment * kChunk;
    for (int64_t g = 0; g < kGroups; g++) {
      block = multiply<kCount>(panel, block, steps[g], places + g * kTogether, part > 0, sums);
      fetch.share(part * kGroups + g, weights.parts * kGroups);
    }
  }
}

// --- storing ---

// What a channel's results are stored as, in the lower bits of each lane; kPacked of them share a word.
template <int kPacked, bool kGelu>
inline Uint32s encode(const Activation& to, int64_t channel, Floats x) {
  if (kPacked == 1) return (Uint32s)x;
  if (kPacked == 2) return __builtin_convertvector(demote_to_bfloat16(x), Uint32s);
  return round_to_byte(kGelu ? x * to.multiplier[channel] + (float)to.zero_point : x);
}

// Stores `width` outputs from `channel` on, at most kPacked * kWidth, for `count` tokens at `rows`. A row is a line of
// the cache: rows of y are often 4096 bytes apart, and parts of them would push each other out of it.
template <int kPacked, bool kGelu>
inline void store_lines(const int32_t* sums, const SparseWeights& weights, const Activation& to, int64_t channel,
                        int64_t width, char* rows, int64_t stride, int64_t count) {
  const float *scale = weights.scale + channel, *offset = weights.offset + channel;
  const uint32_t flipped = to.type == kInt8 ? 0x80808080 : 0;
  Uint32s words[kWidth];
#pragma GCC unroll 16
  for (int i = 0; i < kWidth; i++) {
    words[i] = Uint32s{} + flipped;
#pragma GCC unroll 4
    for (int p = 0; p < kPacked; p++) {
      const int c = i * kPacked + p;
      Floats x = to_floats(load<Int32s>(sums + c * kTokens)) * scale[c] + offset[c];
      if (kGelu) x = gelu(x);
      words[i] ^= encode<kPacked, kGelu>(to, channel + c, x) << (32 / kPacked % 32 * p);
    }
  }
  transpose(words);
  if (width == kPacked * kWidth && count == kWidth) {
#pragma GCC unroll 16
    for (int t = 0; t < kWidth; t++) store(rows + t * stride, words[t]);
  } else {
    for (int t = 0; t < count; t++) memcpy(rows + t * stride, &words[t], width * 4 / kPacked);
  }
}

// Stores a chunk's results for the `count` tokens of a panel, which are rows of y from `first` on.
template <int kPacked, bool kGelu>
inline void store_chunk(const int32_t* sums, const SparseWeights& weights, int64_t chunk, const Activation& to,
                        int64_t first, int64_t count) {
  constexpr int64_t kBytes = 4 / kPacked, kSpan = kPacked * kWidth;
  const int64_t begin = chunk * kChunk, end = std::min(begin + kChunk, weights.outputs);
  for (int64_t t = 0; t < count; t += kWidth) {
    for (int64_t channel = begin; channel < end; channel += kSpan)
      store_lines<kPacked, kGelu>(sums + (channel - begin) * kTokens + t, weights, to, channel,
                                  std::min(kSpan, end - channel),
                                  (char*)to.data + place(to, first + t, channel) * kBytes, to.row_stride * kBytes,
                                  std::min<int64_t>(kWidth, count - t));
  }
}

// --- the whole product ---

// y[tokens, outputs]. Threads share panels × chunks of outputs evenly; a panel is transposed by each thread that has
// chunks of it.
template <int kPacked, bool kGelu>
void sparse_product(const uint8_t* x, int64_t tokens, const SparseWeights& weights, const Activation& to) {
  constexpr int64_t kLine = 16 * kPacked;  // channels of a line
  const int64_t panels = (tokens + kTokens - 1) / kTokens, chunks = (weights.outputs + kChunk - 1) / kChunk;
#pragma omp parallel
  {
    static thread_local Scratch<uint32_t> panel_scratch;
    static thread_local Scratch<int32_t> sum_scratch;
    uint32_t* panel = panel_scratch.reserve(round_up(weights.inputs, 4 * kWidth) / 4 * kTokens);
    int32_t* sums = sum_scratch.reserve(kChunk * kTokens);
    const int64_t threads = omp_get_num_threads(), thread = omp_get_thread_num();
    int64_t transposed = -1;
    for (int64_t at = panels * chunks * thread / threads; at < panels * chunks * (thread + 1) / threads; at++) {
      const int64_t first = at / chunks * kTokens, chunk = at % chunks, count = std::min(kTokens, tokens - first);
      if (first != transposed) transpose_panel(panel, x + first * weights.inputs, count, weights.inputs);
      transposed = first;
      const Fetch y{to, first, chunk * kChunk, kLine, kChunk / kLine, count};
      if (count <= kWidth)
        multiply_chunk<1>(panel, weights, chunk, y, sums);
      else
        multiply_chunk<kVectors>(panel, weights, chunk, y, sums);
      store_chunk<kPacked, kGelu>(sums, weights, chunk, to, first, count);
    }
  }
}

// `from` [outputs], followed by zeros up to a multiple of what is stored at once.
inline float* padded(const float* from, int64_t outputs, float* to) {
  if (from) std::fill(std::copy_n(from, outputs, to), to + round_up(outputs, 4 * kWidth), 0.0f);
  return to;
}

template <bool kGelu>
void sparse_product(const uint8_t* x, int64_t tokens, SparseWeights weights, Activation to) {
  static thread_local Scratch<float> scratch;
  const int64_t whole = round_up(weights.outputs, 4 * kWidth);
  float* factors = scratch.reserve(3 * whole);
  float* scale = padded(weights.scale, weights.outputs, factors);
  float* offset = padded(weights.offset, weights.outputs, factors + whole);
  float* multiplier = padded(to.multiplier, weights.outputs, factors + 2 * whole);
  if (!kGelu && to.multiplier) {  // one multiplication instead of two
    for (int64_t c = 0; c < weights.outputs; c++) {
      scale[c] *= multiplier[c];
      offset[c] = offset[c] * multiplier[c] + (float)to.zero_point;
    }
  }
  weights.scale = scale;
  weights.offset = offset;
  to.multiplier = multiplier;
  if (to.type == kFloat) return sparse_product<1, kGelu>(x, tokens, weights, to);
  if (to.type == kBfloat16) return sparse_product<2, kGelu>(x, tokens, weights, to);
  sparse_product<4, kGelu>(x, tokens, weights, to);
}
