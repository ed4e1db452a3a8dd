// GELU(x + bias) and its gradient, each in one pass over memory. Widths are multiples of kWidth.
#pragma once
#include <algorithm>

#include "exponential.h"

struct Normal {  // the standard normal distribution at a point
  Floats share, density;
};

// The share by Abramowitz and Stegun's formula 7.1.26, within 1e-7.
inline Normal normal(Floats x) {
  const Floats size = x > 0 ? x : -x;
  const Floats power = exp2_exact(-0.5f * kLog2E * x * x);
  const Floats t = 1 / (1 + 0.3275911f * 0.70710678f * size);
  Floats tail = 1.061405429f * t - 1.453152027f;
  tail = tail * t + 1.421413741f;
  tail = tail * t - 0.284496736f;
  tail = tail * t + 0.254829592f;
  tail *= 0.5f * t * power;
  return {x > 0 ? 1 - tail : tail, 0.39894228f * power};
}

// to[T, width] = GELU(x + bias)
inline void gelu(const float* x, const float* bias, int64_t tokens, int64_t width, float* to) {
#pragma omp parallel for schedule(static)
  for (int64_t t = 0; t < tokens; t++) {
    for (int64_t i = 0; i < width; i += kWidth) {
      const Floats at = load_floats(x + t * width + i) + load_floats(bias + i);
      store(to + t * width + i, at * normal(at).share);
    }
  }
}

// The gradient of x, and sums of its rows, the gradient of the bias: sums[ceil(T / kRowsOfSums), width].
inline void gelu_backward(const float* grad, const float* x, const float* bias, int64_t tokens, int64_t width,
                          float* to, float* sums) {
#pragma omp parallel for schedule(static)
  for (int64_t part = 0; part < (tokens + kRowsOfSums - 1) / kRowsOfSums; part++) {
    float* sum = sums + part * width;
    memset(sum, 0, width * sizeof(float));
    for (int64_t t = part * kRowsOfSums; t < std::min(tokens, (part + 1) * kRowsOfSums); t++) {
      for (int64_t i = 0; i < width; i += kWidth) {
        const Floats at = load_floats(x + t * width + i) + load_floats(bias + i);
        const Normal found = normal(at);
        const Floats result = load_floats(grad + t * width + i) * (found.share + at * found.density);
        store(to + t * width + i, result);
        store(sum + i, load_floats(sum + i) + result);
      }
    }
  }
}
