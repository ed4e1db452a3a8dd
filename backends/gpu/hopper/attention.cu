// to = softmax(Q K^T / 8) V of every sample and head, in the next product's encoding; heads of 64, on Hopper's tensor
// cores (compute capability 9.0).
//
// Persistent, warp-specialized: one thread of warpgroup 0 copies 64 queries, keys or values at a time (a block: 8 KB,
// TMA, 128-byte swizzle) into shared memory, ahead of CONSUMERS warpgroups that take the blocks of queries in turn. A
// consumer multiplies its queries by the keys of all blocks, or of CHUNK blocks at a time with a running maximum where
// there are more than WHOLE; scores and their exponentials stay in its registers, where the next product reads them.
//
// An item is a head of a sample, or SIZE blocks of its queries. Its keys and values lie in a ring of PAIRS places and
// stay until every consumer is done with them; each consumer has two places for queries of its own. The rows of a
// block that the sample does not have are not copied (but for the last 15); nothing may depend on them: scores are
// masked, and as 0 times NaN is NaN, warp 1 zeroes those rows of the values before it passes the block on.
//
// Barriers: queried[2 c + i], keyed[p] and valued[p] complete when a block can be read, landed[p] when the values of a
// sample's last block have arrived, asked[2 c + i] and empty[p] when they have been read.
//
// CTA c takes items c, c + CTAS and so on of a list, backwards in every second round, the longest samples first. Samples
// in random order differ in length so much that the last CTA would take a sixth to a third longer than the mean; sorted,
// 2 %.
//
// A block's first products begin when those of the block before it have ended. Consumers that begin an item together
// would share the tensor cores, end at the same time, and then all compute exponentials.
//
// Defined in front of this source (attention_source.py): OPERAND (F16 or BF16), RESULT (one of S8, E4M3, F16, BF16),
// HEADS, CONSUMERS, WHOLE, CHUNK, MOST_SORTED, PAIRS, PRODUCER_REGISTERS, CONSUMER_REGISTERS; Sum; score(), mix().

#define ROW 128  // bytes of a head's queries, keys or values
#define BLOCK 64  // rows
#define BLOCK_BYTES (BLOCK * ROW)
#define TAIL 16  // rows of the copies of a last block
#define QUERY_PLACES (2 * CONSUMERS)
#define THREADS (128 * (1 + CONSUMERS))
#define SUMS (BLOCK / 2)  // accumulators of 64 x 64 for each of 128 threads
#define INFINITE __int_as_float(0x7F800000)
#define WIDTH (64 * HEADS)  // elements of a row of the result

// Shared memory, from a multiple of 1,024 bytes on: queries, keys and values, barriers, a multiplier for each column,
// the samples from the longest on.
#define PAIRED (QUERY_PLACES * BLOCK_BYTES)
#define QUERIED (PAIRED + 2 * PAIRS * BLOCK_BYTES)
#define ASKED (QUERIED + 8 * QUERY_PLACES)
#define KEYED (ASKED + 8 * QUERY_PLACES)
#define VALUED (KEYED + 8 * PAIRS)
#define LANDED (VALUED + 8 * PAIRS)
#define EMPTY (LANDED + 8 * PAIRS)
#define MULTIPLIERS (EMPTY + 8 * PAIRS)
#define ORDER (MULTIPLIERS + (BYTES ? 4 * WIDTH : 0))
#define FIRST_TURN 1  // number of consumer 0's named barrier

extern __shared__ __align__(1024) char memory[];

__device__ __forceinline__ float* multipliers() {
    return (float*)(memory + (-shared_address(memory) & 1023) + MULTIPLIERS);
}

// Writes the samples' numbers in the order of their lengths, the longest first; `scratch` holds a key for each.
__device__ __forceinline__ void sort_samples(unsigned short* order, u32* scratch, const int* ends, int samples) {
    for (int i = threadIdx.x; i < samples; i += THREADS)
        scratch[i] = (u32)(__ldg(ends + i + 1) - __ldg(ends + i)) * MOST_SORTED + MOST_SORTED - 1 - i;
    __syncthreads();
    for (int i = threadIdx.x; i < samples; i += THREADS) {
        const u32 mine = scratch[i];
        int rank = 0;
#pragma unroll 8
        for (int other = 0; other < samples; other++) rank += scratch[other] > mine;
        order[rank] = (unsigned short)i;
    }
    publish_to_products();  // copies overwrite the scratch
}

// The number of a CTA's item in a round.
__device__ __forceinline__ int item_at(int round) {
    const int at = round & 1 ? gridDim.x - 1 - blockIdx.x : blockIdx.x;
    return round * gridDim.x + at;
}

struct Item {
    int first, length, head, begin, end, keys;  // row, rows; blocks of queries that are computed; blocks of keys
};

// A place of the ring, by its distance from `at`, the place after the last item; `phase` is that of place 0 there.
struct Place {
    u32 at, phase;
};

__device__ __forceinline__ Place behind(Place from, u32 count) {
    const u32 at = from.at + count;
    return {at % PAIRS, from.phase ^ at / PAIRS & 1};
}

// The sample's first row and the next one's; `order` may be null.
__device__ __forceinline__ int2 ends_of(
    const int* ends, const unsigned short* order, int item, int items, int parts) {
    const int place = min(item, items - 1) / HEADS / parts, sample = order ? order[place] : place;
    return {__ldg(ends + sample), __ldg(ends + sample + 1)};
}

__device__ __forceinline__ Item item_of(int2 ends, int item, int parts, int size) {
    const int length = ends.y - ends.x, blocks = (length + BLOCK - 1) / BLOCK;
    const int begin = item / HEADS % parts * size;
    return {ends.x, length, item % HEADS, min(begin, blocks), min(begin + size, blocks), begin < blocks ? blocks : 0};
}

// Copies the `rows` rows of a block that exist, or all 64 of it.
__device__ __forceinline__ void load_block(
    u32 to, const TensorMap* block, const TensorMap* tail, int at, int row, int rows, u32 barrier) {
    if (rows >= BLOCK) {
        expect_bytes(barrier, BLOCK_BYTES);
        load(to, block, at, row, barrier);
    } else {
        const int copies = (rows + TAIL - 1) / TAIL;
        expect_bytes(barrier, copies * TAIL * ROW);
        for (int i = 0; i < copies; i++) load(to + i * TAIL * ROW, tail, at, row + i * TAIL, barrier);
    }
}

// Copies queries [begin, end) of an item, in blocks; `turn` counts blocks since the launch.
__device__ __forceinline__ void load_queries(u32 shared, const TensorMap* block, const TensorMap* tail,
                                             const Item& item, int begin, int end, u32 turn) {
    for (int i = begin; i < end; i++, turn++) {
        const u32 place = turn % CONSUMERS * 2 + turn / CONSUMERS % 2, phase = turn / QUERY_PLACES & 1;
        wait(shared + ASKED + 8 * place, phase ^ 1);
        load_block(shared + place * BLOCK_BYTES, block, tail, item.head * ROW, item.first + i * BLOCK,
                   item.length - i * BLOCK, shared + QUERIED + 8 * place);
    }
}

// Copies an item's keys and values.
__device__ __forceinline__ void load_pairs(u32 shared, const TensorMap* block, const TensorMap* tail,
                                           const Item& item, Place ring) {
    for (int i = 0; i < item.keys; i++) {
        const Place place = behind(ring, i);
        const int at = item.head * ROW, row = item.first + i * BLOCK, rows = item.length - i * BLOCK;
        const u32 to = shared + PAIRED + place.at * 2 * BLOCK_BYTES;
        wait(shared + EMPTY + 8 * place.at, place.phase ^ 1);
        load_block(to, block, tail, at + 2 * WIDTH, row, rows, shared + KEYED + 8 * place.at);
        load_block(to + BLOCK_BYTES, block, tail, at + 4 * WIDTH, row, rows,
                   shared + (rows < BLOCK ? LANDED : VALUED) + 8 * place.at);
    }
}

// A warp zeroes the rows of the last block of values that the sample does not have. `seen` holds landed's phases.
__device__ __forceinline__ void clear_tail(u32 shared, const Item& item, Place ring, u32& seen, int lane) {
    const int rows = item.length % BLOCK;
    if (!item.keys || !rows) return;
    const u32 at = behind(ring, item.keys - 1).at;
    wait(shared + LANDED + 8 * at, seen >> at & 1);
    seen ^= 1u << at;
    const u32 values = shared + PAIRED + (2 * at + 1) * BLOCK_BYTES;
    for (int byte = rows * ROW + lane * 16; byte < BLOCK_BYTES; byte += 32 * 16) zero_16_bytes(values + byte);
    publish_to_products();
    __syncwarp();
    if (lane == 0) arrive(shared + VALUED + 8 * at);
}

// Consumers take turns from block to block, as blocks are dealt out.
__device__ __forceinline__ void begin_turn() {
    named_sync(FIRST_TURN + threadIdx.x / 128 - 1, 256);
}

__device__ __forceinline__ void end_turn() {
    named_arrive(FIRST_TURN + threadIdx.x / 128 % CONSUMERS, 256);
}

// The scores of a block of queries with `blocks` blocks of keys from the `from`th on; products of one group a block.
template <int blocks>
__device__ __forceinline__ void multiply_keys(
    Sum (&sum)[blocks][SUMS], const u32 (&query)[16], u32 shared, Place ring, int from) {
#pragma unroll
    for (int i = 0; i < blocks; i++) {
        const Place place = behind(ring, from + i);
        wait(shared + KEYED + 8 * place.at, place.phase);
        const u64 keys = descriptor(shared + PAIRED + place.at * 2 * BLOCK_BYTES);
        begin_products();
#pragma unroll
        for (int part = 0; part < 4; part++) score(sum[i], query + 4 * part, keys + 2 * part, part);
        commit_products();
    }
}

// Waits for block i of `blocks`.
template <int blocks>
__device__ __forceinline__ void wait_for_block(int i) {
    if (blocks - i == 3)
        wait_for_products<2>();
    else if (blocks - i == 2)
        wait_for_products<1>();
    else
        wait_for_products<0>();
}

// The largest of a thread's scores of its two rows, after those that come from no key have become -inf. `rows` keys of
// the last block exist, if it is the sample's last (`cut`); columns come in groups of 16 (a product's K).
template <int blocks, bool cut>
__device__ __forceinline__ void find_most(Sum (&sum)[blocks][SUMS], float (&most)[2], int rows, int quad,
                                          bool turn) {
#pragma unroll
    for (int i = 0; i < blocks; i++) {
        wait_for_block<blocks>(i);
        keep(sum[i]);
        if (turn && i == blocks - 1) end_turn();
#pragma unroll
        for (int group = 0; group < 4; group++) {
            if (cut && i == blocks - 1 && group && 16 * group >= rows) break;
            if (cut && i == blocks - 1 && 16 * group + 16 > rows) {
#pragma unroll
                for (int at = 0; at < 8; at++)
                    if (16 * group + at / 4 * 8 + 2 * quad + at % 2 >= rows) sum[i][8 * group + at] = -INFINITE;
            }
#pragma unroll
            for (int at = 0; at < 8; at++)
                most[at / 2 % 2] = fmaxf(most[at / 2 % 2], sum[i][8 * group + at]);
        }
    }
#pragma unroll
    for (int row = 0; row < 2; row++)
        for (int other = 1; other <= 2; other *= 2)
            most[row] = fmaxf(most[row], __shfl_xor_sync(0xFFFFFFFF, most[row], other));
}

// The numerators of softmax of one block, as the next product reads them; adds them to `total`.
template <bool cut>
__device__ __forceinline__ void exponentiate(
    u32 (&weight)[16], const Sum (&sum)[SUMS], float (&total)[2], const float (&shift)[2], float scale, int rows) {
#pragma unroll
    for (int group = 0; group < 4; group++) {
        if (cut && group && 16 * group >= rows) {
#pragma unroll
            for (int at = 0; at < 4; at++) weight[4 * group + at] = 0;
        } else {
#pragma unroll
            for (int at = 0; at < 4; at++) {
                const int row = at % 2, index = 8 * group + 2 * at;
                const float left = exp2_approx(sum[index] * scale + shift[row]);
                const float right = exp2_approx(sum[index + 1] * scale + shift[row]);
                total[row] += left + right;
                weight[4 * group + at] = pair_of(left, right);
            }
        }
    }
}

__device__ __forceinline__ void multiply_values(
    Sum (&mixed)[SUMS], const u32 (&weight)[16], u32 shared, Place ring, int at, int accumulate) {
    const Place place = behind(ring, at);
    wait(shared + VALUED + 8 * place.at, place.phase);
    const u64 values = row_descriptor(shared + PAIRED + (2 * place.at + 1) * BLOCK_BYTES);
    begin_products();
#pragma unroll
    for (int part = 0; part < 4; part++)  // 16 keys each; addresses count in 16 bytes
        mix(mixed, weight + 4 * part, values + part * (16 * ROW / 16), part + accumulate);
    commit_products();
}

// mixed += softmax's numerators of `blocks` blocks of keys times their values.
template <int blocks, bool cut>
__device__ __forceinline__ void mix_blocks(Sum (&mixed)[SUMS], const Sum (&sum)[blocks][SUMS], float (&total)[2],
                                           const float (&most)[2], float scale, int rows, u32 shared, Place ring,
                                           int from, int accumulate) {
    const float shift[2] = {-most[0] * scale, -most[1] * scale};
    u32 weight[blocks][16];
#pragma unroll
    for (int i = 0; i < blocks; i++) {
        if (cut && i == blocks - 1)
            exponentiate<true>(weight[i], sum[i], total, shift, scale, rows);
        else
            exponentiate<false>(weight[i], sum[i], total, shift, scale, rows);
    }
#pragma unroll
    for (int i = 0; i < blocks; i++)
        multiply_values(mixed, weight[i], shared, ring, from + i, i + accumulate);
    wait_for_products<0>();
    keep(mixed);
}

// The blocks of one consumer's item that it needs no longer.
__device__ __forceinline__ void release_pairs(u32 shared, Place ring, int from, int end, int lane) {
    for (int i = from; i < end; i++) release(shared + EMPTY + 8 * behind(ring, i).at, lane);
}

// Attention to all keys of a sample at once.
template <int blocks>
__device__ __forceinline__ void attend_whole(Sum (&mixed)[SUMS], float (&total)[2], const u32 (&query)[16],
                                             float scale, const Item& item, u32 shared, Place ring,
                                             int quad) {
    const int rows = item.length - (blocks - 1) * BLOCK;
    float most[2] = {-INFINITE, -INFINITE};
    Sum sum[blocks][SUMS];
    begin_turn();
    multiply_keys(sum, query, shared, ring, 0);
    find_most<blocks, true>(sum, most, rows, quad, true);
    mix_blocks<blocks, true>(mixed, sum, total, most, scale, rows, shared, ring, 0, 0);
}

// Attention to `blocks` more blocks of keys, from the `from`th on: sums so far shrink when the maximum grows.
template <int blocks, bool cut>
__device__ __forceinline__ void attend_more(Sum (&mixed)[SUMS], float (&total)[2], float (&most)[2],
                                            const u32 (&query)[16], float scale, const Item& item,
                                            u32 shared, Place ring, int from, int quad) {
    const int rows = item.length - (from + blocks - 1) * BLOCK;
    const float before[2] = {most[0], most[1]};
    Sum sum[blocks][SUMS];
    if (from == 0) begin_turn();
    multiply_keys(sum, query, shared, ring, from);
    find_most<blocks, cut>(sum, most, rows, quad, from == 0);
#pragma unroll
    for (int row = 0; row < 2; row++) {
        const float shrink = exp2_approx((before[row] - most[row]) * scale);
        total[row] *= shrink;
#pragma unroll
        for (int i = 0; i < SUMS; i++)
            if (i / 2 % 2 == row) mixed[i] *= shrink;
    }
    mix_blocks<blocks, cut>(mixed, sum, total, most, scale, rows, shared, ring, from, 1);
}

__device__ __forceinline__ void attend_in_chunks(Sum (&mixed)[SUMS], float (&total)[2], const u32 (&query)[16],
                                                 float scale, const Item& item, u32 shared, Place ring,
                                                 int quad, int lane, bool last) {
    float most[2] = {-INFINITE, -INFINITE};
#pragma unroll
    for (int i = 0; i < SUMS; i++) mixed[i] = 0.0f;
    int from = 0;
    for (; from + CHUNK < item.keys; from += CHUNK) {
        attend_more<CHUNK, false>(mixed, total, most, query, scale, item, shared, ring, from, quad);
        if (last) release_pairs(shared, ring, from, from + CHUNK, lane);
    }
    if (item.keys - from == CHUNK)
        attend_more<CHUNK, true>(mixed, total, most, query, scale, item, shared, ring, from, quad);
    else
        attend_more<1, true>(mixed, total, most, query, scale, item, shared, ring, from, quad);
    if (last) release_pairs(shared, ring, from, item.keys, lane);
}

// Stores a warpgroup's 64 rows: `to` is the thread's first row of the head, `rows` how many rows of it exist.
__device__ __forceinline__ void store(const Sum (&mixed)[SUMS], const float (&total)[2], const float* multiplier,
                                      char* to, int rows, float zero_point, int lane) {
    const int element = BYTES ? 1 : 2, quad = lane % 4, pairs = BYTES ? 2 : 1;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const float share = reciprocal_approx(total[half]);
#pragma unroll
        for (int group = 0; group < BLOCK / GROUP; group++) {
            u32 word[4];
#pragma unroll
            for (int i = 0; i < 4; i++) {
                float value[2 * pairs];
#pragma unroll
                for (int at = 0; at < 2 * pairs; at++) {
                    const int block = group * GROUP / 8 + i * pairs + at / 2;
                    value[at] = mixed[block * 4 + half * 2 + at % 2] * share;
                    if (BYTES) value[at] = value[at] * multiplier[block * 8 + 2 * quad + at % 2] + zero_point;
                }
                word[i] = pack(value);
            }
            transpose(word, lane);
            if (half * 8 < rows)
                store_16_bytes(to + ((long long)half * 8 * WIDTH + group * GROUP) * element + 16 * quad, word);
        }
    }
}

// A consumer's block of queries.
__device__ __forceinline__ void attend(u32 shared, const Item& item, int block, u32 place, u32 phase,
                                       Place ring, char* to, float scale, float zero_point, bool last) {
    const int thread = threadIdx.x % 128, lane = threadIdx.x % 32, quad = lane % 4;
    u32 query[16];
    wait(shared + QUERIED + 8 * place, phase);
#pragma unroll
    for (int part = 0; part < 4; part++) {  // 16 columns; a warp has 16 rows
        const u32 row = thread / 32 * 16 + lane % 16, column = 2 * part + lane / 16;
        load_matrices(query + 4 * part, shared + place * BLOCK_BYTES + row * ROW + (column ^ row % 8) * 16);
    }
    __syncwarp();
    release(shared + ASKED + 8 * place, lane);
    Sum mixed[SUMS];
    float total[2] = {0.0f, 0.0f};
    if (item.keys > WHOLE) {
        attend_in_chunks(mixed, total, query, scale, item, shared, ring, quad, lane, last);
    } else {
        if (item.keys == 1)
            attend_whole<1>(mixed, total, query, scale, item, shared, ring, quad);
        else if (item.keys == 2)
            attend_whole<2>(mixed, total, query, scale, item, shared, ring, quad);
        else
            attend_whole<3>(mixed, total, query, scale, item, shared, ring, quad);
        if (last) release_pairs(shared, ring, 0, item.keys, lane);
    }
#pragma unroll
    for (int row = 0; row < 2; row++)
        for (int other = 1; other <= 2; other *= 2)
            total[row] += __shfl_xor_sync(0xFFFFFFFF, total[row], other);
    const int row = block * BLOCK + thread / 32 * 16 + lane / 4;
    char* at = to + ((long long)(item.first + row) * WIDTH + item.head * 64) * (BYTES ? 1 : 2);
    store(mixed, total, multipliers() + item.head * 64, at, item.length - row,
          zero_point + (RESULT == S8 ? 12582912.0f : 0.0f), lane);
}

// qkv [T, 3 * WIDTH] of 16-bit floats, by maps of its bytes for copies of BLOCK and TAIL rows; ends [samples + 1]; to
// [T, width]. `scale` is log2(e) / 8. There are samples * parts * HEADS items, of `size` blocks of queries at most.
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    attention(const __grid_constant__ TensorMap block, const __grid_constant__ TensorMap tail, const int* ends,
              const float* multiplier, char* to, float scale, float zero_point, int items, int parts, int size) {
    const u32 shared = (shared_address(memory) + 1023) / 1024 * 1024;
    const int warpgroup = __shfl_sync(0xFFFFFFFF, threadIdx.x / 128, 0), lane = threadIdx.x % 32;
    if (BYTES)
        for (int i = threadIdx.x; i < WIDTH; i += THREADS) multipliers()[i] = multiplier[i];
    if (threadIdx.x == 0) {
        for (int i = 0; i < QUERY_PLACES; i++) {
            init_barrier(shared + QUERIED + 8 * i, 1);
            init_barrier(shared + ASKED + 8 * i, 4);
        }
        for (int i = 0; i < PAIRS; i++) {
            init_barrier(shared + KEYED + 8 * i, 1);
            init_barrier(shared + VALUED + 8 * i, 1);
            init_barrier(shared + LANDED + 8 * i, 1);
            init_barrier(shared + EMPTY + 8 * i, 4 * CONSUMERS);
        }
        publish_barriers();
    }
    const int samples = items / HEADS / parts;
    unsigned short* order = 0;
    if (gridDim.x < items && samples <= MOST_SORTED) {
        char* const start = memory + (-shared_address(memory) & 1023);
        order = (unsigned short*)(start + ORDER);
        sort_samples(order, (u32*)start, ends, samples);
    }
    __syncthreads();

    Place ring = {0, 0};
    u32 turn = 0;  // blocks of queries of all items before this one
    int2 next = ends_of(ends, order, blockIdx.x, items, parts);
    if (warpgroup == 0) {
        keep_few_registers();
        u32 seen = 0;
        if (threadIdx.x >= 64) return;
        for (int round = 0, i = item_at(0); i < items; i = item_at(++round)) {
            const Item item = item_of(next, i, parts, size);
            next = ends_of(ends, order, item_at(round + 1), items, parts);
            if (threadIdx.x == 0) {
                const int early = min(item.begin + CONSUMERS, item.end);
                load_queries(shared, &block, &tail, item, item.begin, early, turn);
                load_pairs(shared, &block, &tail, item, ring);
                load_queries(shared, &block, &tail, item, early, item.end, turn + CONSUMERS);
            } else if (threadIdx.x >= 32) {
                clear_tail(shared, item, ring, seen, lane);
            }
            turn += item.end - item.begin;
            ring = behind(ring, item.keys);
        }
    } else {
        take_many_registers();
        const u32 consumer = warpgroup - 1;
        if (consumer == CONSUMERS - 1) end_turn();  // the first turn is consumer 0's
        for (int round = 0, i = item_at(0); i < items; i = item_at(++round)) {
            const Item item = item_of(next, i, parts, size);
            next = ends_of(ends, order, item_at(round + 1), items, parts);
            int at = item.begin + (consumer + CONSUMERS - turn % CONSUMERS) % CONSUMERS;
            if (at >= item.end) {  // nothing to do; a wait keeps it from being a phase ahead
                for (int pair = 0; pair < item.keys; pair++) {
                    const Place place = behind(ring, pair);
                    wait(shared + KEYED + 8 * place.at, place.phase);
                    release(shared + EMPTY + 8 * place.at, lane);
                }
            }
            for (; at < item.end; at += CONSUMERS) {
                const u32 mine = (turn + at - item.begin) / CONSUMERS;  // blocks that this consumer has had
                attend(shared, item, at, 2 * consumer + mine % 2, mine / 2 & 1, ring, to, scale, zero_point,
                       at + CONSUMERS >= item.end);
            }
            turn += item.end - item.begin;
            ring = behind(ring, item.keys);
        }
    }
}
