// The random bits of dropout: one 32-bit draw for each element of [rows, columns], a function of (seed, row, column).
// The backward pass draws them again, so no mask is kept, and the number of threads changes nothing.
#pragma once
#include "simd.h"

struct Dropout {
  uint64_t seed;
  uint32_t dropped;  // of 2^32 draws
  float factor;      // of what is kept
};

class Draws {
 public:
  Draws(const Dropout& dropout, uint64_t row) : dropout_(dropout) {
    // splitmix64
    uint64_t x = dropout.seed + row * 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    x ^= x >> 31;
    first_ = (uint32_t)x, second_ = (uint32_t)(x >> 32);
    for (int i = 0; i < kWidth; i++) lanes_[i] = i;
  }

  // x where an element of columns `at` to `at` + kWidth is kept, else 0.
  Floats keep(int64_t at, Floats x) const {
    if (!dropout_.dropped) return x;
    Uint32s bits = lanes_ + (uint32_t)at + first_;
    bits ^= bits >> 16;
    bits *= 0x21f0aaadu;
    bits ^= bits >> 15;
    bits += second_;
    bits *= 0x735a2d97u;
    bits ^= bits >> 15;
    return bits >= dropout_.dropped ? x : Floats{};
  }

 private:
  Dropout dropout_;
  uint32_t first_, second_;
  Uint32s lanes_;
};
