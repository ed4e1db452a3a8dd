// Everything between the matrix products of a packed BERT, as C functions on plain pointers. setup.py builds this file
// once per instruction set; native.py calls it; reference.py is the same in PyTorch.
#include "attention.h"
#include "gelu_pass.h"
#include "norm.h"
#include "peak.h"

#if defined(__AVX512F__)
static bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

extern "C" {

// The sources that it was made of, by setup.py; foundation/native_library.py checks them.
const char* built_from() { return BUILT_FROM; }

#if defined(__AVX512VNNI__)
int64_t peak_loop(int64_t rounds) { return run_vnni(rounds); }
#endif

// Hidden sizes must be multiples of width_multiple(), head sizes of head_multiple(). AVX2, for which no other variant
// stands in, takes heads that are no multiple of two vectors, in floats.
int32_t width_multiple() { return kWidth; }
int32_t head_multiple() { return kWidth * (kWidth == 16 ? Bfloat16Input::kStep : 1); }

// True if this machine has every instruction that the library was built with, and they are worth using: Intel's cores
// multiply bfloat16 vectors more slowly than floats (155 and 259 GFLOP/s on two cores of an Emerald Rapids).
int32_t runs_here() {
#if defined(__AMX_BF16__)
  return has_avx512() && __builtin_cpu_supports("avx512bf16") && has_tiles();
#elif defined(__AVX512BF16__)
  return has_avx512() && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_is("amd");
#elif defined(__AVX512VNNI__)
  return has_avx512() && __builtin_cpu_supports("avx512vnni");
#elif defined(__AVX512F__)
  return has_avx512();
#elif defined(__AVX2__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return 1;
#endif
}

void sut_embed(const int64_t* ids, const int64_t* type_ids, const int64_t* position_ids, const float* words,
               const float* types, const float* positions, const float* weight, const float* bias, float epsilon,
               int64_t tokens, int64_t width, float* stream, Activation to) {
  embed(ids, type_ids, position_ids, {words, types, positions}, stream, tokens, width, {weight, bias, epsilon}, to);
}

void sut_add_norm(Activation projected, const float* weight, const float* bias, float epsilon, int64_t tokens,
                  int64_t width, float* stream, Activation to) {
  add_norm(projected, stream, tokens, width, {weight, bias, epsilon}, to);
}

void sut_gelu(const void* x, int32_t type, int64_t tokens, int64_t width, Activation to) {
  if (type == kBfloat16)
    gelu_pass((const uint16_t*)x, tokens, width, to);
  else
    gelu_pass((const float*)x, tokens, width, to);
}

void sut_attention(Activation qkv, const int64_t* cu_seqlens, int64_t samples, int64_t heads, int64_t size,
                   Activation to) {
  if (qkv.type == kFloat)
    attention<FloatArithmetic, float>(qkv, cu_seqlens, samples, heads, size, to);
  else if (size % (kWidth * Bfloat16Input::kStep))
    attention<FloatArithmetic, uint16_t>(qkv, cu_seqlens, samples, heads, size, to);
  else
    attention<Bfloat16Input, uint16_t>(qkv, cu_seqlens, samples, heads, size, to);
}
}
