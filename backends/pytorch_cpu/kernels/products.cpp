// The int8 product of our own, as C functions on plain pointers; setup.py builds it for AMX alone, where oneDNN leaves
// half of the tiles' speed. int8_product.py calls them.
#include "int8_product.h"
#include "peak.h"

template <bool kGelu>
static void product(const uint8_t* x, int64_t rows, const Int8Weights& weights, const Activation& to) {
  if (to.type == kFloat)
    int8_product<kFloat, kGelu>(x, rows, weights, to);
  else if (to.type == kBfloat16)
    int8_product<kBfloat16, kGelu>(x, rows, weights, to);
  else if (to.type == kInt8)
    int8_product<kInt8, kGelu>(x, rows, weights, to);
  else
    int8_product<kUint8, kGelu>(x, rows, weights, to);
}

extern "C" {

// The sources that it was made of, by setup.py; foundation/native_library.py checks them.
const char* built_from() { return BUILT_FROM; }

int64_t peak_loop(int64_t rounds) { return run_tiles(rounds); }

int32_t runs_here() { return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw") && has_tiles(); }

// Numbers of outputs and of inputs must be multiples of these.
int32_t outputs_multiple() { return kBlock; }
int32_t inputs_multiple() { return kDepth; }

// x: [inputs / 64][rows][64], rows a multiple of 32; y has as many rows.
void sut_int8_product(const uint8_t* x, int64_t rows, int64_t inputs, int64_t outputs, const int8_t* panels,
                      const float* scale, const float* offset, int32_t has_gelu, Activation to) {
  const Int8Weights weights{panels, scale, offset, inputs, outputs};
  has_gelu ? product<true>(x, rows, weights, to) : product<false>(x, rows, weights, to);
}
}
