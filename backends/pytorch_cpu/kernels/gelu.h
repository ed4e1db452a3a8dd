// GELU in vectors, for stores of matrix products.
#pragma once
#include "simd.h"

// x Φ(x), Φ being the standard normal CDF, to 2e-4 of its value or absolutely: Φ(x) - 1/2 is an odd polynomial on
// [-3.9, 3.9], fitted to the least error of x Φ(x); it is exactly ±1/2 at the ends and beyond.
inline Floats gelu(Floats x) {
  const Floats inside = minimum(maximum(x, broadcast(-3.9f)), broadcast(3.9f)), square = inside * inside;
  Floats series = 2.2795167e-8f * square - 1.5968803e-6f;
  series = series * square + 4.7881074e-5f;
  series = series * square - 8.1297801e-4f;
  series = series * square + 8.7661693e-3f;
  series = series * square - 6.4557539e-2f;
  series = series * square + 3.9787125e-1f;
  return x * (inside * series + 0.5f);
}
