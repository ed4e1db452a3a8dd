// random.Random of Python, draw by draw: the Mersenne Twister and what Python makes of its words.
// Source: Python's Lib/random.py and Modules/_randommodule.c; Matsumoto and Nishimura (1998).
#pragma once
#include <algorithm>
#include <cstdint>
#include <utility>

class Random {
public:
    static constexpr int SIZE = 624, SHIFT = 397;

    // state: SIZE words, and the position of the next one; SIZE: all are used
    explicit Random(const uint32_t* state) : position_(int(std::min<uint32_t>(state[SIZE], SIZE))) {
        std::copy_n(state, SIZE, state_);
        temper();
    }

    void store(uint32_t* state) const {
        std::copy_n(state_, SIZE, state);
        state[SIZE] = uint32_t(position_);
    }

    uint32_t word() {
        if (position_ == SIZE) refill();
        return tempered_[position_++];
    }

    // random(): 53 bits
    double uniform() {
        const uint32_t high = word() >> 5, low = word() >> 6;
        return (high * 67108864.0 + low) * (1.0 / 9007199254740992.0);
    }

    // _randbelow: as many bits as `count` has, until they are below it; also for 1, which draws bits until one is 0.
    uint32_t below(uint32_t count) {
        const int shift = __builtin_clz(count);
        uint32_t drawn;
        do drawn = word() >> shift;
        while (drawn >= count);
        return drawn;
    }

    // randint: both ends included
    int64_t between(int64_t low, int64_t high) { return low + below(uint32_t(high - low + 1)); }

    // A draw that `below` would reject swaps an item with itself here: no branch that is hard to predict.
    template <typename Item> void shuffle(Item* items, int64_t count) {
        for (uint32_t i = uint32_t(count > 0 ? count - 1 : 0); i > 0;) {
            const int shift = __builtin_clz(i + 1);
            const uint32_t least = (0x80000000u >> shift) - 1;  // down to it, the shift is the same
            while (i >= least && i > 0) {
                const uint32_t drawn = word() >> shift;
                const bool is_taken = drawn <= i;
                std::swap(items[i], items[is_taken ? drawn : i]);
                i -= is_taken;
            }
        }
    }

private:
    uint32_t state_[SIZE], tempered_[SIZE];
    int position_;

    void temper() {
        for (int i = 0; i < SIZE; ++i) {
            uint32_t y = state_[i];
            y ^= y >> 11;
            y ^= (y << 7) & 0x9d2c5680u;
            y ^= (y << 15) & 0xefc60000u;
            tempered_[i] = y ^ (y >> 18);
        }
    }

    void refill() {
        const auto mix = [this](int i, int next, int other) {
            const uint32_t y = (state_[i] & 0x80000000u) | (state_[next] & 0x7fffffffu);
            state_[i] = state_[other] ^ (y >> 1) ^ (-(y & 1) & 0x9908b0dfu);
        };
        for (int i = 0; i < SIZE - SHIFT; ++i) mix(i, i + 1, i + SHIFT);
        for (int i = SIZE - SHIFT; i < SIZE - 1; ++i) mix(i, i + 1, i + SHIFT - SIZE);
        mix(SIZE - 1, 0, SHIFT - 1);
        temper();
        position_ = 0;
    }
};
