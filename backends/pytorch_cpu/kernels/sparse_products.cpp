// The int8 product with a sparse weight, as C functions on plain pointers. setup.py builds this file once per
// instruction set; sparse_product.py calls it, and has the same in PyTorch.
#include "row_pairs.h"
#include "sparse_inputs.h"
#include "sparse_outputs.h"

#if defined(__AVXVNNI__)
#include <cpuid.h>

static bool has_avx_vnni() {
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
}
#endif

extern "C" {

// The sources that it was made of, by setup.py; foundation/native_library.py checks them.
const char* built_from() { return BUILT_FROM; }

int32_t runs_here() {
#if defined(__AVX512VNNI__)
  return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#elif defined(__AVXVNNI__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_avx_vnni();
#elif defined(__AVX2__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#elif defined(__ARM_FEATURE_DOTPROD)
  return has_row_pairs();
#else
  return 1;
#endif
}

// What the layout of a weight depends on.
int32_t panel_tokens(int32_t of_outputs) { return of_outputs ? kOutputsTokens : kInputsTokens; }
int32_t outputs_together() { return kTogether; }

// x: [tokens, inputs], or panels.
void sut_sparse_product(const uint8_t* x, int32_t in_panels, int64_t tokens, int64_t inputs, int64_t outputs,
                        int64_t parts, int64_t part_rows, int64_t chunk_outputs, const void* steps,
                        const int64_t* starts, const int32_t* counts, const int32_t* places, const float* scale,
                        const float* offset, int32_t of_outputs, int32_t has_gelu, Activation to) {
  const SparseWeights weights{steps,  starts,  counts, places,    scale,        offset,
                              inputs, outputs, parts,  part_rows, chunk_outputs};
  const auto product = of_outputs ? (has_gelu ? sparse_product<Outputs, true> : sparse_product<Outputs, false>)
                                  : (has_gelu ? sparse_product<Inputs, true> : sparse_product<Inputs, false>);
  product({x, tokens, in_panels != 0}, weights, to);
}
}
