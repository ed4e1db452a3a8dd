// GELU in vectors, for stores of matrix products: for bytes and bfloat16, and for float32.
#pragma once
#include "simd.h"

// x Φ(x), Φ being the standard normal CDF, to 2e-4 of its value or absolutely: Φ(x) - 1/2 is an odd polynomial on
// [-3.9, 3.9], fitted to the least error of x Φ(x); it is exactly ±1/2 at the ends and beyond.
//
// In place, kCount vectors step by step: each step waits for the one before, so the processor needs several at once.
template <int kCount>
inline void gelu(Floats* x) {
  constexpr float kSeries[] = {-1.5968803e-6f, 4.7881074e-5f, -8.1297801e-4f, 8.7661693e-3f, -6.4557539e-2f, 3.9787125e-1f};
  Floats inside[kCount], square[kCount], series[kCount];
#pragma GCC unroll 8
  for (int i = 0; i < kCount; i++) inside[i] = minimum(maximum(x[i], broadcast(-3.9f)), broadcast(3.9f));
#pragma GCC unroll 8
  for (int i = 0; i < kCount; i++) square[i] = inside[i] * inside[i];
#pragma GCC unroll 8
  for (int i = 0; i < kCount; i++) series[i] = broadcast(2.2795167e-8f);
#pragma GCC unroll 8
  for (const float term : kSeries)
#pragma GCC unroll 8
    for (int i = 0; i < kCount; i++) series[i] = series[i] * square[i] + term;
#pragma GCC unroll 8
  for (int i = 0; i < kCount; i++) x[i] *= inside[i] * series[i] + 0.5f;
}

inline Floats gelu(Floats x) {
  gelu<1>(&x);
  return x;
}

// The same for float32, to 8e-7 absolutely and 4e-7 of x: (Φ(x) - 1/2) / x is a polynomial in 2 (x / 5.3)² - 1, fitted
// to the least error of x Φ(x); in x² alone, its terms would cancel each other.
template <int kCount>
inline void exact_gelu(Floats* x) {
  constexpr float kEnd = 5.3f, kSeries[] = {-7.18057563e-4f, 8.88551702e-4f,  -1.22689502e-3f, 2.96020345e-3f,
                                            -5.7093678e-3f,  8.92240833e-3f,  -1.32565405e-2f, 1.89006273e-2f,
                                            -2.52810679e-2f, 3.20825838e-2f,  -3.95906866e-2f, 4.92640324e-2f,
                                            -6.65184557e-2f, 1.33392572e-1f};
  Floats inside[kCount], square[kCount], series[kCount];
#pragma GCC unroll 8
  for (int i = 0; i < kCount; i++) inside[i] = minimum(maximum(x[i], broadcast(-kEnd)), broadcast(kEnd));
#pragma GCC unroll 8
  for (int i = 0; i < kCount; i++) square[i] = inside[i] * inside[i] * (2 / (kEnd * kEnd)) - 1.0f;
#pragma GCC unroll 8
  for (int i = 0; i < kCount; i++) series[i] = broadcast(2.29714875e-4f);
#pragma GCC unroll 16
  for (const float term : kSeries)
#pragma GCC unroll 8
    for (int i = 0; i < kCount; i++) series[i] = series[i] * square[i] + term;
#pragma GCC unroll 8
  for (int i = 0; i < kCount; i++) x[i] *= inside[i] * series[i] + 0.5f;
}
