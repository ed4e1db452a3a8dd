// The int8 matrix product with a weight of mostly zero blocks: y = f((x · weightᵀ) * scale + offset), x bytes
// [tokens, inputs], sums in int32, f nothing or GELU, y in any encoding. Only blocks that are not zero are stored, each
// with the place of its inputs; a form says what a block is (sparse_inputs.h, sparse_outputs.h).
//
// Tokens lie in the lanes: x is transposed panel by panel, so that a weight is broadcast to a row of tokens. Between
// two sparse products it may stay in panels, [inputs / 4][kTokens][4] one after another. A weight is divided along its
// inputs into parts for which a panel stays in the first-level cache. Loops of equal lengths follow each other, which
// the processor foresees.
#pragma once
#include <omp.h>

#include <algorithm>

#include "activation.h"
#if defined(BOUNDED_GROUPS)
#include "byte_products.h"
#endif
#include "gelu.h"

// Outputs are divided into chunks, which are stored at once, inputs into parts. In each, a form's groups of outputs are
// ordered by their steps.
struct SparseWeights {
  const void* steps;      // of one (chunk, part) after another, as the form has them
  const int64_t* starts;  // [chunks][parts], of their steps
  const int32_t* counts;  // [chunks][parts][groups], steps of each group
  const int32_t* places;  // [chunks][parts][...], of the groups or their outputs in the chunk
  const float* scale;     // [outputs]
  const float* offset;    // [outputs], zero point of x included
  int64_t inputs, outputs, parts;
  int64_t part_rows;      // of a panel
  int64_t chunk_outputs;  // a multiple of 64
};

// sums + the products of four bytes of x in each lane, signed on ARM, with the four of a weight.
inline Int32s dot(Int32s sums, Int32s x, int32_t weight) {
#if defined(__AVX512VNNI__)
  return (Int32s)_mm512_dpbusd_epi32((__m512i)sums, (__m512i)x, _mm512_set1_epi32(weight));
#elif defined(__AVXVNNI__)
  return (Int32s)_mm256_dpbusd_avx_epi32((__m256i)sums, (__m256i)x, _mm256_set1_epi32(weight));
#elif defined(__ARM_FEATURE_DOTPROD)
  return (Int32s)vdotq_s32((int32x4_t)sums, (int8x16_t)x, (int8x16_t)vdupq_n_s32(weight));
#elif defined(BOUNDED_GROUPS)
  return (Int32s)add_words((__m256i)sums, multiply_bytes((__m256i)x, _mm256_set1_epi32(weight)));
#elif defined(__AVX2__)  // each byte is widened to 16 bits, since products of bytes would saturate
  const __m256i bytes = (__m256i)x, weights = _mm256_set1_epi32(weight);
  const __m256i even = _mm256_madd_epi16(_mm256_and_si256(bytes, _mm256_set1_epi16(0xff)),
                                         _mm256_srai_epi16(_mm256_slli_epi16(weights, 8), 8));
  const __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(bytes, 8), _mm256_srai_epi16(weights, 8));
  return (Int32s)_mm256_add_epi32(_mm256_add_epi32((__m256i)sums, even), odd);
#else
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
#if defined(__aarch64__)
    const Int32s bytes = (Int32s)((Uint32s)x << (24 - 8 * i)) >> 24;
#else
    const Int32s bytes = (Int32s)((Uint32s)x >> (8 * i) & 0xff);
#endif
    sums += bytes * (int32_t)(int8_t)(weight >> (8 * i));
  }
  return sums;
#endif
}

// --- panels ---

inline bool in_panels(const Activation& to) { return to.row_stride == 0; }

// kWidth words of a row of x from byte `at` on; zeros beyond its end.
inline Uint32s load_words(const uint8_t* row, int64_t at, int64_t inputs) {
  Uint32s words{};
  memcpy(&words, row + at, std::min<int64_t>(sizeof words, inputs - at));
  return words;
}

// The words of x [tokens, inputs] transposed: panel[inputs / 4][kTokens]. Tokens beyond the last repeat it.
template <int64_t kTokens>
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

// Lines to fetch into the second-level cache during a chunk's products, `count` rows of `lines`: a share with each of
// its groups of outputs. Inlined always: GCC takes a function that only prefetches for one that does nothing, and
// drops its calls.
struct Prefetch {
  const char* data;
  int64_t row_stride, line_stride;  // bytes
  int64_t lines, count;

  template <int kWrite>
  __attribute__((always_inline)) void fetch(int64_t group, int64_t groups) const {
    for (int64_t t = count * group / groups; t < count * (group + 1) / groups; t++)
      for (int64_t i = 0; i < lines; i++) __builtin_prefetch(data + t * row_stride + i * line_stride, kWrite, 2);
  }
};

// y: where the chunk's results will be stored; rows are too far apart for the processor to foresee. x: a share of the
// next panel, which a product does not read in order.
struct Ahead {
  Prefetch y, x;
};

// --- storing ---

// One channel's floats, two channels' bfloat16 or four channels' bytes, rounded and clamped, in each lane's word.
template <int kPacked>
inline Uint32s join(const Floats* x);

template <>
inline Uint32s join<1>(const Floats* x) {
  return (Uint32s)x[0];
}

template <>
inline Uint32s join<2>(const Floats* x) {
  const auto rounded = [](Floats one) { return (Uint32s)one + 0x7fff + ((Uint32s)one >> 16 & 1); };
  return rounded(x[0]) >> 16 | (rounded(x[1]) & 0xffff0000);
}

template <>
inline Uint32s join<4>(const Floats* x) {
#if defined(__AVX512BW__)
  __m512i whole[4];
#pragma GCC unroll 4
  for (int c = 0; c < 4; c++) whole[c] = (__m512i)round_to_int32(minimum(x[c], broadcast(255.0f)));
  const __m512i bytes = _mm512_packus_epi16(_mm512_packs_epi32(whole[0], whole[1]),  // four of each channel in a row
                                            _mm512_packs_epi32(whole[2], whole[3]));
  const __m512i by_lane = _mm512_set4_epi32(0x0f0b0703, 0x0e0a0602, 0x0d090501, 0x0c080400);
  return (Uint32s)_mm512_shuffle_epi8(bytes, by_lane);
#else
  return round_to_byte(x[0]) | round_to_byte(x[1]) << 8 | round_to_byte(x[2]) << 16 | round_to_byte(x[3]) << 24;
#endif
}

// The words of kCount outputs from `channel` on, for kWidth tokens, step by step as in gelu().
template <int64_t kTokens, int kPacked, int kCount, bool kGelu>
inline void encode(const int32_t* sums, const SparseWeights& weights, const Activation& to, int64_t channel,
                   Uint32s* words) {
  Floats x[kCount];
#pragma GCC unroll 8
  for (int i = 0; i < kCount; i++)
    x[i] = to_floats(load<Int32s>(sums + i * kTokens)) * weights.scale[channel + i] + weights.offset[channel + i];
  if (kGelu) gelu<kCount>(x);
  if (kGelu && kPacked == 4) {
#pragma GCC unroll 8
    for (int i = 0; i < kCount; i++) x[i] = x[i] * to.multiplier[channel + i] + (float)to.zero_point;
  }
#pragma GCC unroll 8
  for (int i = 0; i < kCount; i += kPacked)
    words[i / kPacked] = join<kPacked>(x + i) ^ (to.type == kInt8 ? 0x80808080 : 0);
}

// Stores `width` outputs from `channel` on, at most kPacked * kWidth, for `count` tokens at `rows`. A row is a line of
// the cache: rows of y are often 4096 bytes apart, and parts of them would push each other out of it.
template <int64_t kTokens, int kPacked, bool kGelu>
inline void store_lines(const int32_t* sums, const SparseWeights& weights, const Activation& to, int64_t channel,
                        int64_t width, char* rows, int64_t stride, int64_t count) {
  constexpr int kCount = std::max(kWidth / 2, kPacked);  // channels at a time
  Uint32s words[kWidth];
  for (int c = 0; c < kPacked * kWidth; c += kCount)
    encode<kTokens, kPacked, kCount, kGelu>(sums + c * kTokens, weights, to, channel + c, words + c / kPacked);
  transpose(words);
  if (width == kPacked * kWidth && count == kWidth) {
#pragma GCC unroll 16
    for (int t = 0; t < kWidth; t++) store(rows + t * stride, words[t]);
  } else {
    for (int t = 0; t < count; t++) memcpy(rows + t * stride, &words[t], width * 4 / kPacked);
  }
}

// Stores a chunk's results for the `count` tokens of a panel as words of a panel of y, which need no transposition.
template <int64_t kTokens, bool kGelu>
inline void store_panel(const int32_t* sums, const SparseWeights& weights, int64_t begin, int64_t end,
                        const Activation& to, int64_t first, int64_t count) {
  constexpr int kPacked = 4, kCount = std::max(kWidth / 2, kPacked);  // channels at a time
  uint32_t* panel = (uint32_t*)((uint8_t*)to.data + first * weights.outputs);
  for (int64_t channel = begin; channel < end; channel += kCount) {
    for (int64_t t = 0; t < count; t += kWidth) {
      Uint32s words[kCount / kPacked];
      encode<kTokens, kPacked, kCount, kGelu>(sums + (channel - begin) * kTokens + t, weights, to, channel, words);
#pragma GCC unroll 2
      for (int i = 0; i < kCount / kPacked; i++) store(panel + (channel / kPacked + i) * kTokens + t, words[i]);
    }
  }
}

// Stores a chunk's results for the `count` tokens of a panel, which are rows of y from `first` on.
template <int64_t kTokens, int kPacked, bool kGelu>
inline void store_chunk(const int32_t* sums, const SparseWeights& weights, int64_t chunk, const Activation& to,
                        int64_t first, int64_t count) {
  constexpr int64_t kBytes = 4 / kPacked, kSpan = kPacked * kWidth;
  const int64_t begin = chunk * weights.chunk_outputs, end = std::min(begin + weights.chunk_outputs, weights.outputs);
  if (kPacked == 4 && in_panels(to)) return store_panel<kTokens, kGelu>(sums, weights, begin, end, to, first, count);
  for (int64_t t = 0; t < count; t += kWidth) {
    for (int64_t channel = begin; channel < end; channel += kSpan)
      store_lines<kTokens, kPacked, kGelu>(sums + (channel - begin) * kTokens + t, weights, to, channel,
                                  std::min(kSpan, end - channel),
                                  (char*)to.data + place(to, first + t, channel) * kBytes, to.row_stride * kBytes,
                                  std::min<int64_t>(kWidth, count - t));
  }
}

// --- the whole product ---

struct SparseInput {
  const uint8_t* data;  // [tokens, inputs], or panels
  int64_t tokens;
  bool in_panels;
};

// What is fetched during the products of a chunk and the `count` tokens from `first` on.
template <int64_t kTokens, int64_t kBytes>
inline Ahead ahead(const SparseInput& x, const SparseWeights& weights, int64_t chunk, int64_t chunks,
                   const Activation& to, int64_t first, int64_t count) {
  const int64_t begin = chunk * weights.chunk_outputs;
  const int64_t width = std::min(weights.chunk_outputs, weights.outputs - begin) * kBytes;
  const int64_t next = first + kTokens, bytes = (std::min(next + kTokens, x.tokens) - next) * weights.inputs;
  const int64_t lines = bytes > 0 ? bytes / 64 / chunks : 0;
  const Prefetch of_x{(const char*)x.data + next * weights.inputs + chunk * lines * 64, 64, 0, 1, lines};
  if (in_panels(to))
    return {{(const char*)to.data + first * weights.outputs + begin * kTokens, width, 64, width / 64, kTokens}, of_x};
  return {{(const char*)to.data + place(to, first, begin) * kBytes, to.row_stride * kBytes, to.block_stride * kBytes,
           width / 64, count},
          of_x};
}

// y[tokens, outputs]. Threads share panels × chunks of outputs evenly; a panel is transposed by each thread that has
// chunks of it.
template <class Form, int kPacked, bool kGelu>
void sparse_product(const SparseInput& x, const SparseWeights& weights, const Activation& to) {
  constexpr int64_t kTokens = Form::kTokens;  // of a panel
  const int64_t panels = (x.tokens + kTokens - 1) / kTokens;
  const int64_t chunks = (weights.outputs + weights.chunk_outputs - 1) / weights.chunk_outputs;
#pragma omp parallel
  {
    static thread_local Scratch<uint32_t> panel_scratch;
    static thread_local Scratch<int32_t> sum_scratch;
    uint32_t* own = panel_scratch.reserve(round_up(weights.inputs, 4 * kWidth) / 4 * kTokens);
    int32_t* sums = sum_scratch.reserve(weights.chunk_outputs * kTokens);
    const int64_t threads = omp_get_num_threads(), thread = omp_get_thread_num();
    int64_t transposed = -1;
    for (int64_t at = panels * chunks * thread / threads; at < panels * chunks * (thread + 1) / threads; at++) {
      const int64_t first = at / chunks * kTokens, chunk = at % chunks, count = std::min(kTokens, x.tokens - first);
      const uint8_t* rows = x.data + first * weights.inputs;
      if (!x.in_panels && first != transposed) Form::transpose(own, rows, count, weights.inputs);
      transposed = first;
      const Ahead next = ahead<kTokens, 4 / kPacked>(x, weights, chunk, chunks, to, first, count);
      Form::multiply(x.in_panels ? (const uint32_t*)rows : own, weights, chunk, next, count, sums);
      store_chunk<kTokens, kPacked, kGelu>(sums, weights, chunk, to, first, count);
    }
  }
}

// `from` [outputs], followed by zeros up to a multiple of what is stored at once.
inline float* padded(const float* from, int64_t outputs, float* to) {
  if (from) std::fill(std::copy_n(from, outputs, to), to + round_up(outputs, 4 * kWidth), 0.0f);
  return to;
}

template <class Form, bool kGelu>
void sparse_product(const SparseInput& x, SparseWeights weights, Activation to) {
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
  if (to.type == kFloat) return sparse_product<Form, 1, kGelu>(x, weights, to);
  if (to.type == kBfloat16) return sparse_product<Form, 2, kGelu>(x, weights, to);
  sparse_product<Form, 4, kGelu>(x, weights, to);
}
