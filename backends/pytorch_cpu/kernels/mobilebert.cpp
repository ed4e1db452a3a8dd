// MobileBERT between and around its attention, as C functions on plain pointers; setup.py builds this file once per
// instruction set of x86, from AVX2 on. chain.py calls them; packed_mobilebert.py has the same with PyTorch's operators.
#include "attention.h"
#include "chain.h"

extern "C" {

// The sources that it was made of, by setup.py; foundation/native_library.py checks them.
const char* built_from() { return BUILT_FROM; }

int32_t runs_here() {
#if defined(__AMX_BF16__)
  return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw") && has_tiles();
#elif defined(__AVX512VNNI__)
  return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#else
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
}

int32_t rows_multiple() { return kUnit; }

void sut_chain(const Step* steps, int64_t count, Tokens all) { run_chain(steps, count, all); }

// x, float [T, width], in the encoding of `to`.
void sut_encode(const float* x, int64_t tokens, int64_t width, Activation to) {
#pragma omp parallel for schedule(static)
  for (int64_t t = 0; t < tokens; t++)
    for (int64_t c = 0; c < width; c += kWidth) store_activation(to, t, c, load_floats(x + t * width + c));
}

// Queries, keys and values are the first columns of `wide`, bfloat16 [T, wide_width].
void sut_wide_attention(const uint16_t* wide, int64_t wide_width, const int64_t* cu_seqlens, int64_t samples,
                        int64_t heads, int64_t size, Activation to) {
  const int64_t width = heads * size;
#pragma omp parallel
  {
    Bfloat16Input::begin();
#pragma omp for schedule(dynamic) collapse(2)
    for (int64_t s = 0; s < samples; s++) {
      for (int64_t h = 0; h < heads; h++) {
        const uint16_t* q = wide + cu_seqlens[s] * wide_width + h * size;
        const int64_t length = cu_seqlens[s + 1] - cu_seqlens[s];
        const HeadRows<uint16_t> from{q, q + width, q + 2 * width, wide_width, HeadRows<uint16_t>::kLine};
        attend<Bfloat16Input>(Bfloat16Input::prepare(from, length, size), length, size, cu_seqlens[s], h * size, to);
      }
    }
    Bfloat16Input::end();
  }
}
}
