/* Records into sums by what they are alike in; summing.py says what is summed, and has all arrays. */
#include <stdint.h>
#include <string.h>

#define EXPORTED __attribute__((visibility("default")))
#define INLINED static inline __attribute__((always_inline))
#define HOUR_MS 3600000u
#define HOURS 11 /* Bits that the hours of the longest record need. */
#define SUMS 5   /* Packets and bytes, as doubles; records, sampled ones, unscaled ones. */
#define WORDS 4  /* At most, of what rows of a kind differ in. */
#define SOME 64
#define NONE 0xFFFFFFFFu

EXPORTED int64_t suimon_summing(void) { return SOURCE; }

typedef struct {
    const int64_t *begun_ms;
    const uint32_t *duration_ms, *exporter;
    const uint8_t *ip_version, *protocol, *direction;
    const uint64_t *source_high, *source_low, *destination_high, *destination_low;
    const uint16_t *source_port, *destination_port;
    const uint64_t *packets, *bytes;
    const uint32_t *sampling, *port, *project, *network, *host;
} records;

/* A row has its words, then its sums; slots are twice as many as rows have room, or more, and a power of two. */
typedef struct {
    uint64_t *rows;
    uint32_t *slots;
    int64_t bits, many, room;
} table;

enum kind { BY_PORT, BY_SOURCE_PORT, BY_DESTINATION_PORT, BY_SOURCE, BY_DESTINATION };

/* What a record is alike in with others of its row. */
INLINED void words(const records *all, int64_t i, enum kind kind, uint64_t *word) {
    uint64_t begun = (uint64_t)all->begun_ms[i];
    uint64_t began_h = begun / HOUR_MS, lasted_h = (begun + all->duration_ms[i]) / HOUR_MS - began_h;
    uint64_t alike = (uint64_t)all->direction[i] << 8 | all->protocol[i];
    word[0] = began_h << HOURS | (lasted_h & ((1 << HOURS) - 1));
    switch (kind) {
    case BY_SOURCE_PORT: word[1] = alike << 16 | all->source_port[i]; return;
    case BY_DESTINATION_PORT: word[1] = alike << 16 | all->destination_port[i]; return;
    default: break;
    }
    word[1] = alike << 8 | all->ip_version[i];
    switch (kind) {
    case BY_SOURCE: word[2] = all->source_high[i], word[3] = all->source_low[i]; return;
    case BY_DESTINATION: word[2] = all->destination_high[i], word[3] = all->destination_low[i]; return;
    default: break;
    }
    word[1] |= (uint64_t)all->exporter[i] << 32;
    word[2] = (uint64_t)all->port[i] << 32 | all->project[i];
    word[3] = (uint64_t)all->network[i] << 32 | all->host[i];
}

/* `odd` is nobody's to know: any two rows meet by it as rarely as others. */
INLINED uint64_t hashed(const table *in, const uint64_t *word, int64_t length, const uint64_t *odd) {
    uint64_t hash = 0;
    for (int64_t n = 0; n < length; n++)
        hash += (word[n] ^ word[n] >> 32) * odd[n];
    return hash >> (64 - in->bits);
}

/* Where a row of these words is, or would be. */
INLINED uint32_t *slot_of(const table *in, const uint64_t *word, int64_t length, uint64_t slot) {
    while (in->slots[slot] != NONE &&
           memcmp(in->rows + in->slots[slot] * (uint64_t)(length + SUMS), word, (size_t)length * sizeof *word))
        slot = (slot + 1) & (((uint64_t)1 << in->bits) - 1);
    return in->slots + slot;
}

/* Some at a time: while the memory of their slots and rows comes, others' are asked for. */
INLINED int64_t summed(const records *all, int64_t from, int64_t count, enum kind kind, table *in, const uint64_t *odd) {
    uint64_t word[SOME][WORDS], slots[SOME], *row = 0;
    int64_t length = kind == BY_SOURCE_PORT || kind == BY_DESTINATION_PORT ? 2 : WORDS;
    for (int64_t first = from; first < count; first += SOME) {
        int64_t some = count - first < SOME ? count - first : SOME;
        for (int64_t n = 0; n < some; n++) {
            words(all, first + n, kind, word[n]);
            slots[n] = hashed(in, word[n], length, odd);
            __builtin_prefetch(in->slots + slots[n]);
        }
        for (int64_t n = 0; n < some; n++)
            if (in->slots[slots[n]] != NONE)
                __builtin_prefetch(in->rows + in->slots[slots[n]] * (uint64_t)(length + SUMS));
        for (int64_t n = 0; n < some; n++) {
            int64_t i = first + n;
            if (!row || memcmp(word[n], row, (size_t)length * sizeof *row)) {
                uint32_t *slot = slot_of(in, word[n], length, slots[n]);
                if (*slot == NONE) {
                    if (in->many == in->room)
                        return i;
                    *slot = (uint32_t)in->many++;
                    row = in->rows + *slot * (uint64_t)(length + SUMS);
                    memcpy(row, word[n], (size_t)length * sizeof *row);
                    memset(row + length, 0, SUMS * sizeof *row);
                }
                row = in->rows + *slot * (uint64_t)(length + SUMS);
            }
            double sums[2], scale = all->sampling[i] > 1 ? all->sampling[i] : 1;
            memcpy(sums, row + length, sizeof sums);
            sums[0] += (double)all->packets[i] * scale, sums[1] += (double)all->bytes[i] * scale;
            memcpy(row + length, sums, sizeof sums);
            row[length + 2]++, row[length + 3] += all->sampling[i] > 1, row[length + 4] += all->sampling[i] == 0;
        }
    }
    return count;
}

/* Add records from one on; returns up to which there was room for. */
EXPORTED int64_t suimon_summed(const records *all, int64_t from, int64_t count, int64_t kind, table *in,
                               const uint64_t *odd) {
    switch (kind) {
    case BY_PORT: return summed(all, from, count, BY_PORT, in, odd);
    case BY_SOURCE_PORT: return summed(all, from, count, BY_SOURCE_PORT, in, odd);
    case BY_DESTINATION_PORT: return summed(all, from, count, BY_DESTINATION_PORT, in, odd);
    case BY_SOURCE: return summed(all, from, count, BY_SOURCE, in, odd);
    default: return summed(all, from, count, BY_DESTINATION, in, odd);
    }
}

/* Rows of so many words get slots, of which none is taken. */
EXPORTED void suimon_placed(const table *in, int64_t length, const uint64_t *odd) {
    for (int64_t n = 0; n < in->many; n++) {
        const uint64_t *row = in->rows + n * (length + SUMS);
        *slot_of(in, row, length, hashed(in, row, length, odd)) = (uint32_t)n;
    }
}
