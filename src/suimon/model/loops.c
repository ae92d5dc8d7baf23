/* What numpy needs many passes over memory for, in one: loops.py says what each does, and does the same without it.
 *
 * Callers own all arrays, which have the lengths that are given; nothing here is told a place by strangers.
 */
#include <stdint.h>
#include <string.h>

#define EXPORTED __attribute__((visibility("default")))

EXPORTED int64_t suimon_loops(void) { return 5; }

static uint64_t mixed(uint64_t x) { /* The finalizer of splitmix64. */
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

/* `salted` is 1 when each value has a salt of its own, 0 when all have the first. */
EXPORTED void suimon_mix(const uint64_t *values, const uint64_t *salt, int64_t salted, int64_t count, uint64_t *found) {
    for (int64_t i = 0; i < count; i++)
        found[i] = mixed(values[i] * 0x9E3779B97F4A7C15u + salt[salted ? i : 0]);
}

/* Slots are a power of two, more than keys, and -1 at first. Of equal keys the first is what is found. */
EXPORTED void suimon_index(const uint64_t *keys, int64_t count, int32_t *slots, int64_t slot_count) {
    for (int64_t i = 0; i < count; i++) {
        uint64_t slot = mixed(keys[i]) & (uint64_t)(slot_count - 1);
        while (slots[slot] >= 0 && keys[slots[slot]] != keys[i])
            slot = (slot + 1) & (uint64_t)(slot_count - 1);
        if (slots[slot] < 0)
            slots[slot] = (int32_t)i;
    }
}

EXPORTED void suimon_find(const uint64_t *keys, const int32_t *slots, int64_t slot_count, const uint64_t *wanted,
                          int64_t count, int64_t *found) {
    for (int64_t i = 0; i < count; i++) {
        uint64_t slot = mixed(wanted[i]) & (uint64_t)(slot_count - 1);
        while (slots[slot] >= 0 && keys[slots[slot]] != wanted[i])
            slot = (slot + 1) & (uint64_t)(slot_count - 1);
        found[i] = slots[slot];
    }
}

/* Different numbers as they come, at most `most`: where each is first, and which of them each value is; how many they
 * are, -1 when there are more. Slots as above. */
EXPORTED int64_t suimon_distinct(const uint64_t *values, int64_t count, int64_t most, uint64_t salt, int32_t *slots,
                                 int64_t slot_count, int64_t *first, int64_t *which) {
    int64_t found = 0;
    for (int64_t i = 0; i < count; i++) {
        uint64_t slot = mixed(values[i] + salt) & (uint64_t)(slot_count - 1);
        while (slots[slot] >= 0 && values[first[slots[slot]]] != values[i])
            slot = (slot + 1) & (uint64_t)(slot_count - 1);
        if (slots[slot] < 0) {
            if (found == most)
                return -1;
            first[found] = i;
            slots[slot] = (int32_t)found++;
        }
        which[i] = slots[slot];
    }
    return found;
}

#ifdef __x86_64__
__attribute__((target_clones("avx2", "default"))) /* Which eight cells at once are worth a copy for. */
#endif
/* How many cells of each row are above its bound. */
EXPORTED void suimon_hits(const uint32_t *cells, int64_t row_cells, const int64_t *rows, const uint32_t *above,
                          int64_t count, int64_t *found) {
    for (int64_t i = 0; i < count; i++) {
        const uint32_t *row = cells + rows[i] * row_cells;
        uint32_t bound = above[i], hits = 0;
        for (int64_t c = 0; c < row_cells; c++)
            hits += row[c] > bound;
        found[i] = hits;
    }
}

/* Amounts of records, each laid evenly over the seconds from `first` to `last`, those before `oldest` left out. A ring has
 * a row of `slots` seconds for each line; records of line -1 are passed over. Those within a second come first, as numpy
 * does it: sums of floats depend on their order. */
EXPORTED void suimon_lay(float *rings, int64_t slots, int64_t oldest, const int64_t *lines, const int64_t *first,
                         const int64_t *last, const double *begun, const double *ended, const double *amounts,
                         int64_t count) {
    for (int longer = 0; longer < 2; longer++)
        for (int64_t i = 0; i < count; i++) {
            if (lines[i] < 0 || last[i] < oldest || (first[i] < last[i]) != longer)
                continue;
            float *ring = rings + lines[i] * slots;
            int64_t since = first[i] > oldest ? first[i] : oldest;
            for (int64_t second = since; second <= last[i] && second < since + slots; second++) {
                double from = begun[i] > (double)second ? begun[i] : (double)second;
                double to = ended[i] < (double)(second + 1) ? ended[i] : (double)(second + 1);
                double share = longer ? (to - from) / (ended[i] - begun[i]) : 1.0;
                ring[(second % slots + slots) % slots] += (float)(amounts[i] * share);
            }
        }
}

/* The lower `width` bits (1 to 64) of numbers that have no more, the first lowest; 32 numbers are 4 * width bytes. */
static uint8_t *packed(const uint64_t *values, int64_t count, int64_t width, uint8_t *into) {
    unsigned __int128 held = 0;
    int64_t bits = 0;
    for (int64_t i = 0; i < count; i++) {
        held |= (unsigned __int128)values[i] << bits;
        bits += width;
        if (bits >= 64) {
            uint64_t low = (uint64_t)held;
            memcpy(into, &low, 8);
            into += 8, bits -= 64, held >>= 64;
        }
    }
    uint64_t low = (uint64_t)held;
    memcpy(into, &low, (size_t)bits / 8);
    return into + bits / 8;
}

/* `count` is a multiple of 32. */
EXPORTED void suimon_pack(const uint64_t *values, int64_t count, int64_t width, uint8_t *into) {
    packed(values, count, width, into);
}

static uint8_t *number(uint64_t value, uint8_t *into) { /* ULEB128. */
    for (; value > 0x7F; value >>= 7)
        *into++ = (uint8_t)(value | 0x80);
    *into++ = (uint8_t)value;
    return into;
}

static uint8_t *signed_number(int64_t value, uint8_t *into) {
    return number((uint64_t)value << 1 ^ (uint64_t)(value >> 63), into);
}

#define BLOCK 128

/* Parquet's DELTA_BINARY_PACKED, of numbers of 32 or 64 bits: https://parquet.apache.org/docs/file-format/data-pages/encodings.
 * Takes at most 32 bytes and 14 + 8 * BLOCK for each block; returns how many. */
EXPORTED int64_t suimon_deltas(const uint64_t *values, int64_t count, int64_t bits, uint8_t *into) {
    uint8_t *at = number(count, number(4, number(BLOCK, into)));
    int64_t steps[BLOCK];
    uint64_t above[BLOCK], mask = bits == 32 ? 0xFFFFFFFFu : ~(uint64_t)0;
    int64_t first = count ? (int64_t)values[0] : 0;
    at = signed_number(bits == 32 ? (int32_t)first : first, at);
    for (int64_t i = 1; i < count; i += BLOCK) {
        int64_t some = count - i < BLOCK ? count - i : BLOCK, least = INT64_MAX;
        for (int64_t n = 0; n < some; n++) {
            int64_t step = (int64_t)(values[i + n] - values[i + n - 1]);
            steps[n] = bits == 32 ? (int32_t)step : step;
            least = steps[n] < least ? steps[n] : least;
        }
        at = signed_number(least, at);
        for (int64_t n = 0; n < BLOCK; n++)
            above[n] = n < some ? ((uint64_t)steps[n] - (uint64_t)least) & mask : 0;
        uint8_t *widths = at;
        at += 4;
        for (int64_t part = 0; part < 4; part++) {
            uint64_t all = 0;
            for (int64_t n = 0; n < 32; n++)
                all |= above[part * 32 + n];
            widths[part] = (uint8_t)(all ? 64 - __builtin_clzll(all) : 0);
            if (all)
                at = packed(above + part * 32, 32, widths[part], at);
        }
    }
    return at - into;
}
