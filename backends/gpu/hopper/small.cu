// y = act((x W^T) * scale + bias) in the next product's encoding, for few rows: as many CTAs as possible, each with
// little to do, on Hopper's tensor cores (compute capability 9.0).
//
// A cluster of SPLIT CTAs computes 64 x COLUMNS results, each over its part of K. Then each CTA takes its part of the
// columns: the others add theirs through its shared memory. One warp copies tiles of x and W into a ring of stages
// (TMA, 128-byte swizzle), four multiply and store.
//
// A dependent launch (kernels/dependent.py): the first tiles of W, which no kernel writes, are on their way to shared
// memory before the kernel waits for its predecessor.
//
// Defined in front of this source (small.py): what source.py defines for tiles of one warpgroup, and SPLIT.

#define OWN (COLUMNS / SPLIT)  // columns whose results a CTA stores
#define PART (OWN / 2)  // of a thread's sums
#define SLOT_BYTES (64 * OWN * 4)  // the sums of one other CTA

__device__ __forceinline__ void let_next_kernel_start() { asm volatile("griddepcontrol.launch_dependents;" ::: "memory"); }

__device__ __forceinline__ void wait_for_last_kernel() { asm volatile("griddepcontrol.wait;" ::: "memory"); }

// Relaxed: what the others need, the barriers, was published before (publish_barriers).
__device__ __forceinline__ void cluster_arrive() {
    asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory");
}

__device__ __forceinline__ void cluster_wait() { asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory"); }

// Writes four sums at an address of this CTA's shared memory into the same place of CTA `rank` of the cluster, and
// counts their 16 bytes at its `barrier`: no fence, and no barrier of the cluster, has to follow.
__device__ __forceinline__ void send(u32 address, u32 barrier, int rank, const Sum* sum) {
    const u32* bits = (const u32*)sum;
    asm volatile(
        "{\n.reg .b32 there, bar;\nmapa.shared::cluster.u32 there, %0, %2;\nmapa.shared::cluster.u32 bar, %1, %2;\n"
        "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4.b32 [there], {%3, %4, %5, %6}, [bar];\n}" ::"r"(
            address),
        "r"(barrier), "r"(rank), "r"(bits[0]), "r"(bits[1]), "r"(bits[2]), "r"(bits[3])
        : "memory");
}

// Adds four sums that were sent to this CTA.
__device__ __forceinline__ void add(Sum* sum, u32 address) {
    u32 bits[4];
    asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(bits[0]), "=r"(bits[1]), "=r"(bits[2]), "=r"(bits[3])
                 : "r"(address)
                 : "memory");
    for (int i = 0; i < 4; i++) sum[i] += *(Sum*)&bits[i];
}

// As wait(), for what other CTAs have sent.
__device__ __forceinline__ void wait_for_cluster(u32 barrier) {
    u32 done;
    do {
        asm volatile(
            "{\n.reg .pred p;\nmbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%1], 0;\n"
            "selp.u32 %0, 1, 0, p;\n}"
            : "=r"(done)
            : "r"(barrier)
            : "memory");
    } while (!done);
}

// Asks for a box of W, to be copied into the L2 cache.
__device__ __forceinline__ void ask_for(const TensorMap* map, int k, int row) {
    asm volatile("cp.async.bulk.prefetch.tensor.2d.L2.global.tile [%0, {%1, %2}];" ::"l"(map), "r"(k), "r"(row)
                 : "memory");
}

// GELU to 2.6e-5, as in kernels/rounding.py.
__device__ __forceinline__ float gelu(float y) {
    float z = fminf(fmaxf(y, -8.0f), 8.0f), s = z * z;
    float p = z * (-2.30112134f + s * (-0.106775724f + s * 0.00101426311f));
    return y * reciprocal_approx(1.0f + exp2_approx(p));
}

__device__ __forceinline__ void store_pair(char* to, float first, float second) {
    const float values[4] = {first, second, first, second};
#if BYTES
    *(unsigned short*)to = (unsigned short)pack(values);
#else
    *(u32*)to = pack(values);
#endif
}

// Warp 4: steps `first` to `first + count` of K into the ring.
__device__ __forceinline__ void copy_tiles(
    const TensorMap* x, const TensorMap* weight, u32 stages, u32 full, u32 empty, int row, int column, int first,
    int count) {
    const int ahead = count < STAGES ? count : STAGES;
    for (int step = 0; step < ahead; step++) {
        expect_bytes(full + 8 * step, STAGE_BYTES);
        load(stages + step * STAGE_BYTES + X_BYTES, weight, (first + step) * STEP, column, full + 8 * step);
    }
    for (int step = ahead; step < count; step++) ask_for(weight, (first + step) * STEP, column);
    wait_for_last_kernel();
    for (int step = 0; step < ahead; step++)
        load(stages + step * STAGE_BYTES, x, (first + step) * STEP, row, full + 8 * step);
    for (int step = ahead; step < count; step++) {
        const u32 stage = step % STAGES, to = stages + stage * STAGE_BYTES, barrier = full + 8 * stage;
        wait(empty + 8 * stage, (step / STAGES - 1) & 1);
        expect_bytes(barrier, STAGE_BYTES);
        load(to, x, (first + step) * STEP, row, barrier);
        load(to + X_BYTES, weight, (first + step) * STEP, column, barrier);
    }
}

// Warps 0 to 3: sum = x W^T over `count` steps.
__device__ __forceinline__ void multiply(Sum (&sum)[COLUMNS / 2], u32 stages, u32 full, u32 empty, int count, int lane) {
    for (int step = 0; step < count; step++) {
        const u32 stage = step % STAGES, at = stages + stage * STAGE_BYTES;
        wait(full + 8 * stage, step / STAGES & 1);
        const u64 left = descriptor(at), right = descriptor(at + X_BYTES);
        begin_products();
#pragma unroll
        for (int part = 0; part < 4; part++)  // 32 bytes of K each; addresses count in 16 bytes
            product(sum, left + part * 2, right + part * 2, step | part);
        commit_products();
        wait_for_products<1>();  // all but those of this step
        if (step) release(empty + 8 * ((step - 1) % STAGES), lane);
    }
    wait_for_products<0>();
#pragma unroll
    for (int i = 0; i < COLUMNS / 2; i++) asm volatile("" : SUM(sum[i])::"memory");  // reads of sums stay below
}

// x [m, k] and weight [n, k] by maps in bytes; y [m, n]. n is a multiple of COLUMNS, `steps`, which is k in stages, one
// of SPLIT. A cluster for each tile.
extern "C" __global__ void __launch_bounds__(160)
#if SPLIT > 1
    __cluster_dims__(SPLIT, 1, 1)
#endif
        gemm(const __grid_constant__ TensorMap x, const __grid_constant__ TensorMap weight, const float* scale,
             const float* bias, const float* multiplier, char* y, float zero_point, int m, int n, int steps) {
    extern __shared__ __align__(1024) char memory[];
    let_next_kernel_start();
    const u32 stages = (shared_address(memory) + 1023) / 1024 * 1024;
    const u32 slots = stages + STAGES * STAGE_BYTES, full = slots + (SPLIT - 1) * SLOT_BYTES, empty = full + 8 * STAGES,
              sent = empty + 8 * STAGES;
    const int thread = threadIdx.x, lane = thread % 32, rank = blockIdx.x % SPLIT, count = steps / SPLIT;
    const int down = (m + 63) / 64, tile = blockIdx.x / SPLIT;  // tiles with the same columns follow each other
    const int row = tile % down * 64, column = tile / down * COLUMNS;
    if (thread == 128) {
        for (int s = 0; s < STAGES; s++) {
            init_barrier(full + 8 * s, 1);
            init_barrier(empty + 8 * s, READERS);
        }
        init_barrier(sent, 1);
        publish_barriers();
        expect_bytes(sent, (SPLIT - 1) * SLOT_BYTES);
    }
    __syncthreads();
#if SPLIT > 1
    cluster_arrive();  // this CTA has started
#endif
    if (thread >= 128) {
        if (thread == 128) copy_tiles(&x, &weight, stages, full, empty, row, column, rank * count, count);
        __syncwarp();
#if SPLIT > 1
        cluster_wait();
#endif
        return;
    }
    const int at = column + rank * OWN + lane % 4 * 2;
    float2 more[OWN / 8], factor[OWN / 8], multiple[OWN / 8];
#pragma unroll
    for (int block = 0; block < OWN / 8; block++) {
        more[block] = *(const float2*)(bias + at + 8 * block);
        if (SCALED) factor[block] = *(const float2*)(scale + at + 8 * block);
        if (BYTES) multiple[block] = *(const float2*)(multiplier + at + 8 * block);
    }
    wait_for_last_kernel();
    Sum sum[COLUMNS / 2], own[PART];
    multiply(sum, stages, full, empty, count, lane);
#if SPLIT > 1
    cluster_wait();  // all have started
#pragma unroll
    for (int to = 0; to < SPLIT; to++)
#pragma unroll
        for (int i = 0; i < PART; i += 4) {
            const int slot = (rank + SPLIT - 1 - to) % SPLIT;
            if (to == rank)
                for (int at = i; at < i + 4; at++) own[at] = sum[to * PART + at];
            else
                send(slots + slot * SLOT_BYTES + (i / 4 * 128 + thread) * 16, sent, to, sum + to * PART + i);
        }
    wait_for_cluster(sent);  // then no other CTA writes here, and this one may end
#pragma unroll
    for (int slot = 0; slot < SPLIT - 1; slot++)
#pragma unroll
        for (int i = 0; i < PART; i += 4) add(own + i, slots + slot * SLOT_BYTES + (i / 4 * 128 + thread) * 16);
#else
#pragma unroll
    for (int i = 0; i < PART; i++) own[i] = sum[i];
#endif
#pragma unroll
    for (int block = 0; block < OWN / 8; block++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int at_row = row + thread / 32 * 16 + lane / 4 + 8 * half;
            float first = (float)own[block * 4 + half * 2], second = (float)own[block * 4 + half * 2 + 1];
            first = SCALED ? first * factor[block].x + more[block].x : first + more[block].x;
            second = SCALED ? second * factor[block].y + more[block].y : second + more[block].y;
            if (GELU) first = gelu(first), second = gelu(second);
            if (BYTES) {
                const float zero = zero_point + (RESULT == S8 ? 12582912.0f : 0.0f);
                first = first * multiple[block].x + zero, second = second * multiple[block].y + zero;
            }
            if (at_row < m) store_pair(y + ((long long)at_row * n + at + 8 * block) * (BYTES ? 1 : 2), first, second);
        }
}
