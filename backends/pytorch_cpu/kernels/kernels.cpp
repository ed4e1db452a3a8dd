// What lies between the matrix products of a packed BERT, as C functions on plain pointers. setup.py builds this file
// once per instruction set; native.py calls it; plain.py has the same in PyTorch.
#if defined(__AMX_BF16__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "attention.h"
#include "norm.h"

// The arithmetic for what comes in bfloat16.
#if defined(__AMX_BF16__)
typedef TileMaths PairMaths;
#elif defined(__AVX512BF16__)
typedef Bfloat16Maths PairMaths;
#elif defined(__AVX512VNNI__)
typedef WordMaths PairMaths;
#else
typedef FloatMaths PairMaths;
#endif

#if defined(__AVX512F__)
static bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

#if defined(__AMX_BF16__)
// The processor has tiles and Linux lets this process use them, for which it has to be asked.
static bool has_tiles() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  unsigned a, b, c, d = 0;
  const bool known = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 24 & 1) && (d >> 22 & 1);  // AMX-TILE, AMX-BF16
  return known && syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}
#endif

extern "C" {

// Hidden sizes must be multiples of the first, head sizes of the second.
int32_t width_multiple() { return kWidth; }
int32_t head_multiple() { return kWidth * PairMaths::kStep; }

// True on a machine that has all the instructions this library was built with, and runs them at speed: Intel's cores
// multiply bfloat16 vectors more slowly than floats (155 against 259 GFLOP/s on two cores of an Emerald Rapids).
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
               int64_t tokens, int64_t width, float* stream, Activation out) {
  embed(ids, type_ids, position_ids, {words, types, positions}, stream, tokens, width, {weight, bias, epsilon}, out);
}

void sut_add_norm(const void* projected, int32_t kind, const float* weight, const float* bias, float epsilon,
                  int64_t tokens, int64_t width, float* stream, Activation out) {
  if (kind == kBfloat16)
    add_norm((const uint16_t*)projected, stream, tokens, width, {weight, bias, epsilon}, out);
  else
    add_norm((const float*)projected, stream, tokens, width, {weight, bias, epsilon}, out);
}

void sut_attention(const void* qkv, int32_t kind, const int64_t* ends, int64_t samples, int64_t heads, int64_t size,
                   Activation out) {
  if (kind == kFloat)
    attention<FloatMaths>((const float*)qkv, ends, samples, heads, size, out);
  else
    attention<PairMaths>((const uint16_t*)qkv, ends, samples, heads, size, out);
}
}
