// The float32 matrix product: y = f(x · weightᵀ + bias), x [tokens, inputs], weight [outputs, inputs], f nothing or GELU.
//
// A block of 6 tokens × 64 outputs has its sums in 24 registers of AVX-512; 10 loads feed 24 products. Of AVX2, 6 × 16
// have theirs in 12; 8 loads feed 12 products. A panel of these outputs by a part of the inputs stays in the first-level
// cache and is walked over all rows of x that the second level holds, by a slab of inputs, while the next panel is
// fetched. Between parts, sums wait in y itself, so nothing is copied at the end. x lies in blocks of channels: the rows
// of a block of sums are lines in a row.
#pragma once
#include <omp.h>

#include <algorithm>

#include "activation.h"
#include "gelu.h"

constexpr int64_t kLine = 16;                          // floats of a cache line, and inputs of a step
constexpr int64_t kLines = kWidth == 16 ? 4 : 1;       // of outputs of a panel
constexpr int64_t kPanel = kLines * kLine;             // outputs
constexpr int64_t kVectors = kPanel / kWidth;          // of outputs
constexpr int64_t kBlockRows = 6;                      // tokens of a block of sums
constexpr int64_t kPartSteps = kWidth == 16 ? 8 : 16;  // of a panel that stays in the first-level cache
constexpr int64_t kSlabSteps = 32;                     // of x that stays in the second-level cache next to panels
constexpr int64_t kCachedBytes = 1 << 20;              // of that x

// Where a vector of outputs lies in lines, each `line_stride` after the one before.
inline int64_t in_lines(int64_t vector, int64_t line_stride) {
  return vector * kWidth / kLine * line_stride + vector * kWidth % kLine;
}

struct FloatWeights {
  const float* panels;  // [outputs / kPanel][inputs / kLine][kLines][kLine inputs][kLine outputs]
  const float* bias;    // [outputs]
  int64_t inputs, outputs;
};

// Lines of the weight that are fetched into the second-level cache during the products, a few a step.
struct NextPanel {
  const float* at;
  int64_t lines, per_step;

  inline void advance() {
    for (int64_t i = 0; i < per_step && lines > 0; i++, lines--, at += kLine) __builtin_prefetch(at, 0, 2);
  }
};

// The sums of a block, rows of y by vectors of outputs.
struct Sums {
  float* first;
  int64_t row_stride, line_stride;

  inline float* at(int64_t row, int64_t vector) const {
    return first + row * row_stride + in_lines(vector, line_stride);
  }
};

// sums = (bias, or else sums) + kCount rows of x by `steps` steps of a panel, then GELU if asked. These products are
// summed on their own first, which rounds less.
template <int kCount>
__attribute__((noinline)) void multiply_rows(const float* x, int64_t block_stride, const float* panel, int64_t steps,
                                             const float* bias, bool has_gelu, const Sums& sums, NextPanel& next) {
  Floats found[kCount][kVectors] = {};
  for (; steps > 0; steps--, x += block_stride, panel += kPanel * kLine) {
    next.advance();
#pragma GCC unroll 6
    for (int r = 0; r < kCount; r++) __builtin_prefetch(x + (kCount + r) * kLine, 0, 3);  // of the next block of rows
    // Not unrolled, and each sum in its register at the end of a round: GCC would copy sums between registers.
#pragma GCC unroll 1
    for (int64_t k = 0; k < kLine; k++) {
      Floats column[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; v++) column[v] = load_floats(panel + k * kLine + in_lines(v, kLine * kLine));
#pragma GCC unroll 6
      for (int r = 0; r < kCount; r++) {
        const Floats row = broadcast(x[r * kLine + k]);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; v++) found[r][v] += row * column[v];
      }
#pragma GCC unroll 6
      for (int r = 0; r < kCount; r++)
        for (int v = 0; v < kVectors; v++) __asm__("" : "+v"(found[r][v]));
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < kCount; r++) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; v++) found[r][v] += load_floats(bias ? bias + v * kWidth : sums.at(r, v));
    if (has_gelu) exact_gelu<kVectors>(found[r]);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; v++) store(sums.at(r, v), found[r][v]);
  }
}

constexpr decltype(&multiply_rows<1>) kByRows[] = {multiply_rows<1>, multiply_rows<2>, multiply_rows<3>,
                                                   multiply_rows<4>, multiply_rows<5>, multiply_rows<6>};

struct Range {
  int64_t from, until;

  inline int64_t size() const { return until - from; }
  inline Range part(int64_t number, int64_t of) const {
    return {from + size() * number / of, from + size() * (number + 1) / of};
  }
};

inline int64_t rounds_of(int64_t size, int64_t most) { return (size + most - 1) / most; }

// y of `rows` by `panels`, with the products of the inputs of `slab`, in steps, added.
inline void multiply_slab(const Activation& x, const FloatWeights& weights, bool has_gelu, Range rows, Range panels,
                          Range slab, const Activation& to) {
  const int64_t depth = weights.inputs / kLine, parts = rounds_of(slab.size(), kPartSteps);
  const int64_t blocks = rounds_of(rows.size(), kBlockRows);  // of about as many rows: few would wait for their sums
  for (int64_t panel = panels.from; panel < panels.until; panel++) {
    const float* bias = weights.bias + panel * kPanel;
    for (int64_t number = 0; number < parts; number++) {
      const Range part = slab.part(number, parts);
      const float* here = weights.panels + (panel * depth + part.from) * kPanel * kLine;
      const bool is_last = number == parts - 1;
      const int64_t lines = is_last && panel + 1 == panels.until ? 0 : part.size() * kPanel;
      NextPanel next{here + (is_last ? depth + slab.from - part.from : part.size()) * kPanel * kLine, lines,
                     rounds_of(lines, blocks * part.size())};
      for (int64_t block = 0; block < blocks; block++) {
        const Range tokens = rows.part(block, blocks);
        const Sums sums{(float*)to.data + place(to, tokens.from, panel * kPanel), to.row_stride, to.block_stride};
        const float* lines_of_x = (const float*)x.data + place(x, tokens.from, part.from * kLine);
        kByRows[tokens.size() - 1](lines_of_x, x.block_stride, here, part.size(), part.from ? nullptr : bias,
                                   has_gelu && part.until == depth, sums, next);
      }
    }
  }
}

// y[rows, outputs]. Rows of x are divided into chunks that the cache holds; threads share chunks × panels evenly.
inline void float_product(const Activation& x, int64_t rows, const FloatWeights& weights, bool has_gelu,
                          const Activation& to) {
  const Range inputs{0, weights.inputs / kLine};
  const int64_t slabs = rounds_of(inputs.until, kSlabSteps);
  const int64_t most = kCachedBytes / (rounds_of(inputs.until, slabs) * kLine * sizeof(float));
  const int64_t chunks = rounds_of(rows, most), panels = weights.outputs / kPanel;
#pragma omp parallel
  {
    const Range own = Range{0, chunks * panels}.part(omp_get_thread_num(), omp_get_num_threads());
    for (int64_t at = own.from; at < own.until;) {
      const int64_t first = at % panels, last = std::min(panels, first + own.until - at);
      const Range chunk = Range{0, rows}.part(at / panels, chunks);
      for (int64_t slab = 0; slab < slabs; slab++)
        multiply_slab(x, weights, has_gelu, chunk, {first, last}, inputs.part(slab, slabs), to);
      at += last - first;
    }
  }
}
