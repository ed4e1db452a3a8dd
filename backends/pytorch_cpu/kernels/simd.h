// Vectors as wide as the machine's registers, in the compilers' own vector extension: one source for AVX-512, AVX2 and
// NEON, and intrinsics only where an instruction has no other name.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>
#if defined(__AVX512F__)
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
inline Floats floats(Floats x) { return x; }
inline Floats floats(Ints x) { return __builtin_convertvector(x, Floats); }

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

// 2^x for x <= 30, to 3e-6 of its value: the floor goes into the exponent, the rest through a polynomial (fitted to the
// least relative error over 0..1). Below 2^-126 it is anything as small.
inline Floats exp2_below(Floats x) {
#if defined(__AVX512DQ__)
  constexpr __mmask16 kAllLanes = 0xffff;
  const Floats rest = (Floats)_mm512_maskz_reduce_ps(kAllLanes, (__m512)x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
#else
  x = maximum(x, all(-126.0f));
  const Floats rounded = (x - 0.5f) + kRounder, rest = x - (rounded - kRounder);
#endif
  Floats power = 1.35341678e-2f * rest + 5.20114632e-2f;
  power = power * rest + 2.41442753e-1f;
  power = power * rest + 6.93003836e-1f;
  power = power * rest + 1.00000259f;
#if defined(__AVX512DQ__)
  return (Floats)_mm512_maskz_scalef_ps(kAllLanes, (__m512)power, (__m512)x);
#else
  return (Floats)((Ints)power + (((Ints)rounded - (Ints)all(kRounder)) << 23));
#endif
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
inline float read(uint16_t from) {
  const uint32_t bits = (uint32_t)from << 16;
  float to;
  memcpy(&to, &bits, sizeof to);
  return to;
}

// x rounded to nearest even and held to 0..255.
inline Bytes to_bytes(Floats x) {
  Floats held = minimum(maximum(x, all(0.0f)), all(255.0f));
  return __builtin_convertvector((Words)(held + kRounder) & 0xff, Bytes);
}

// x, within 16 bits, rounded to nearest even.
inline Halves to_words(Floats x) { return __builtin_convertvector((Words)(x + kRounder), Halves); }

// Memory that is kept from call to call and grows; it begins with a cache line, so that no vector straddles two.
template <class Element>
class Scratch {
 public:
  ~Scratch() { std::free(data_); }
  Element* room(int64_t elements) {
    if (elements > size_) {
      std::free(data_);
      size_ = (elements + 63) / 64 * 64;
      data_ = (Element*)std::aligned_alloc(64, size_ * sizeof(Element));
      memset((void*)data_, 0, size_ * sizeof(Element));
    }
    return data_;
  }

 private:
  Element* data_ = nullptr;
  int64_t size_ = 0;
};
