// y = act((x W^T) * scale + bias + residual) in the next product's encoding, on Hopper's tensor cores (compute
// capability 9.0). The residual is 16-bit rows, or LayerNorm of them from each row's statistics (kernels/residual.py).
//
// Persistent, warp-specialized: one thread of warpgroup 0 copies tiles of x and W into a ring of stages in shared
// memory (TMA, 128-byte swizzle); warpgroups 1 and 2 multiply them (wgmma) and store their part of y from registers.
// They work together on one tile of y (each has half of its rows) or take turns (PINGPONG: a tile each; one multiplies
// while the other stores).
//
// Rows of W are copied in the order that gives every thread adjacent columns of y (weight_box in gemm.py): the residual
// and y need no exchange between threads.
//
// Ring: full[s] completes when all bytes of stage s have arrived, empty[s] when every consumer warp that reads stage s,
// in both CTAs of a pair, has read it. A PAIR, a cluster of two CTAs, shares W: each loads its half of the tile into
// both, so a stage may be filled only when it is empty in both.
//
// Defined in front of this source (source.py): OPERAND and RESULT (one of S8, E4M3, F16, BF16), GELU, SCALED, BLOCKS,
// RESIDUAL (0, 1, or NORMALIZED), COLUMNS, PINGPONG, PAIR, STAGES, PRODUCER_REGISTERS, CONSUMER_REGISTERS; Sum;
// product().

#define AHEAD (RESIDUAL ? 4 / BLOCKS : 1)  // groups of columns whose residual is on its way

// y / (1 + 2^p) = y / 2 * (1 + tanh(-p ln(2) / 2)), within 2.6e-5 of GELU; bytes take the approximate tanh.
__device__ __forceinline__ float gelu(float y) {
    float s = fminf(y * y, 64.0f);
#if BYTES
    float q = y * (0.797507826f + s * (0.0370042663f + s * -0.000351194075f)), half = 0.5f * y;
    return half + half * tanh_approx(q);
#else
    float p = y * (-2.30112117f + s * (-0.106771743f + s * 0.00101333190f));
    return y * reciprocal_approx(1.0f + exp2_approx(p));
#endif
}

// The column, in its group, of the accumulator register that holds column 8 * block + 2 * quad of the product.
__device__ __forceinline__ int column_of(int block, int quad) {
    return GROUP / 4 * quad + 2 * block;
}

// A thread's part of the residual of its tile: of each of its rows, two statistics, and 16 bytes of every group.
struct Added {
    u32 word[AHEAD][BLOCKS][2][4];
    float2 statistics[BLOCKS][2];
    const char* from;  // the thread's first row of the tile
};

__device__ __forceinline__ void load_group(Added& added, int group, int rows, int n, int lane) {
#pragma unroll
    for (int block = 0; block < BLOCKS; block++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int row = block * 64 + half * 8;
            u32* word = added.word[group % AHEAD][block][half];
            if (row < rows) load_16_bytes(word, added.from + ((long long)row * n + group * GROUP) * 2 + 16 * (lane % 4));
        }
}

// Stores a warpgroup's BLOCKS * 64 rows. `y` is the thread's first row of the tile, `rows` how many rows of y are left.
__device__ __forceinline__ void store(Sum (&sum)[BLOCKS][COLUMNS / 2], const float* constants, Added& added, char* y,
                                      int rows, int n, float zero_point, int lane) {
    const int element = BYTES ? 1 : 2, quad = lane % 4, pairs = BYTES ? 2 : 1;
#pragma unroll
    for (int group = 0; group < COLUMNS / GROUP; group++) {
        u32 word[BLOCKS][2][4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float2 bias[pairs], scale[pairs], multiplier[pairs], weight;
#pragma unroll
            for (int pair = 0; pair < pairs; pair++) {
                const float* at = constants + group * GROUP + column_of(i * pairs + pair, quad);
                bias[pair] = *(const float2*)at;
                if (SCALED) scale[pair] = *(const float2*)(at + COLUMNS);
                if (BYTES) multiplier[pair] = *(const float2*)(at + (1 + SCALED) * COLUMNS);
                if (RESIDUAL == NORMALIZED) weight = *(const float2*)(at + (1 + SCALED) * COLUMNS);
            }
#pragma unroll
            for (int block = 0; block < BLOCKS; block++)
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    float value[2 * pairs];
                    float2 more;
                    if (RESIDUAL) more = unpack(added.word[group % AHEAD][block][half][i]);
                    if (RESIDUAL == NORMALIZED) {
                        const float2 s = added.statistics[block][half];
                        more.x = (more.x * s.x + s.y) * weight.x, more.y = (more.y * s.x + s.y) * weight.y;
                    }
#pragma unroll
                    for (int at = 0; at < 2 * pairs; at++) {
                        const int pair = at / 2, odd = at % 2;
                        const int index = (group * GROUP / 8 + i * pairs + pair) * 4 + half * 2 + odd;
                        float one = (float)sum[block][index], add = odd ? bias[pair].y : bias[pair].x;
                        one = SCALED ? one * (odd ? scale[pair].y : scale[pair].x) + add : one + add;
                        if (RESIDUAL) one += odd ? more.y : more.x;
                        if (GELU) one = gelu(one);
                        if (BYTES) one = one * (odd ? multiplier[pair].y : multiplier[pair].x) + zero_point;
                        value[at] = one;
                    }
                    word[block][half][i] = pack(value);
                }
        }
#pragma unroll
        for (int block = 0; block < BLOCKS; block++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const int row = block * 64 + half * 8;
                char* to = y + ((long long)row * n + group * GROUP) * element + 16 * quad;
                if (row < rows) store_16_bytes(to, word[block][half]);
            }
        if (RESIDUAL && group + AHEAD < COLUMNS / GROUP) load_group(added, group + AHEAD, rows, n, lane);
    }
}

// x [m, k] and weight [n, k] by maps in bytes; y and residual [m, n], statistics [m, 2]; the others [n], of which
// norm_weight and norm_bias belong to the LayerNorm of the residual. n is a multiple of COLUMNS. `steps` is k in stages.
extern "C" __global__ void __launch_bounds__(384, 1)
#if PAIR
    __cluster_dims__(CTAS, 1, 1)
#endif
        gemm(const __grid_constant__ TensorMap x, const __grid_constant__ TensorMap weight, const float* scale,
             const float* bias, const float* multiplier, const char* residual, const float2* statistics,
             const float* norm_weight, const float* norm_bias, char* y, float zero_point, int m, int n, int steps) {
    extern __shared__ __align__(1024) char memory[];
    const u32 stages = (shared_address(memory) + 1023) / 1024 * 1024;
    float* constants = (float*)(memory + (stages - shared_address(memory)) + STAGES * STAGE_BYTES);
    const u32 full = shared_address(constants + 4 * CONSTANT_FLOATS), empty = full + 8 * STAGES;
    const int warpgroup = threadIdx.x / 128, lane = threadIdx.x % 32;
    const int rank = blockIdx.x % CTAS;
    const int across = n / COLUMNS, high = ROWS * CTAS, down = (m + high - 1) / high;
    const int tiles = across * down, first = blockIdx.x / CTAS, stride = gridDim.x / CTAS;
    if (threadIdx.x == 0) {
        for (int s = 0; s < STAGES; s++) {
            init_barrier(full + 8 * s, 1);
            init_barrier(empty + 8 * s, READERS);
        }
        publish_barriers();
    }
    __syncwarp();
    sync_ctas();

    if (warpgroup == 0) {
        keep_few_registers();
        if (threadIdx.x == 0) {
            const int w_part = rank * W_ROWS;
            u32 stage = 0, phase = 0;
            for (int tile = first; tile < tiles; tile += stride) {
                const int row = (CTAS * (tile / across) + rank) * ROWS, column = tile % across * COLUMNS + w_part;
                for (int step = 0; step < steps; step++) {
                    const u32 to = stages + stage * STAGE_BYTES, barrier = full + 8 * stage;
                    wait(empty + 8 * stage, phase ^ 1);
                    expect_bytes(barrier, STAGE_BYTES);
                    load(to, &x, step * STEP, row, barrier);
                    load_permuted(to + X_BYTES + w_part * STEP, &weight, step * STEP, column, barrier);
                    if (++stage == STAGES) stage = 0, phase ^= 1;
                }
            }
        }
    } else {
        take_many_registers();
        const int consumer = warpgroup - 1, thread = threadIdx.x % 128;
        constants += consumer * 2 * CONSTANT_FLOATS;
        u32 stage = 0, phase = 0, turn = 0;
        if (PINGPONG && consumer == 1) named_arrive(3, 256);  // the first turn is consumer 0's
        for (int tile = first; tile < tiles; tile += stride, turn++) {
            if (PINGPONG && turn % 2 != consumer) {  // the other's tile
                stage += steps, phase ^= stage / STAGES & 1, stage %= STAGES;
                continue;
            }
            const int row = (CTAS * (tile / across) + rank) * ROWS + (PINGPONG ? 0 : consumer * BLOCKS * 64) +
                            thread / 32 * 16 + lane / 4;
            const int column = tile % across * COLUMNS;
            // Read now, stored after the product: the loads take as long as a step of it.
            float own[CONSTANTS * COLUMNS / 128];
#pragma unroll
            for (int i = 0; i < COLUMNS / 128; i++) {
                const int at = column + i * 128 + thread;
                own[i] = RESIDUAL == NORMALIZED ? bias[at] + norm_bias[at] : bias[at];
                if (SCALED) own[COLUMNS / 128 + i] = scale[at];
                if (BYTES) own[(1 + SCALED) * COLUMNS / 128 + i] = multiplier[at];
                if (RESIDUAL == NORMALIZED) own[(1 + SCALED) * COLUMNS / 128 + i] = norm_weight[at];
            }
            if (RESIDUAL)  // lines of 128 bytes into the L2 cache
#pragma unroll
                for (int i = 0; i < BLOCKS * COLUMNS / 128; i++) {
                    const int line = i * 128 + thread, at = row - thread / 32 * 16 - lane / 4 + line / (COLUMNS / 64);
                    if (at < m) prefetch(residual + ((long long)at * n + column) * 2 + line % (COLUMNS / 64) * 128);
                }
            // Also keeps a wait for a stage's phase from being answered by the one two before, of the same parity.
            if (PINGPONG) named_sync(3 + consumer, 256);
            Sum sum[BLOCKS][COLUMNS / 2];
            u32 read = 0;
            for (int step = 0; step < steps; step++) {
                wait(full + 8 * stage, phase);
                const u32 at = stages + stage * STAGE_BYTES;
                const u64 left = descriptor(at + (PINGPONG ? 0 : consumer * BLOCKS * 64 * STEP));
                const u64 right = descriptor(at + X_BYTES);
                begin_products();
#pragma unroll
                for (int part = 0; part < 4; part++)  // 32 bytes of K each; addresses count in 16 bytes
#pragma unroll
                    for (int block = 0; block < BLOCKS; block++)
                        product(sum[block], left + block * (64 * STEP / 16) + part * 2, right + part * 2, step | part);
                commit_products();
                wait_for_products<1>();  // all but those of this step
                if (step) release(empty + 8 * read, lane);
                read = stage;
                if (++stage == STAGES) stage = 0, phase ^= 1;
            }
            if (PINGPONG) named_arrive(4 - consumer, 256);  // its products queue behind these
            Added added;
            added.from = residual + ((long long)row * n + column) * 2;
            if (RESIDUAL) {  // while the last products run
#pragma unroll
                for (int i = 0; i < 2 * BLOCKS; i++)
                    if (RESIDUAL == NORMALIZED && row + i / 2 * 64 + i % 2 * 8 < m)
                        added.statistics[i / 2][i % 2] = statistics[row + i / 2 * 64 + i % 2 * 8];
#pragma unroll
                for (int group = 0; group < AHEAD; group++) load_group(added, group, m - row, n, lane);
            }
            wait_for_products<0>();
#pragma unroll
            for (int block = 0; block < BLOCKS; block++) keep(sum[block]);
            release(empty + 8 * read, lane);
            // Of two buffers, because slower warps may still read the last tile's.
            float* to = constants + turn / (PINGPONG ? 2 : 1) % 2 * CONSTANT_FLOATS;
#pragma unroll
            for (int i = 0; i < CONSTANTS * COLUMNS / 128; i++) to[i * 128 + thread] = own[i];
            named_sync(1 + consumer, 128);
            store(sum, to, added, y + ((long long)row * n + column) * (BYTES ? 1 : 2), m - row, n,
                  zero_point + (RESULT == S8 ? 12582912.0f : 0.0f), lane);
        }
        if (PINGPONG && turn % 2 == consumer) named_sync(3 + consumer, 256);  // takes the turn that is left
    }
    __syncwarp();
    sync_ctas();  // a CTA stays until its cluster has made its last arrivals and copies
}
