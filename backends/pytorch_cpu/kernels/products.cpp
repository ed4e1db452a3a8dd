// The int8 product of our own, as C functions on plain pointers; setup.py builds this file
// once per instruction set; int8_product.py calls them.
#include "int8_product.h"
#include "peak.h"
#if defined(__AVX512F__)
#include "stream_norm.h"
#endif

template <bool kGelu>
static void product(const Activation& x, int64_t rows, const Int8Weights& weights, const Activation& to) {
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

#if defined(__AMX_INT8__)
int64_t peak_loop(int64_t rounds) { return run_tiles(rounds); }
#elif defined(__ARM_FEATURE_DOTPROD)
int64_t peak_loop(int64_t rounds) { return run_rows(rounds); }
#elif defined(BOUNDED_GROUPS)
int64_t peak_loop(int64_t rounds) { return run_bytes(rounds); }
#elif !defined(__AVX512F__)
int64_t peak_loop(int64_t rounds) { return run_words(rounds); }
#endif

int32_t runs_here() {
#if defined(__AMX_INT8__)
  return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw") && has_tiles();
#elif defined(__ARM_FEATURE_DOTPROD)
  return has_row_pairs();
#elif !defined(__AVX512F__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#endif
}

// Numbers of outputs and of inputs must be multiples of these.
int32_t outputs_multiple() { return kPanel; }
int32_t inputs_multiple() { return kDepth; }

// x: bytes in blocks of channels, with storage for a multiple of 32 rows; to: [rows, outputs].
void sut_int8_product(Activation x, int64_t rows, int64_t inputs, int64_t outputs, const int8_t* panels,
                      const float* scale, const float* offset, int32_t has_gelu, Activation to) {
  const Int8Weights weights{panels, scale, offset, inputs, outputs};
  has_gelu ? product<true>(x, rows, weights, to) : product<false>(x, rows, weights, to);
}

// The same without GELU, added to `to`, bfloat16 in blocks of channels.
void sut_int8_product_added(Activation x, int64_t rows, int64_t inputs, int64_t outputs, const int8_t* panels,
                            const float* scale, const float* offset, Activation to) {
  int8_product<kBfloat16, false, true>(x, rows, {panels, scale, offset, inputs, outputs}, to);
}

#if defined(__AVX512F__)
void sut_norm_stream(Activation stream, int64_t tokens, int64_t width, const float* weight, const float* bias,
                     float epsilon, Activation to) {
  norm_stream(stream, tokens, width, {weight, bias, epsilon}, to);
}

void sut_sum_embeddings(const int64_t* ids, const int64_t* type_ids, const int64_t* position_ids, const float* words,
                        const float* types, const float* positions, int64_t tokens, int64_t width, Activation stream) {
  sum_embeddings(ids, type_ids, position_ids, {words, types, positions}, tokens, width, stream);
}
#endif
}
