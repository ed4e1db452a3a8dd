// The input of the next matrix product, as a kernel writes it: float, bfloat16, or bytes quantized per tensor after a
// factor per channel that balances them (SmoothQuant).
#pragma once
#include "simd.h"

enum ElementType : int32_t { kFloat = 0, kBfloat16 = 1, kUint8 = 2, kInt8 = 3 };

struct Activation {
  int32_t type;
  int32_t zero_point;       // bytes only, in uint8's range; int8 is stored 128 lower, zero point included
  void* data;               // [T, width]; null: this output is not needed
  const float* multiplier;  // [width], 1 / (scale * balance); bytes only
};

inline int64_t element_bytes(const Activation& to) { return to.type == kFloat ? 4 : to.type == kBfloat16 ? 2 : 1; }

inline void store_activation(const Activation& to, int64_t at, int64_t channel, Floats x) {
  if (to.type == kFloat) {
    store((float*)to.data + at, x);
  } else if (to.type == kBfloat16) {
    store((uint16_t*)to.data + at, demote_to_bfloat16(x));
  } else {
    const Uint8s bytes = round_to_uint8(x * load_floats(to.multiplier + channel) + (float)to.zero_point);
    store((uint8_t*)to.data + at, to.type == kUint8 ? bytes : bytes ^ 0x80);
  }
}
