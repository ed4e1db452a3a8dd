// ARM's products of two rows of eight bytes with two others, an instruction of i8mm (smmla, ummla); where a processor
// has the dot products of four bytes alone (dotprod), two of those. Operands of a product lie in such pairs of rows.
#pragma once
#include <cstdint>

#if defined(__ARM_FEATURE_DOTPROD)
#include <arm_neon.h>
#if defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

// True if this processor has the instructions that this file is compiled to, by Linux; macOS's compiler takes dotprod
// for granted.
inline bool has_row_pairs() {
#if !defined(__linux__)
#if defined(__ARM_FEATURE_MATMUL_INT8)
  return false;
#else
  return true;
#endif
#elif defined(__ARM_FEATURE_MATMUL_INT8)
  return getauxval(AT_HWCAP) & HWCAP_ASIMDDP && getauxval(AT_HWCAP2) & HWCAP2_I8MM;
#else
  return getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
#endif
}

// The 64 bits at the beginning of both, or at their end.
template <class Vector>
inline Vector join_starts(Vector a, Vector b) {
  return (Vector)vzip1q_u64((uint64x2_t)a, (uint64x2_t)b);
}
template <class Vector>
inline Vector join_ends(Vector a, Vector b) {
  return (Vector)vzip2q_u64((uint64x2_t)a, (uint64x2_t)b);
}

// sums[2 i + j] + Σ a[i][k] b[j][k] over eight bytes of rows i of a and j of b.
inline int32x4_t multiply_pairs(int32x4_t sums, int8x16_t a, int8x16_t b) {
#if defined(__ARM_FEATURE_MATMUL_INT8)
  return vmmlaq_s32(sums, a, b);
#else
  const int32x4_t rows = (int32x4_t)a, others = (int32x4_t)b;
  sums = vdotq_s32(sums, (int8x16_t)vtrn1q_s32(rows, rows), (int8x16_t)vuzp1q_s32(others, others));
  return vdotq_s32(sums, (int8x16_t)vtrn2q_s32(rows, rows), (int8x16_t)vuzp2q_s32(others, others));
#endif
}
inline uint32x4_t multiply_pairs(uint32x4_t sums, uint8x16_t a, uint8x16_t b) {
#if defined(__ARM_FEATURE_MATMUL_INT8)
  return vmmlaq_u32(sums, a, b);
#else
  const uint32x4_t rows = (uint32x4_t)a, others = (uint32x4_t)b;
  sums = vdotq_u32(sums, (uint8x16_t)vtrn1q_u32(rows, rows), (uint8x16_t)vuzp1q_u32(others, others));
  return vdotq_u32(sums, (uint8x16_t)vtrn2q_u32(rows, rows), (uint8x16_t)vuzp2q_u32(others, others));
#endif
}
#endif
