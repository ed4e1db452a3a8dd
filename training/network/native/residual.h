// LayerNorm(dropout(x) + residual), forward and backward, in one pass over memory each. Widths are multiples of kWidth.
#pragma once
#include <algorithm>
#include <cmath>

#include "exponential.h"
#include "random.h"

struct Norm {
  const float *weight, *bias;  // [width]
  float epsilon;
};

// to[T, width]; summed[T, width] = dropout(x) + residual; figures[T, 2]: its mean and the inverse of its deviation.
inline void add_norm(const float* x, const float* residual, const Norm& norm, const Dropout& dropout, int64_t tokens,
                     int64_t width, float* to, float* summed, float* figures) {
#pragma omp parallel for schedule(static)
  for (int64_t t = 0; t < tokens; t++) {
    const Draws draws(dropout, t);
    float* row = summed + t * width;
    Floats total{}, squares{};
    for (int64_t i = 0; i < width; i += kWidth) {
      const int64_t at = t * width + i;
      const Floats sum = draws.keep(i, load_floats(x + at)) * dropout.factor + load_floats(residual + at);
      store(row + i, sum);
      total += sum;
    }
    const float mean = reduce_sum(total) / width;
    for (int64_t i = 0; i < width; i += kWidth) {
      const Floats difference = load_floats(row + i) - mean;
      squares += difference * difference;
    }
    const float scale = 1 / std::sqrt(reduce_sum(squares) / width + norm.epsilon);
    for (int64_t i = 0; i < width; i += kWidth) {
      const Floats x_hat = (load_floats(row + i) - mean) * scale;
      store(to + t * width + i, x_hat * load_floats(norm.weight + i) + load_floats(norm.bias + i));
    }
    figures[2 * t] = mean, figures[2 * t + 1] = scale;
  }
}

// The gradients of x and of the residual, and of weight and bias: sums[ceil(T / kRowsOfSums), 2, width].
inline void add_norm_backward(const float* grad, const float* summed, const float* figures, const Norm& norm,
                              const Dropout& dropout, int64_t tokens, int64_t width, float* to_x, float* to_residual,
                              float* sums) {
#pragma omp parallel for schedule(static)
  for (int64_t part = 0; part < (tokens + kRowsOfSums - 1) / kRowsOfSums; part++) {
    float *to_weight = sums + 2 * part * width, *to_bias = to_weight + width;
    memset(to_weight, 0, 2 * width * sizeof(float));
    for (int64_t t = part * kRowsOfSums; t < std::min(tokens, (part + 1) * kRowsOfSums); t++) {
      const Draws draws(dropout, t);
      const float mean = figures[2 * t], scale = figures[2 * t + 1];
      const float *own = summed + t * width, *grads = grad + t * width;
      Floats total{}, along{};
      for (int64_t i = 0; i < width; i += kWidth) {
        const Floats g = load_floats(grads + i), x_hat = (load_floats(own + i) - mean) * scale;
        const Floats weighted = g * load_floats(norm.weight + i);
        total += weighted;
        along += weighted * x_hat;
        store(to_weight + i, load_floats(to_weight + i) + g * x_hat);
        store(to_bias + i, load_floats(to_bias + i) + g);
      }
      const float mean_grad = reduce_sum(total) / width, mean_along = reduce_sum(along) / width;
      for (int64_t i = 0; i < width; i += kWidth) {
        const Floats x_hat = (load_floats(own + i) - mean) * scale;
        const Floats found =
            (load_floats(grads + i) * load_floats(norm.weight + i) - mean_grad - x_hat * mean_along) * scale;
        store(to_residual + t * width + i, found);
        store(to_x + t * width + i, draws.keep(i, found) * dropout.factor);
      }
    }
  }
}
