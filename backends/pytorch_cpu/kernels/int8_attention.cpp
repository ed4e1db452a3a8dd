// The int8 attention, as C functions on plain pointers; setup.py builds it for AMX, for AVX-512 with VNNI, and
// for ARM with i8mm or dotprod. int8_attention.py calls it.
#include "int8_attention.h"

extern "C" {

// The sources that it was made of, by setup.py; foundation/native_library.py checks them.
const char* built_from() { return BUILT_FROM; }

int32_t runs_here() {
#if defined(__AMX_INT8__)
  return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && has_tiles();
#elif defined(__ARM_FEATURE_DOTPROD)
  return has_row_pairs();
#else
  return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq");
#endif
}

void sut_int8_attention(Activation qkv, const float* score_factor, const float* value_factor,
                        const float* value_offset, const int64_t* cu_seqlens, int64_t samples, int64_t heads,
                        int64_t size, Activation to) {
  const Int8Qkv operands{qkv, score_factor, value_factor, value_offset};
  const auto attention = size == 64 ? int8_attention<4> : size == 32 ? int8_attention<2> : int8_attention<1>;
  attention(operands, cu_seqlens, samples, heads, to);
}
}
