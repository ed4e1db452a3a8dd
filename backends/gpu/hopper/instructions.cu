// The instructions of the kernels that CUDA C++ has no words for: barriers, bulk copies, wgmma, conversions. No header is
// included, so that NVRTC alone compiles them.

typedef unsigned int u32;
typedef unsigned long long u64;

#define CTAS (PAIR ? 2 : 1)  // of a cluster
#define ROWS (BLOCKS * 64 * (PINGPONG ? 1 : 2))  // of a CTA's tile
#define W_ROWS (COLUMNS / CTAS)  // of one copy
#define STEP 128  // bytes of K in a stage
#define X_BYTES (ROWS * STEP)
#define STAGE_BYTES ((ROWS + COLUMNS) * STEP)
#define BYTES (RESULT == S8 || RESULT == E4M3)
#define GROUP (BYTES ? 64 : 32)  // columns of y of which four threads hold 16 bytes each
// Floats a column: bias, scale, multiplier, weight of the residual's LayerNorm.
#define CONSTANTS (1 + SCALED + BYTES + (RESIDUAL == NORMALIZED))
#define CONSTANT_FLOATS (CONSTANTS * COLUMNS)
#define READERS (4 * (PINGPONG ? 1 : 2) * CTAS)  // warps that read a stage

struct __align__(64) TensorMap {
    char bytes[128];
};

__device__ __forceinline__ u32 shared_address(const void* at) { return (u32)__cvta_generic_to_shared(at); }

__device__ __forceinline__ void init_barrier(u32 barrier, u32 arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}

// Waits until the phase of this parity has completed; the phase before the first counts as one of parity 1.
__device__ __forceinline__ void wait(u32 barrier, u32 parity) {
    u32 done;
    do {
        asm volatile(
            "{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}"
            : "=r"(done)
            : "r"(barrier), "r"(parity)
            : "memory");
    } while (!done);
}

__device__ __forceinline__ void expect_bytes(u32 barrier, u32 bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}

__device__ __forceinline__ void arrive(u32 barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}

// Lane i of every warp that calls this arrives at CTA i's barrier. What the warp has read was read by wgmma and waited
// for, so no memory is to be ordered: a release at the scope of the cluster would cost a fence of the GPU in every step.
__device__ __forceinline__ void release(u32 barrier, int lane) {
#if PAIR
    if (lane < CTAS)
        asm volatile(
            "{\n.reg .b32 there;\nmapa.shared::cluster.u32 there, %0, %1;\n"
            "mbarrier.arrive.shared::cluster.b64 _, [there];\n}" ::"r"(barrier),
            "r"(lane)
            : "memory");
#else
    if (lane == 0) arrive(barrier);
#endif
}

// Copies a box of `map` that starts at byte `k` of row `row`.
__device__ __forceinline__ void load(u32 to, const TensorMap* map, int k, int row, u32 barrier) {
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes "
        "[%0], [%1, {%2, %3}], [%4];" ::"r"(to),
        "l"(map), "r"(k), "r"(row), "r"(barrier)
        : "memory");
}

// The same of a permuted map, of five dimensions, of which the last counts groups of rows; to the same place in all CTAs
// of the cluster.
__device__ __forceinline__ void load_permuted(u32 to, const TensorMap* map, int k, int row, u32 barrier) {
#if PAIR
    asm volatile(
        "cp.async.bulk.tensor.5d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster "
        "[%0], [%1, {%2, %5, %5, %5, %3}], [%4], %6;" ::"r"(to),
        "l"(map), "r"(k), "r"(row / GROUP), "r"(barrier), "r"(0), "h"((unsigned short)((1 << CTAS) - 1))
        : "memory");
#else
    asm volatile(
        "cp.async.bulk.tensor.5d.shared::cluster.global.mbarrier::complete_tx::bytes "
        "[%0], [%1, {%2, %5, %5, %5, %3}], [%4];" ::"r"(to),
        "l"(map), "r"(k), "r"(row / GROUP), "r"(barrier), "r"(0)
        : "memory");
#endif
}

// A tile in shared memory as wgmma reads it: K innermost, rows of 128 bytes, eight of them (1,024 bytes) to an atom.
__device__ __forceinline__ u64 descriptor(u32 address) {
    return (u64)((address & 0x3FFFF) >> 4) | (u64)1 << 16 | (u64)(1024 >> 4) << 32 | (u64)1 << 62;
}

// The same for an operand with K going down: rows of 64 values of N, eight of them to an atom.
__device__ __forceinline__ u64 row_descriptor(u32 address) {
    return (u64)((address & 0x3FFFF) >> 4) | (u64)(1024 >> 4) << 16 | (u64)(1024 >> 4) << 32 | (u64)1 << 62;
}

// Four matrices of 8 rows of 16 bytes; lane i has the address of row i % 8 of matrix i / 8.
__device__ __forceinline__ void load_matrices(u32* word, u32 address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(word[0]), "=r"(word[1]), "=r"(word[2]), "=r"(word[3])
                 : "r"(address)
                 : "memory");
}

__device__ __forceinline__ void zero_16_bytes(u32 address) {
    asm volatile("st.shared.v4.b32 [%0], {%1, %1, %1, %1};" ::"r"(address), "r"(0) : "memory");
}

// What this thread has written to shared memory is seen by products that begin after a barrier.
__device__ __forceinline__ void publish_to_products() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

__device__ __forceinline__ void named_sync(int name, int threads) {
    asm volatile("bar.sync %0, %1;" ::"r"(name), "r"(threads) : "memory");
}

__device__ __forceinline__ void named_arrive(int name, int threads) {
    asm volatile("bar.arrive %0, %1;" ::"r"(name), "r"(threads) : "memory");
}

__device__ __forceinline__ void sync_ctas() {
#if PAIR
    asm volatile("barrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;" ::: "memory");
#else
    __syncthreads();
#endif
}

// Reads of the accumulators stay below this line, which follows the wait for the products.
template <int count>
__device__ __forceinline__ void keep(Sum (&sum)[count]) {
#pragma unroll
    for (int i = 0; i < count; i++) asm volatile("" : SUM(sum[i])::"memory");
}

__device__ __forceinline__ void publish_barriers() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ __forceinline__ void keep_few_registers() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(PRODUCER_REGISTERS));
}

__device__ __forceinline__ void take_many_registers() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(CONSUMER_REGISTERS));
}

__device__ __forceinline__ void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }

__device__ __forceinline__ void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

// Waits for all but the latest `pending` groups of products.
template <int pending>
__device__ __forceinline__ void wait_for_products() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(pending) : "memory");
}

__device__ __forceinline__ float tanh_approx(float x) {
    float y;
    asm("tanh.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

__device__ __forceinline__ float exp2_approx(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

__device__ __forceinline__ float reciprocal_approx(float x) {
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// Four (bytes) or two values as one word, the first in the lowest bits.
__device__ __forceinline__ u32 pack(const float* y) {
    u32 word;
#if RESULT == S8  // 12582912 = 1.5 * 2^23 leaves no bits for a fraction: the low byte is the rounded value
    u32 bits[4];
    for (int i = 0; i < 4; i++)
        bits[i] = __float_as_uint(fminf(fmaxf(y[i], 12582912.0f - 128.0f), 12582912.0f + 127.0f));
    word = __byte_perm(__byte_perm(bits[0], bits[1], 0x0040), __byte_perm(bits[2], bits[3], 0x0040), 0x5410);
#elif RESULT == E4M3
    asm("{\n.reg .b16 low, high;\ncvt.rn.satfinite.e4m3x2.f32 low, %2, %1;\ncvt.rn.satfinite.e4m3x2.f32 high, %4, %3;\n"
        "mov.b32 %0, {low, high};\n}"
        : "=r"(word)
        : "f"(y[0]), "f"(y[1]), "f"(y[2]), "f"(y[3]));
#elif RESULT == F16
    asm("cvt.rn.f16x2.f32 %0, %2, %1;" : "=r"(word) : "f"(y[0]), "f"(y[1]));
#else
    asm("cvt.rn.bf16x2.f32 %0, %2, %1;" : "=r"(word) : "f"(y[0]), "f"(y[1]));
#endif
    return word;
}

// Among four neighbouring threads: thread q gets word q of each, in their order.
__device__ __forceinline__ void transpose(u32* word, int lane) {
    bool odd = lane & 1, upper = lane & 2;
    for (int i = 0; i < 4; i += 2) {
        u32 other = __shfl_xor_sync(0xFFFFFFFF, odd ? word[i] : word[i + 1], 1);
        word[i] = odd ? other : word[i];
        word[i + 1] = odd ? word[i + 1] : other;
    }
    for (int i = 0; i < 2; i++) {
        u32 other = __shfl_xor_sync(0xFFFFFFFF, upper ? word[i] : word[i + 2], 2);
        word[i] = upper ? other : word[i];
        word[i + 2] = upper ? word[i + 2] : other;
    }
#if BYTES
    u32 a = word[0], b = word[1], c = word[2], d = word[3];
    word[0] = __byte_perm(a, b, 0x5410);
    word[1] = __byte_perm(c, d, 0x5410);
    word[2] = __byte_perm(a, b, 0x7632);
    word[3] = __byte_perm(c, d, 0x7632);
#endif
}

__device__ __forceinline__ void store_16_bytes(char* to, const u32* word) {
    asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(to), "r"(word[0]), "r"(word[1]), "r"(word[2]),
                 "r"(word[3])
                 : "memory");
}

// Of memory that no thread writes.
__device__ __forceinline__ void load_16_bytes(u32* word, const char* from) {
    asm volatile("ld.global.nc.L1::no_allocate.v4.b32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(word[0]), "=r"(word[1]), "=r"(word[2]), "=r"(word[3])
                 : "l"(from)
                 : "memory");
}

__device__ __forceinline__ void prefetch(const char* from) {
    asm volatile("prefetch.global.L2 [%0];" ::"l"(from) : "memory");
}

// The two values of a word of 16-bit results.
__device__ __forceinline__ float2 unpack(u32 word) {
    float2 y;
#if RESULT == BF16
    y.x = __uint_as_float(word << 16), y.y = __uint_as_float(word & 0xFFFF0000);
#else
    asm("{\n.reg .b16 low, high;\nmov.b32 {low, high}, %2;\ncvt.f32.f16 %0, low;\ncvt.f32.f16 %1, high;\n}"
        : "=f"(y.x), "=f"(y.y)
        : "r"(word));
#endif
    return y;
}
