// The int8 matrix product: y = f((x · weightᵀ) * scale + offset), x uint8 [tokens, inputs], weight int8 [outputs, inputs],
// sums in int32, f nothing or GELU, y in any encoding.
//
// x lies in blocks of 64 inputs, so that the rows of a block of sums are lines in a row. A panel of 32 outputs stays in
// the first-level cache and is walked over all rows of x that the second level holds, while the next panel is fetched;
// if it has more inputs than that cache holds, the sums are reloaded between its parts. An instruction set brings its
// own block of sums (tile_blocks.h, vector_blocks.h). The sums of a block are stored with those of the next one.
#pragma once
#include <omp.h>

#include <algorithm>

#include "activation.h"
#include "gelu.h"
#if defined(__AMX_INT8__)
#include "tile_blocks.h"
#else
#include "vector_blocks.h"
#endif

constexpr int64_t kCachedBytes = 1 << 20;  // of x, that stay in the second-level cache next to panels

// Both rounded to bfloat16, one after the other.
inline __m512i join_as_bfloat16(Floats first, Floats second) {
#if defined(__AVX512BF16__)
  return (__m512i)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
#else
  const auto rounded = [](Floats x) { return (__m512i)(((Uint32s)x + 0x7fff + ((Uint32s)x >> 16 & 1)) >> 16); };
  const __m512i words = _mm512_packus_epi32(rounded(first), rounded(second));  // four of each in turn
  return _mm512_maskz_permutexvar_epi64(0xff, _mm512_set_epi64(7, 5, 3, 1, 6, 4, 2, 0), words);
#endif
}

// Both rounded to nearest even and clamped to 0..255, one after the other.
inline __m256i join_as_uint8(Floats first, Floats second) {
  const auto rounded = [](Floats x) { return (__m512i)round_to_int32(minimum(x, broadcast(255.0f))); };
  const __m512i words = _mm512_packus_epi32(rounded(first), rounded(second));  // four of each in turn
  const __m512i order = _mm512_set_epi32(0, 0, 0, 0, 0, 0, 0, 0, 13, 9, 5, 1, 12, 8, 4, 0);
  const __m512i bytes = _mm512_maskz_permutexvar_epi32(0xff, order, _mm512_packus_epi16(words, words));
  return load<__m256i>(&bytes);
}

// Sums that are still to be stored, a row of a block at a time.
template <ElementType kType, bool kGelu>
struct PendingBlock {
  static constexpr bool kIsBytes = kType == kUint8 || kType == kInt8;
  static constexpr int64_t kBytes = kType == kFloat ? 4 : kType == kBfloat16 ? 2 : 1;
  const int32_t* sums;
  uint8_t* to[2];       // the first row's halves in y
  int64_t row_bytes;
  int64_t row = 0, rows = 0;  // the next to store, and of the block
  Floats scale[2], offset[2], multiplier[2];
  float zero_point;

  inline void begin(const int32_t* found, int64_t count, const Int8Weights& weights, const Activation& y,
                    int64_t token, int64_t output) {
    sums = found;
    row_bytes = y.row_stride * kBytes;
    row = 0;
    rows = count;
    zero_point = (float)y.zero_point;
#pragma GCC unroll 2
    for (int64_t half = 0; half < 2; half++) {
      const int64_t channel = output + half * kWidth;
      to[half] = (uint8_t*)y.data + place(y, token, channel) * kBytes;
      scale[half] = load_floats(weights.scale + channel);
      offset[half] = load_floats(weights.offset + channel);
      if (kIsBytes) multiplier[half] = load_floats(y.multiplier + channel);
      if (kIsBytes && !kGelu) {  // one multiplication instead of two
        scale[half] *= multiplier[half];
        offset[half] = offset[half] * multiplier[half] + zero_point;
      }
    }
  }

  // Stores at most `count` rows.
  inline void advance(int64_t count) {
    for (const int64_t end = std::min(row + count, rows); row < end; row++) {
      Floats x[2];
#pragma GCC unroll 2
      for (int64_t half = 0; half < 2; half++)
        x[half] = to_floats(load<Int32s>(sums_at(sums, row, half))) * scale[half] + offset[half];
      if (kGelu) gelu<2>(x);
      if (kGelu && kIsBytes) {
        x[0] = x[0] * multiplier[0] + zero_point;
        x[1] = x[1] * multiplier[1] + zero_point;
      }
      uint8_t* at = to[0] + row * row_bytes;
      if (kType == kFloat) {
        store(at, x[0]);
        store(to[1] + row * row_bytes, x[1]);
      } else if (kType == kBfloat16) {
        store(at, join_as_bfloat16(x[0], x[1]));
      } else {
        const __m256i bytes = join_as_uint8(x[0], x[1]);
        store(at, kType == kUint8 ? bytes : _mm256_xor_si256(bytes, _mm256_set1_epi8((char)0x80)));
      }
    }
  }
};

// Rows [first, first + rows) of y by panels [from, until).
template <ElementType kType, bool kGelu>
inline void multiply_chunk(const Activation& x, const Int8Weights& weights, int64_t first, int64_t rows, int64_t from,
                           int64_t until, const Activation& to) {
  static thread_local Scratch<int32_t> scratch;
  constexpr int64_t kSums = kBlockRows * kPanel;
  const int64_t blocks = (rows + kBlockRows - 1) / kBlockRows, depth = weights.inputs / kDepth;
  const int64_t parts = (depth + kMostSteps - 1) / kMostSteps;
  int32_t* partial = scratch.reserve((blocks + 2) * kSums);  // of each block, between the parts of a panel
  int32_t* finished = partial + blocks * kSums;              // of two blocks in turn
  PendingBlock<kType, kGelu> pending{};
  const int64_t y_stride = to.row_stride * pending.kBytes;
  for (int64_t panel = from; panel < until; panel++) {
    for (int64_t part = 0; part < parts; part++) {
      const int64_t start = depth * part / parts, steps = depth * (part + 1) / parts - start;
      const int8_t* here = weights.panels + (panel * depth + start) * 2 * kTileBytes;
      const bool is_last = part == parts - 1;
      const int64_t lines = panel + 1 == until && is_last ? 0 : 2 * steps * kTileBytes / 64;
      Fetch next{here + 2 * steps * kTileBytes, 64, lines, (lines + blocks * steps - 1) / (blocks * steps)};
      for (int64_t block = 0; block < blocks; block++) {
        const int64_t begin = first_row(block, blocks, rows), row = first + begin;
        const int64_t count = std::min(first_row(block + 1, blocks, rows), rows) - begin;
        int32_t* sums = is_last ? finished + block % 2 * kSums : partial + block * kSums;
        const void* y = (const uint8_t*)to.data + place(to, row, panel * kPanel) * pending.kBytes;
        const int64_t y_lines = is_last ? count : 0;
        const uint8_t* lines_of_x = (const uint8_t*)x.data + row * kDepth + start * x.block_stride;
        const int32_t* previous = part ? partial + block * kSums : nullptr;
        multiply_block(lines_of_x, count, x.block_stride, here, steps, previous, sums, pending, next,
                       {y, y_stride, y_lines, (kBlockRows + steps - 1) / steps});
        if (is_last) pending.begin(sums, count, weights, to, row, panel * kPanel);
      }
    }
  }
  pending.advance(kBlockRows);
}

// y[rows, outputs]. Rows of x are divided into chunks that the cache holds; threads share chunks × panels evenly.
template <ElementType kType, bool kGelu>
void int8_product(const Activation& x, int64_t rows, const Int8Weights& weights, const Activation& to) {
  const int64_t most = std::max(kBlockRows, kCachedBytes / weights.inputs / kBlockRows * kBlockRows);
  const int64_t parts = (rows + most - 1) / most;
  const int64_t each = round_up((rows + parts - 1) / parts, kBlockRows);
  const int64_t chunks = (rows + each - 1) / each, panels = weights.outputs / kPanel;
#pragma omp parallel
  {
    begin_products();
    const int64_t threads = omp_get_num_threads(), thread = omp_get_thread_num();
    int64_t at = chunks * panels * thread / threads;
    for (const int64_t end = chunks * panels * (thread + 1) / threads; at < end;) {
      const int64_t chunk = at / panels, from = at % panels, until = std::min(panels, from + end - at);
      const int64_t first = chunk * each, count = std::min(each, rows - first);
      multiply_chunk<kType, kGelu>(x, weights, first, count, from, until, to);
      at += until - from;
    }
    end_products();
  }
}
