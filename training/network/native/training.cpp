// What a step of training does between its large matrix products, as C functions on plain pointers to floats. setup.py
// builds this file once per instruction set; library.py calls it.
#include "attention.h"
#include "gelu.h"
#include "residual.h"

extern "C" {

// The sources that it was made of, by setup.py; foundation/native_library.py checks them.
const char* built_from() { return BUILT_FROM; }

// Hidden sizes and head sizes must be multiples of this.
int32_t width_multiple() { return kWidth; }

int64_t rows_of_sums() { return kRowsOfSums; }

// True if this machine has every instruction that the library was built with.
int32_t runs_here() {
#if defined(__AVX512F__)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl");
#elif defined(__AVX2__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return 1;
#endif
}

void train_attention(Samples samples, Dropout dropout, float* mixed, float* sums) {
  attend(samples, dropout, mixed, sums);
}

void train_attention_backward(Samples samples, Dropout dropout, const float* mixed, const float* sums,
                              const float* to_mixed, float* grads) {
  attend_backward(samples, dropout, mixed, sums, to_mixed, grads);
}

void train_add_norm(const float* x, const float* residual, Norm norm, Dropout dropout, int64_t tokens, int64_t width,
                    float* to, float* summed, float* figures) {
  add_norm(x, residual, norm, dropout, tokens, width, to, summed, figures);
}

void train_add_norm_backward(const float* grad, const float* summed, const float* figures, Norm norm, Dropout dropout,
                             int64_t tokens, int64_t width, float* to_x, float* to_residual, float* sums) {
  add_norm_backward(grad, summed, figures, norm, dropout, tokens, width, to_x, to_residual, sums);
}

void train_gelu(const float* x, const float* bias, int64_t tokens, int64_t width, float* to) {
  gelu(x, bias, tokens, width, to);
}

void train_gelu_backward(const float* grad, const float* x, const float* bias, int64_t tokens, int64_t width, float* to,
                         float* sums) {
  gelu_backward(grad, x, bias, tokens, width, to, sums);
}
}
