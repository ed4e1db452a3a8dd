// The exponential of the softmax and of the normal distribution, and what sums over rows have in common.
#pragma once
#include "simd.h"

constexpr float kLog2E = 1.44269504f;
constexpr int64_t kRowsOfSums = 64;  // rows in one partial sum of a parameter's gradient, whatever the threads

// 2^x for x <= 0 with an error of one or two units in the last place.
inline Floats exp2_exact(Floats x) {
  x = x < -126.0f ? broadcast(-126.0f) : x;  // NaN stays
  const Floats rounded = x + kRounder, y = x - (rounded - kRounder);  // y in [-1/2, 1/2]
  Floats power = 1.5403530e-4f * y + 1.3333558e-3f;                   // the series of e^(y ln 2)
  power = power * y + 9.6181291e-3f;
  power = power * y + 5.5504109e-2f;
  power = power * y + 2.4022651e-1f;
  power = power * y + 6.9314718e-1f;
  power = power * y + 1.0f;
  return (Floats)((Int32s)power + (((Int32s)rounded - (Int32s)broadcast(kRounder)) << 23));
}
