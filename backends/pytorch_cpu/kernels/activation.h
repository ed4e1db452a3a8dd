// What a kernel hands to the next matrix product: float, bfloat16, or bytes quantized per tensor, after a factor per
// channel that balances them.
#pragma once
#include "simd.h"

enum Kind : int32_t { kFloat = 0, kBfloat16 = 1, kByte = 2, kSignedByte = 3 };

struct Activation {
  int32_t kind;
  int32_t zero_point;       // bytes only, of the unsigned kind; the signed one is lower by 128, zero point and all
  void* to;                 // [T, width]; null: not wanted
  const float* multiplier;  // [width], one over scale times balance; bytes only
};

inline void put(const Activation& out, int64_t at, int64_t channel, Floats x) {
  if (out.kind == kFloat) {
    store((float*)out.to + at, x);
  } else if (out.kind == kBfloat16) {
    store((uint16_t*)out.to + at, narrow(x));
  } else {
    const Bytes bytes = to_bytes(x * read(out.multiplier + channel) + (float)out.zero_point);
    store((uint8_t*)out.to + at, out.kind == kByte ? bytes : bytes ^ 0x80);
  }
}
