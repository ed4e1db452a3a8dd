// random.Random of Python, draw by draw: the Mersenne Twister and what Python makes of its words.
// Source: Python's Lib/random.py and Modules/_randommodule.c; Matsumoto and Nishimura (1998).
#pragma once
#include <cstdint>
#include <utility>

struct Random {
    static constexpr int SIZE = 624, SHIFT = 397;
    uint32_t state[SIZE];
    uint32_t position;  // of the next word; SIZE: all are used

    uint32_t word() {
        if (position >= SIZE) refill();
        uint32_t y = state[position++];
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c5680u;
        y ^= (y << 15) & 0xefc60000u;
        return y ^ (y >> 18);
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

    template <typename Item> void shuffle(Item* items, int64_t count) {
        for (int64_t i = count - 1; i > 0; --i) std::swap(items[i], items[below(uint32_t(i + 1))]);
    }

private:
    void refill() {
        auto mix = [this](int i, int next, int other) {
            const uint32_t y = (state[i] & 0x80000000u) | (state[next] & 0x7fffffffu);
            state[i] = state[other] ^ (y >> 1) ^ (y & 1 ? 0x9908b0dfu : 0u);
        };
        for (int i = 0; i < SIZE - SHIFT; ++i) mix(i, i + 1, i + SHIFT);
        for (int i = SIZE - SHIFT; i < SIZE - 1; ++i) mix(i, i + 1, i + SHIFT - SIZE);
        mix(SIZE - 1, 0, SHIFT - 1);
        position = 0;
    }
};
