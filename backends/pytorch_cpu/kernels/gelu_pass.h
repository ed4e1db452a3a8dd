// GELU in a pass of its own, after a product with an epilogue that cannot round to a scale for each channel. Widths are
// multiples of the vector width.
#pragma once
#include "activation.h"
#include "gelu.h"

// to[tokens, width] = GELU(x[tokens, width])
template <class Element>
void gelu_pass(const Element* x, int64_t tokens, int64_t width, Activation to) {
#pragma omp parallel for schedule(static)
  for (int64_t t = 0; t < tokens; t++)
    for (int64_t i = 0; i < width; i += kWidth)
      store_activation(to, t, i, gelu(load_floats(x + t * width + i)));
}
