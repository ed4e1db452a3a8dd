// The input of the next matrix product, as a kernel writes it: float, bfloat16, or bytes quantized per tensor after a
// factor per channel that balances them (SmoothQuant). Rows lie end to end, or in blocks of channels a cache line wide,
// each with all rows: our own product then reads and writes contiguous lines.
#pragma once
#include "simd.h"

enum ElementType : int32_t { kFloat = 0, kBfloat16 = 1, kUint8 = 2, kInt8 = 3 };

struct Activation {
  int32_t type;
  int32_t zero_point;       // bytes only, in uint8's range; int8 is stored 128 lower, zero point included
  void* data;               // null: this output is not needed
  const float* multiplier;  // [width], 1 / (scale * balance); bytes only
  int64_t row_stride;       // elements from a row to the next
  int64_t block_stride;     // elements from a channel to the one that is a cache line of channels further on
};

inline int64_t element_bytes(int32_t type) { return type == kFloat ? 4 : type == kBfloat16 ? 2 : 1; }

// The place of an element, in elements.
inline int64_t place(const Activation& to, int64_t row, int64_t channel) {
  const int64_t log2_line = to.type == kFloat ? 4 : to.type == kBfloat16 ? 5 : 6;
  const int64_t line = 1 << log2_line;
  return row * to.row_stride + (channel >> log2_line) * to.block_stride + (channel & (line - 1));
}

inline Floats load_activation(const Activation& from, int64_t row, int64_t channel) {
  const int64_t at = place(from, row, channel);
  return from.type == kFloat ? load_floats((const float*)from.data + at) : load_floats((const uint16_t*)from.data + at);
}

inline void store_activation(const Activation& to, int64_t row, int64_t channel, Floats x) {
  const int64_t at = place(to, row, channel);
  if (to.type == kFloat) {
    store((float*)to.data + at, x);
  } else if (to.type == kBfloat16) {
    store((uint16_t*)to.data + at, demote_to_bfloat16(x));
  } else {
    const Uint8s bytes = round_to_uint8(x * load_floats(to.multiplier + channel) + (float)to.zero_point);
    store((uint8_t*)to.data + at, to.type == kUint8 ? bytes : bytes ^ 0x80);
  }
}
