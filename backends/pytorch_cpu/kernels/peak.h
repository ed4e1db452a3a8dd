// Loops of one instruction on registers alone: what no product can exceed. For `benchmarks.engine_cpu_time`.
#pragma once
#if defined(BOUNDED_GROUPS)
#include "byte_products.h"
#endif
#include "row_pairs.h"
#include "simd.h"
#include "tiles.h"

#if defined(__AVX2__)
// Runs `rounds` times 12 products of a vector of floats, which hides their latency; returns the operations done.
inline int64_t run_floats(int64_t rounds) {
  constexpr int kChains = 12;
  Floats sums[kChains] = {}, x = broadcast(1.0f), w = x;
  for (int64_t i = 0; i < rounds; i++) {
#pragma GCC unroll 12
    for (int chain = 0; chain < kChains; chain++) {
      sums[chain] += x * w;
      __asm__ volatile("" : "+v"(sums[chain]), "+v"(x), "+v"(w));  // or the compiler adds once and multiplies
    }
  }
  return rounds * kChains * kWidth * 2;
}
#endif

#if defined(__AVX512VNNI__)
// Runs `rounds` times 12 products of 64 bytes, which hides their latency; returns the operations done.
inline int64_t run_vnni(int64_t rounds) {
  constexpr int kChains = 12;
  __m512i sums[kChains] = {}, x = _mm512_set1_epi8(1), w = x;
  for (int64_t i = 0; i < rounds; i++) {
#pragma GCC unroll 12
    for (int chain = 0; chain < kChains; chain++) {
      sums[chain] = _mm512_dpbusd_epi32(sums[chain], x, w);
      __asm__ volatile("" : "+v"(sums[chain]));  // or the compiler adds once and multiplies
    }
  }
  return rounds * kChains * 64 * 2;
}
#endif

#if defined(__AVX2__)
// Runs `rounds` times 12 products of 16 integers of 16 bits, which hides their latency; returns the operations done.
inline int64_t run_words(int64_t rounds) {
  constexpr int kChains = 12;
  __m256i sums[kChains] = {}, x = _mm256_set1_epi16(1), w = x;
  for (int64_t i = 0; i < rounds; i++) {
#pragma GCC unroll 12
    for (int chain = 0; chain < kChains; chain++) {
      sums[chain] = _mm256_add_epi32(sums[chain], _mm256_madd_epi16(x, w));
      __asm__ volatile("" : "+x"(sums[chain]), "+x"(x), "+x"(w));  // or the compiler adds once and multiplies
    }
  }
  return rounds * kChains * 16 * 2;
}
#endif

#if defined(BOUNDED_GROUPS)
// Runs `rounds` times 10 products of 64 bytes, four added in 16 bits, which hides their latency; returns the operations
// done.
inline int64_t run_bytes(int64_t rounds) {
  constexpr int kChains = 10;
  __m256i sums[kChains] = {}, x = _mm256_set1_epi8(1), w = x;
  for (int64_t i = 0; i < rounds; i++) {
#pragma GCC unroll 10
    for (int chain = 0; chain < kChains; chain++) {
      __m256i other = x;
      __asm__ volatile("" : "+x"(x), "+x"(w), "+x"(other));  // or the compiler multiplies once
      sums[chain] = add_words(sums[chain], _mm256_add_epi16(multiply_bytes(x, w), multiply_bytes(other, w)));
      __asm__ volatile("" : "+x"(sums[chain]));
    }
  }
  return rounds * kChains * 64 * 2;
}
#endif

#if defined(__ARM_FEATURE_DOTPROD)
// Runs `rounds` times 16 products of 16 bytes, by smmla or by sdot; returns the operations done.
inline int64_t run_rows(int64_t rounds) {
  constexpr int kChains = 16;
  int32x4_t sums[kChains] = {};
  const int8x16_t x = vdupq_n_s8(1);
  for (int64_t i = 0; i < rounds; i++) {
#pragma GCC unroll 16
    for (int chain = 0; chain < kChains; chain++) {
#if defined(__ARM_FEATURE_MATMUL_INT8)
      sums[chain] = vmmlaq_s32(sums[chain], x, x);
#else
      sums[chain] = vdotq_s32(sums[chain], x, x);
#endif
      __asm__ volatile("" : "+w"(sums[chain]));
    }
  }
#if defined(__ARM_FEATURE_MATMUL_INT8)
  return rounds * kChains * 32 * 2;
#else
  return rounds * kChains * 16 * 2;
#endif
}
#endif

#if defined(__AMX_INT8__)
// Runs `rounds` times four products of 16 × 16 × 64; returns the operations done.
inline int64_t run_tiles(int64_t rounds) {
  configure_tiles();
  for (int64_t i = 0; i < rounds; i++) {
    _tile_dpbusd(0, 4, 6);
    _tile_dpbusd(1, 4, 7);
    _tile_dpbusd(2, 5, 6);
    _tile_dpbusd(3, 5, 7);
  }
  _tile_release();
  return rounds * 4 * 16 * 16 * 64 * 2;
}
#endif
