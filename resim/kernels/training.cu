// The step of a token-training job and the sum of a load test: enough work to keep a device busy with data.
#include "shim.h"

// The mean of the embeddings of a record's tokens. One thread a record and dimension; the table is [token][dim],
// as long as the mask allows.
KERNEL embed_mean(const u16* tokens, u32 records, u32 tokens_a_record, u32 mask, const f32* table,
                  u32 dimensions, f32* means) {
    u32 i = thread_index();
    if (i >= records * dimensions) return;
    u32 record = i / dimensions;
    u32 dimension = i % dimensions;
    f32 sum = 0.0f;
    for (u32 t = 0; t < tokens_a_record; t++) {
        sum += table[(tokens[record * tokens_a_record + t] & mask) * dimensions + dimension];
    }
    means[i] = sum / (f32)tokens_a_record;
}

// One dense layer with max(0, x): [records][dimensions] times [dimensions][dimensions].
KERNEL dense(const f32* input, u32 records, u32 dimensions, const f32* weights, f32* output) {
    u32 i = thread_index();
    if (i >= records * dimensions) return;
    u32 record = i / dimensions;
    u32 column = i % dimensions;
    f32 sum = 0.0f;
    for (u32 d = 0; d < dimensions; d++) sum += input[record * dimensions + d] * weights[d * dimensions + column];
    output[i] = sum > 0.0f ? sum : 0.0f;
}

// The sum of all 32-bit words modulo 2^64; one thread a strip of words. Right bytes give one right answer,
// whatever the order of threads.
KERNEL word_sum(const u32* words, u32 count, u32 strip, u64* total) {
    u64 from = (u64)thread_index() * strip;
    if (from >= count) return;
    u64 to = from + strip < count ? from + strip : count;
    u64 sum = 0;
    for (u64 i = from; i < to; i++) sum += words[i];
    atomic_add(total, sum);
}
