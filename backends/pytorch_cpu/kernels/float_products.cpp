// The float32 product of our own, as C functions on plain pointers; setup.py builds this file once per instruction set;
// float_product.py calls them.
#include "float_product.h"
#include "peak.h"

extern "C" {

// The sources that it was made of, by setup.py; foundation/native_library.py checks them.
const char* built_from() { return BUILT_FROM; }

int64_t peak_loop(int64_t rounds) { return run_floats(rounds); }

int32_t runs_here() {
#if defined(__AVX512F__)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#else
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
}

// Outputs of a panel and inputs of its steps, which must divide a weight's.
int32_t outputs_multiple() { return kPanel; }
int32_t inputs_multiple() { return kLine; }

// x: in blocks of channels; to: [rows, outputs], float32.
void sut_float_product(Activation x, int64_t rows, int64_t inputs, int64_t outputs, const float* panels,
                       const float* bias, int32_t has_gelu, Activation to) {
  float_product(x, rows, {panels, bias, inputs, outputs}, has_gelu, to);
}
}
