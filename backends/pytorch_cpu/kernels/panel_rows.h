// Stores a row of a panel of int8_product.h: 32 outputs, as bfloat16 or as bytes.
#pragma once
#include "simd.h"

#if defined(__AVX512F__)
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

inline void store_as_bfloat16(uint8_t* to, const Floats* x) { store(to, join_as_bfloat16(x[0], x[1])); }

// `flipped`: the highest bit of each, which makes int8 of them.
inline void store_as_bytes(uint8_t* to, const Floats* x, bool flipped) {
  const __m256i bytes = join_as_uint8(x[0], x[1]);
  store(to, flipped ? _mm256_xor_si256(bytes, _mm256_set1_epi8((char)0x80)) : bytes);
}
#else
inline void store_as_bfloat16(uint8_t* to, const Floats* x) {
#pragma GCC unroll 8
  for (int i = 0; i < 32 / kWidth; i++) store(to + 2 * kWidth * i, demote_to_bfloat16(x[i]));
}

#if defined(__AVX2__)
// `flipped`: the highest bit of each, which makes int8 of them.
inline void store_as_bytes(uint8_t* to, const Floats* x, bool flipped) {
  const auto rounded = [](Floats x) { return (__m256i)round_to_int32(minimum(x, broadcast(255.0f))); };
  const __m256i first = _mm256_packus_epi32(rounded(x[0]), rounded(x[1]));  // four of each in turn
  const __m256i second = _mm256_packus_epi32(rounded(x[2]), rounded(x[3]));
  const __m256i order = _mm256_set_epi32(7, 3, 6, 2, 5, 1, 4, 0);
  const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(first, second), order);
  store(to, flipped ? _mm256_xor_si256(bytes, _mm256_set1_epi8((char)0x80)) : bytes);
}
#else

// `flipped`: the highest bit of each, which makes int8 of them.
inline void store_as_bytes(uint8_t* to, const Floats* x, bool flipped) {
  const uint8x16_t flips = vdupq_n_u8(flipped ? 0x80 : 0);
  vst1q_u8(to, round_to_bytes(x) ^ flips);
  vst1q_u8(to + 16, round_to_bytes(x + 4) ^ flips);
}
#endif
#endif
