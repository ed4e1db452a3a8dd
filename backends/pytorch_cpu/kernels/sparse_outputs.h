// Blocks of four neighbouring outputs of one input. Four of them, of any inputs, make four words of weights, each of
// one output: what a lane of a dot-product instruction multiplies with bytes of these four inputs.
//
// A panel is [inputs][kTokens] bytes. A step reads four of its rows and interleaves their bytes; the words that this
// gives serve four outputs.
#pragma once
#include "sparse_product.h"

constexpr int kQuad = 4;                                      // outputs of a block
constexpr int kOutputsVectors = kWidth == 16 ? 2 : 4;         // whose words four rows make: as many as registers hold
constexpr int64_t kOutputsTokens = kOutputsVectors * kWidth;  // of a panel
constexpr int kAtOnce = kWidth == 8 ? 2 : kQuad;              // outputs, for the sums of which there are registers

struct OutputStep {
  uint16_t rows[4];        // of the part's panel, in bytes
  int32_t weights[kQuad];  // four of int8, one for each row
};

template <class Element>
struct Wide {
  static constexpr int kCount = kWidth * 4 / sizeof(Element), kLane = 16 / sizeof(Element);
  static constexpr auto kAll = std::make_integer_sequence<int, kCount>();
  typedef Element Vector __attribute__((vector_size(kWidth * 4)));
};

// The 4 x 4 bytes of each 16 transposed.
template <int... at>
inline Uint32s transpose_bytes(Uint32s x, std::integer_sequence<int, at...>) {
  typedef Wide<uint8_t>::Vector Vector;
  return (Uint32s)__builtin_shufflevector((Vector)x, (Vector)x, (at / 16 * 16 + at % 4 * 4 + at % 16 / 4)...);
}

// Elements of a and b alternately, from the lower or the upper halves of each 16 bytes, as the instructions do.
template <class Element, int kHalf, int... at>
inline Uint32s interleave(Uint32s a, Uint32s b, std::integer_sequence<int, at...>) {
  typedef Wide<Element> W;
  typedef typename W::Vector Vector;
  constexpr int first = kHalf * W::kLane / 2;
  return (Uint32s)__builtin_shufflevector(
      (Vector)a, (Vector)b, (at / W::kLane * W::kLane + at % W::kLane / 2 + first + at % 2 * W::kCount)...);
}
template <class Element>
inline Uint32s lower(Uint32s a, Uint32s b) {
  return interleave<Element, 0>(a, b, Wide<Element>::kAll);
}
template <class Element>
inline Uint32s upper(Uint32s a, Uint32s b) {
  return interleave<Element, 1>(a, b, Wide<Element>::kAll);
}

// --- panels, and the words of their rows ---
//
// `separate_inputs`: in place, [inputs / 4][kTokens][4] → [inputs][kTokens]. Within a row, tokens are in the order in
// which `gather` gives vectors of neighbouring tokens.
// `gather`: the bytes of a step's four inputs next to each other, for each token.

#if defined(__AVX512BW__)  // two rows to a vector

// Of word `i` of two rows, its place in two vectors of tokens with transposed bytes. The tokens of a row are 0 to 7, 16
// to 23, 8 to 15, 24 to 31, and a word has four of them.
constexpr int word_of_rows(int i) {
  const int row = i / 8, token = (i & 4) / 2 + (i & 2) * 2 + (i & 1);
  return token * 4 + row;
}

template <int kFirst, int... at>
inline Uint32s words_of_rows(Uint32s a, Uint32s b, std::integer_sequence<int, at...>) {
  return __builtin_shufflevector(a, b, word_of_rows(kFirst + at)...);
}

inline void separate_inputs(uint32_t* panel, int64_t inputs) {
  constexpr auto bytes = Wide<uint8_t>::kAll;
  constexpr auto words = Wide<uint32_t>::kAll;
  for (int64_t k = 0; k < inputs; k += 4, panel += kOutputsTokens) {
    const Uint32s a = transpose_bytes(load<Uint32s>(panel), bytes);
    const Uint32s b = transpose_bytes(load<Uint32s>(panel + kWidth), bytes);
    store(panel, words_of_rows<0>(a, b, words));
    store(panel + kWidth, words_of_rows<16>(a, b, words));
  }
}

// Elements of the lower and of the upper half alternately.
template <int... at>
inline Uint32s alternate_halves(Uint32s x, std::integer_sequence<int, at...>) {
  typedef Wide<uint16_t>::Vector Vector;
  return (Uint32s)__builtin_shufflevector((Vector)x, (Vector)x, (at % 2 * 16 + at / 2)...);
}

template <int... at>
inline Uint32s two_rows(const uint8_t* a, const uint8_t* b, std::integer_sequence<int, at...>) {
  typedef uint32_t Half __attribute__((vector_size(32)));
  return __builtin_shufflevector(load<Half>(a), load<Half>(b), at...);
}

inline void gather(const uint8_t* panel, const uint16_t* rows, Uint32s words[kOutputsVectors]) {
  constexpr auto all = Wide<uint32_t>::kAll;
  const Uint32s even = two_rows(panel + rows[0], panel + rows[2], all);
  const Uint32s odd = two_rows(panel + rows[1], panel + rows[3], all);
  words[0] = alternate_halves(lower<uint8_t>(even, odd), Wide<uint16_t>::kAll);
  words[1] = alternate_halves(upper<uint8_t>(even, odd), Wide<uint16_t>::kAll);
}

#else  // a row to a vector

inline void separate_inputs(uint32_t* panel, int64_t inputs) {
  for (int64_t k = 0; k < inputs; k += 4, panel += kOutputsTokens) {
    Uint32s x[4];
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) x[v] = transpose_bytes(load<Uint32s>(panel + v * kWidth), Wide<uint8_t>::kAll);
    const Uint32s a = lower<uint32_t>(x[0], x[1]), b = upper<uint32_t>(x[0], x[1]);
    const Uint32s c = lower<uint32_t>(x[2], x[3]), d = upper<uint32_t>(x[2], x[3]);
    store(panel, lower<uint64_t>(a, c));
    store(panel + kWidth, upper<uint64_t>(a, c));
    store(panel + 2 * kWidth, lower<uint64_t>(b, d));
    store(panel + 3 * kWidth, upper<uint64_t>(b, d));
  }
}

inline void gather(const uint8_t* panel, const uint16_t* rows, Uint32s words[kOutputsVectors]) {
  Uint32s x[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) x[i] = load<Uint32s>(panel + rows[i]);
  const Uint32s a = lower<uint8_t>(x[0], x[1]), b = upper<uint8_t>(x[0], x[1]);
  const Uint32s c = lower<uint8_t>(x[2], x[3]), d = upper<uint8_t>(x[2], x[3]);
  words[0] = lower<uint16_t>(a, c);
  words[1] = upper<uint16_t>(a, c);
  words[2] = lower<uint16_t>(b, d);
  words[3] = upper<uint16_t>(b, d);
}

#endif

// --- products ---

constexpr int64_t kStepsAhead = 24;  // that are fetched before they are needed

// The sums of kAtOnce of a group's outputs from `first` on, kCount vectors of tokens each.
template <int kCount>
inline void multiply_outputs(const uint8_t* panel, const OutputStep* step, int64_t steps, int first, bool continues,
                             int32_t* sums) {
  Int32s found[kAtOnce][kCount] = {};
  if (continues) {
#pragma GCC unroll 4
    for (int o = 0; o < kAtOnce; o++)
#pragma GCC unroll 4
      for (int v = 0; v < kCount; v++) found[o][v] = load<Int32s>(sums + (first + o) * kOutputsTokens + v * kWidth);
  }
  for (const OutputStep* end = step + steps; step < end; step++) {
    __builtin_prefetch(step + kStepsAhead);
    Uint32s words[kOutputsVectors];
    gather(panel, step->rows, words);
#pragma GCC unroll 4
    for (int o = 0; o < kAtOnce; o++)
#pragma GCC unroll 4
      for (int v = 0; v < kCount; v++) found[o][v] = dot(found[o][v], (Int32s)words[v], step->weights[first + o]);
  }
#pragma GCC unroll 4
  for (int o = 0; o < kAtOnce; o++)
#pragma GCC unroll 4
    for (int v = 0; v < kCount; v++) store(sums + (first + o) * kOutputsTokens + v * kWidth, found[o][v]);
}

// sums[chunk_outputs][kTokens] of a chunk of outputs.
template <int kCount>
__attribute__((noinline)) void multiply_outputs_chunk(const uint32_t* panel, const SparseWeights& weights,
                                                      int64_t chunk, const Ahead& next, int32_t* sums) {
  const int64_t groups = weights.chunk_outputs / kQuad;
  for (int64_t part = 0; part < weights.parts; part++) {
    const int64_t segment = chunk * weights.parts + part;
    const uint8_t* rows = (const uint8_t*)panel + part * weights.part_rows * kOutputsTokens;
    const OutputStep* step = (const OutputStep*)weights.steps + weights.starts[segment];
    const int32_t* counts = weights.counts + segment * groups;
    const int32_t* places = weights.places + segment * groups;
    for (int64_t g = 0; g < groups; g++) {
      int32_t* to = sums + places[g] * kQuad * kOutputsTokens;
      for (int o = 0; o < kQuad; o += kAtOnce) multiply_outputs<kCount>(rows, step, counts[g], o, part > 0, to);
      step += counts[g];
      if (part == 0) next.x.fetch<0>(g, groups);
      if (part == weights.parts - 1) next.y.fetch<1>(g, groups);
    }
  }
}

// places: [groups], groups being four neighbouring outputs.
struct Outputs {
  static constexpr int64_t kTokens = kOutputsTokens;

  static inline void transpose(uint32_t* panel, const uint8_t* x, int64_t tokens, int64_t inputs) {
    transpose_panel<kTokens>(panel, x, tokens, inputs);
    separate_inputs(panel, inputs);
  }

  // sums[chunk_outputs][kTokens] of a chunk of outputs, for the `count` tokens of a panel.
  static inline void multiply(const uint32_t* panel, const SparseWeights& weights, int64_t chunk, const Ahead& next,
                              int64_t count, int32_t* sums) {
    count <= kTokens / 2 ? multiply_outputs_chunk<kOutputsVectors / 2>(panel, weights, chunk, next, sums)
                           : multiply_outputs_chunk<kOutputsVectors>(panel, weights, chunk, next, sums);
  }
};
