// Matrix products of our own, as C functions on plain pointers; setup.py builds them for AMX alone, where oneDNN leaves
// half of the tiles' speed. int8_product.py calls them, and has the same in PyTorch.
#include "int8_product.h"
#include "peak.h"

extern "C" {

int64_t peak_loop(int64_t rounds) { return run_tiles(rounds); }

int32_t runs_here() { return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw") && has_tiles(); }

// Numbers of outputs and of inputs must be multiples of these.
int32_t outputs_multiple() { return kBlock; }
int32_t inputs_multiple() { return kDepth; }

void sut_int8_product(const uint8_t* x, int64_t tokens, int64_t inputs, int64_t outputs, const int8_t* panels,
                      const float* scale, const float* offset, int32_t has_gelu, Activation to) {
  const Int8Weights weights{panels, scale, offset, inputs, outputs};
  has_gelu ? int8_product<true>(x, tokens, weights, to) : int8_product<false>(x, tokens, weights, to);
}
}
