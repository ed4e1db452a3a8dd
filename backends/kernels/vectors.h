// Vectors as wide as the machine's registers, in the compilers' own vector extension: one source for AVX-512, AVX2 and
// NEON, and no intrinsics but where an instruction has no other name (bfloat16 products).
#pragma once
#include <cstdint>
#include <cstring>
#include <utility>
#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
constexpr int kWidth = 16;
constexpr int kColumns = 4;  // of accumulators in a product's tile: kRows * kColumns of them and their operands fit
#elif defined(__AVX2__)
constexpr int kWidth = 8;
constexpr int kColumns = 2;
#else
constexpr int kWidth = 4;
constexpr int kColumns = 4;
#endif
constexpr int kRows = 6;

typedef float Floats __attribute__((vector_size(kWidth * 4)));
typedef int32_t Ints __attribute__((vector_size(kWidth * 4)));
typedef uint32_t Words __attribute__((vector_size(kWidth * 4)));
typedef uint16_t Halves __attribute__((vector_size(kWidth * 2)));
typedef uint8_t Bytes __attribute__((vector_size(kWidth)));

template <class Vector, class Element>
inline Vector load(const Element* from) {
  Vector to;
  memcpy(&to, from, sizeof to);
  return to;
}

template <class Vector, class Element>
inline void store(Element* to, Vector from) {
  memcpy(to, &from, sizeof from);
}

inline Floats all(float x) { return x - Floats{}; }
inline Floats maximum(Floats a, Floats b) { return a > b ? a : b; }
inline Floats minimum(Floats a, Floats b) { return a < b ? a : b; }

// Folds a vector's lanes into one, halves onto halves.
template <class Combine>
inline float fold(Floats v, Combine combine) {
#if defined(__clang__)
  float found = v[0];
  for (int i = 1; i < kWidth; i++) found = combine(all(found), all(v[i]))[0];
  return found;
#else
  Ints lanes;
  for (int i = 0; i < kWidth; i++) lanes[i] = i;
#pragma GCC unroll 4
  for (int half = kWidth / 2; half; half /= 2) v = combine(v, __builtin_shuffle(v, lanes ^ half));
  return v[0];
#endif
}

inline float sum(Floats v) {
  return fold(v, [](Floats a, Floats b) { return a + b; });
}
inline float highest(Floats v) { return fold(v, maximum); }

// Adding 1.5 * 2^23 leaves a float's nearest integer, ties to even, in its lowest bits.
constexpr float kRounder = 12582912.0f;

// 2^x for -126 <= x <= 0, to 2e-6 of its value: the integer part goes into the exponent, the rest through a polynomial
// (Taylor's, which on half a unit either side is good to a bit and a half of a float).
inline Floats exp2_below(Floats x) {
  Floats rounded = x + kRounder;
  Ints whole = (Ints)rounded - (Ints)all(kRounder);
  Floats rest = x - (rounded - kRounder);
  Floats power = 1.3333558e-3f * rest + 9.6181291e-3f;
  power = power * rest + 5.5504109e-2f;
  power = power * rest + 2.4022651e-1f;
  power = power * rest + 6.9314718e-1f;
  power = power * rest + 1.0f;
  return (Floats)((Ints)power + (whole << 23));
}

// --- a square of words, turned ---

template <int... lane>
inline Words riffle(Words a, Words b, int from, std::integer_sequence<int, lane...>) {
  // a and b lane by lane, from the first or from the middle on
  return from ? __builtin_shufflevector(a, b, (kWidth / 2 + lane / 2 + lane % 2 * kWidth)...)
              : __builtin_shufflevector(a, b, (lane / 2 + lane % 2 * kWidth)...);
}

// Row i's lane j becomes row j's lane i: riffling the halves as often as the width has bits turns the square.
inline void turn(Words rows[kWidth]) {
  constexpr auto lanes = std::make_integer_sequence<int, kWidth>();
#pragma GCC unroll 4
  for (int round = 1; round < kWidth; round *= 2) {
    Words next[kWidth];
#pragma GCC unroll 8
    for (int i = 0; i < kWidth / 2; i++) {
      next[2 * i] = riffle(rows[i], rows[i + kWidth / 2], 0, lanes);
      next[2 * i + 1] = riffle(rows[i], rows[i + kWidth / 2], 1, lanes);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kWidth; i++) rows[i] = next[i];
  }
}

// --- bfloat16, held as the upper halves of floats ---

inline Floats widen(Halves from) { return (Floats)(__builtin_convertvector(from, Words) << 16); }

inline Halves narrow(Floats from) {
#if defined(__AVX512BF16__)
  __m256bh rounded = _mm512_cvtneps_pbh((__m512)from);
  return load<Halves>(&rounded);
#else
  Words bits = (Words)from;
  bits += 0x7fff + ((bits >> 16) & 1);  // to nearest, ties to even
  return __builtin_convertvector(bits >> 16, Halves);
#endif
}

inline Floats read(const float* from) { return load<Floats>(from); }
inline Floats read(const uint16_t* from) { return widen(load<Halves>(from)); }

// x rounded to nearest even and held to 0..255.
inline Bytes to_bytes(Floats x) {
  Floats held = minimum(maximum(x, all(0.0f)), all(255.0f));
  return __builtin_convertvector((Words)(held + kRounder) & 0xff, Bytes);
}
