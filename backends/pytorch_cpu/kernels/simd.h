// Vectors as wide as the machine's registers, written in the compilers' own vector extension: one source serves
// AVX-512, AVX2 and NEON, and intrinsics appear only where an instruction has no other spelling.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>
#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__ARM_FEATURE_DOTPROD)
#include <arm_neon.h>
#endif

#if defined(__AVX512F__)
constexpr int kWidth = 16;
constexpr int kColumns = 4;  // vectors per row of a matmul tile: kRows * kColumns accumulators and their operands fit
#elif defined(__AVX2__)
constexpr int kWidth = 8;
constexpr int kColumns = 2;
#else
constexpr int kWidth = 4;
constexpr int kColumns = 4;
#endif
constexpr int kRows = 6;

typedef float Floats __attribute__((vector_size(kWidth * 4)));
typedef int32_t Int32s __attribute__((vector_size(kWidth * 4)));
typedef uint32_t Uint32s __attribute__((vector_size(kWidth * 4)));
typedef uint16_t Uint16s __attribute__((vector_size(kWidth * 2)));
typedef uint8_t Uint8s __attribute__((vector_size(kWidth)));

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

inline Floats broadcast(float x) { return x - Floats{}; }
// Where a is NaN, b. Compilers make two instructions of the comparison: a mask and a choice.
#if defined(__AVX512F__)
inline Floats maximum(Floats a, Floats b) { return (Floats)_mm512_maskz_max_ps((__mmask16)0xffff, (__m512)a, (__m512)b); }
inline Floats minimum(Floats a, Floats b) { return (Floats)_mm512_maskz_min_ps((__mmask16)0xffff, (__m512)a, (__m512)b); }
inline Int32s maximum(Int32s a, Int32s b) {
  return (Int32s)_mm512_maskz_max_epi32((__mmask16)0xffff, (__m512i)a, (__m512i)b);
}
#elif defined(__AVX2__)
inline Floats maximum(Floats a, Floats b) { return (Floats)_mm256_max_ps((__m256)a, (__m256)b); }
inline Floats minimum(Floats a, Floats b) { return (Floats)_mm256_min_ps((__m256)a, (__m256)b); }
#else
inline Floats maximum(Floats a, Floats b) { return a > b ? a : b; }
inline Floats minimum(Floats a, Floats b) { return a < b ? a : b; }
inline Int32s maximum(Int32s a, Int32s b) { return a > b ? a : b; }
#endif
inline Floats to_floats(Floats x) { return x; }
inline Floats to_floats(Int32s x) { return __builtin_convertvector(x, Floats); }

// Reduces a vector to one lane in log2(kWidth) steps, each combining one half of the lanes with the other.
template <class Combine>
inline float reduce(Floats v, Combine combine) {
#if defined(__clang__)
  float result = v[0];
  for (int i = 1; i < kWidth; i++) result = combine(broadcast(result), broadcast(v[i]))[0];
  return result;
#else
  Int32s lanes;
  for (int i = 0; i < kWidth; i++) lanes[i] = i;
#pragma GCC unroll 4
  for (int half = kWidth / 2; half; half /= 2) v = combine(v, __builtin_shuffle(v, lanes ^ half));
  return v[0];
#endif
}

inline float reduce_sum(Floats v) {
  return reduce(v, [](Floats a, Floats b) { return a + b; });
}
inline float reduce_max(Floats v) {
  return reduce(v, [](Floats a, Floats b) { return maximum(a, b); });
}

// Adding 1.5 * 2^23 to a float leaves its nearest integer, ties to even, in the lowest bits of the mantissa.
constexpr float kRounder = 12582912.0f;

// 2^x for x <= 30 with a relative error of at most 3e-6: the floor of x goes into the exponent, the fraction through a
// polynomial fitted to the least relative error on [0, 1]. Below 2^-126 the result is some number that small.
inline Floats exp2(Floats x) {
#if defined(__AVX512DQ__)
  constexpr __mmask16 kAllLanes = 0xffff;
  const Floats fraction =
      (Floats)_mm512_maskz_reduce_ps(kAllLanes, (__m512)x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
#else
  x = maximum(x, broadcast(-126.0f));
  const Floats rounded = (x - 0.5f) + kRounder, fraction = x - (rounded - kRounder);
#endif
  Floats power = 1.35341678e-2f * fraction + 5.20114632e-2f;
  power = power * fraction + 2.41442753e-1f;
  power = power * fraction + 6.93003836e-1f;
  power = power * fraction + 1.00000259f;
#if defined(__AVX512DQ__)
  return (Floats)_mm512_maskz_scalef_ps(kAllLanes, (__m512)power, (__m512)x);
#else
  return (Floats)((Int32s)power + (((Int32s)rounded - (Int32s)broadcast(kRounder)) << 23));
#endif
}

// --- transposing a square of kWidth x kWidth 32-bit elements ---

// The lanes of a and b alternately, from their lower or their upper halves.
template <int... lane>
inline Uint32s interleave_lower(Uint32s a, Uint32s b, std::integer_sequence<int, lane...>) {
  return __builtin_shufflevector(a, b, (lane / 2 + lane % 2 * kWidth)...);
}
template <int... lane>
inline Uint32s interleave_upper(Uint32s a, Uint32s b, std::integer_sequence<int, lane...>) {
  return __builtin_shufflevector(a, b, (kWidth / 2 + lane / 2 + lane % 2 * kWidth)...);
}

// Row i's lane j becomes row j's lane i, in log2(kWidth) rounds: each interleaves row i with row i + kWidth / 2.
inline void transpose(Uint32s rows[kWidth]) {
  constexpr auto lanes = std::make_integer_sequence<int, kWidth>();
#pragma GCC unroll 4
  for (int round = 1; round < kWidth; round *= 2) {
    Uint32s next[kWidth];
#pragma GCC unroll 8
    for (int i = 0; i < kWidth / 2; i++) {
      next[2 * i] = interleave_lower(rows[i], rows[i + kWidth / 2], lanes);
      next[2 * i + 1] = interleave_upper(rows[i], rows[i + kWidth / 2], lanes);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kWidth; i++) rows[i] = next[i];
  }
}

// --- bfloat16, stored as uint16_t: the upper half of a float's bits ---

inline Floats promote_bfloat16(Uint16s from) { return (Floats)(__builtin_convertvector(from, Uint32s) << 16); }

inline Uint16s demote_to_bfloat16(Floats from) {
#if defined(__AVX512BF16__)
  __m256bh rounded = _mm512_cvtneps_pbh((__m512)from);
  return load<Uint16s>(&rounded);
#else
  Uint32s bits = (Uint32s)from;
  bits += 0x7fff + ((bits >> 16) & 1);  // to nearest, ties to even
  return __builtin_convertvector(bits >> 16, Uint16s);
#endif
}

inline Floats load_floats(const float* from) { return load<Floats>(from); }
inline Floats load_floats(const uint16_t* from) { return promote_bfloat16(load<Uint16s>(from)); }
inline float promote_bfloat16(uint16_t from) {
  const uint32_t bits = (uint32_t)from << 16;
  float to;
  memcpy(&to, &bits, sizeof to);
  return to;
}

#if defined(__AVX512F__)
inline Int32s round_to_int32(Floats x) { return (Int32s)_mm512_maskz_cvtps_epi32((__mmask16)0xffff, (__m512)x); }
#elif defined(__AVX2__)
inline Int32s round_to_int32(Floats x) { return (Int32s)_mm256_cvtps_epi32((__m256)x); }
#elif defined(__ARM_FEATURE_DOTPROD)
inline Int32s round_to_int32(Floats x) { return (Int32s)vcvtnq_s32_f32((float32x4_t)x); }

// Four vectors rounded to nearest even and clamped to 0..255.
inline uint8x16_t round_to_bytes(const Floats* x) {
  const auto narrow = [](Floats x) { return vqmovn_s32((int32x4_t)round_to_int32(x)); };
  const int16x8_t low = vcombine_s16(narrow(x[0]), narrow(x[1])), high = vcombine_s16(narrow(x[2]), narrow(x[3]));
  return vcombine_u8(vqmovun_s16(low), vqmovun_s16(high));
}
#endif

// x rounded to nearest even and clamped to 0..255.
inline Uint32s round_to_byte(Floats x) {
#if defined(__AVX512F__)
  return (Uint32s)maximum(round_to_int32(minimum(x, broadcast(255.0f))), Int32s{});
#else
  const Floats clamped = minimum(maximum(x, broadcast(0.0f)), broadcast(255.0f));
  return (Uint32s)(clamped + kRounder) & 0xff;
#endif
}
inline Uint8s round_to_uint8(Floats x) {
#if defined(__AVX512F__)
  const __m128i bytes = _mm512_maskz_cvtepi32_epi8((__mmask16)0xffff, (__m512i)round_to_byte(x));
  return load<Uint8s>(&bytes);
#elif defined(__AVX2__)  // of a conversion GCC makes instructions for each lane
  const __m256i words = _mm256_packus_epi32((__m256i)round_to_int32(minimum(x, broadcast(255.0f))), __m256i{});
  const __m256i bytes = _mm256_packus_epi16(words, words);  // four in each half
  const __m128i joined = _mm_unpacklo_epi32(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1));
  return load<Uint8s>(&joined);
#else
  return __builtin_convertvector(round_to_byte(x), Uint8s);
#endif
}

// x, which must fit in 16 bits, rounded to nearest even.
inline Uint16s round_to_int16(Floats x) { return __builtin_convertvector((Uint32s)(x + kRounder), Uint16s); }

// Both so, one after the other.
inline void store_as_int16(uint16_t* to, Floats first, Floats second) {
#if defined(__AVX2__) && !defined(__AVX512F__)
  const __m256i words = _mm256_packs_epi32((__m256i)round_to_int32(first), (__m256i)round_to_int32(second));
  store(to, _mm256_permute4x64_epi64(words, 0xd8));  // four of each in turn
#else
  store(to, round_to_int16(first));
  store(to + kWidth, round_to_int16(second));
#endif
}

inline int64_t round_up(int64_t x, int64_t multiple) { return (x + multiple - 1) / multiple * multiple; }

// Memory that is kept between calls and only grows. It is aligned to a cache line, so that no vector straddles two.
template <class Element>
class Scratch {
 public:
  ~Scratch() { std::free(data_); }

  // At least `elements` elements; what they hold is unspecified.
  Element* reserve(int64_t elements) {
    if (elements > capacity_) {
      std::free(data_);
      capacity_ = (elements + 63) / 64 * 64;
      data_ = (Element*)std::aligned_alloc(64, capacity_ * sizeof(Element));
      memset((void*)data_, 0, capacity_ * sizeof(Element));
    }
    return data_;
  }

 private:
  Element* data_ = nullptr;
  int64_t capacity_ = 0;
};
