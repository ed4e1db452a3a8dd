// GELU in vectors, for stores of matrix products.
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
