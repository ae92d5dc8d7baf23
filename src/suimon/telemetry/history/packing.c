/* What packs an hour: pages of small files into columns, columns into order, records into sums; packing.py says what.
 *
 * Callers own all arrays, which have the lengths that are given. Pages may say anything: nothing is read beyond their
 * ends, behind which eight bytes may be read that mean nothing, and nothing is written beyond `count` numbers.
 */
#include <string.h>

#include "../../model/elements.h"

#define EXPORTED __attribute__((visibility("default")))
#define BLOCK 128 /* Differences that have one least, in four parts that have one width. */
#define DIGIT 11  /* Bits by which numbers are put into order at a time: counts of all fit the first cache. */

EXPORTED int64_t suimon_packing(void) { return SOURCE; }

/* With a size that the compiler knows loops are several times faster. */
#define OF_SIZE(BYTES, CALL)                                                                                           \
    switch (BYTES) {                                                                                                   \
    case 1: CALL(1); break;                                                                                            \
    case 2: CALL(2); break;                                                                                            \
    case 4: CALL(4); break;                                                                                            \
    default: CALL(8);                                                                                                  \
    }

/* What is still unread. */
typedef struct {
    const uint8_t *next, *end;
} rest;

/* ULEB128; 0 if it doesn't end, or is too long. */
INLINED int number(rest *page, uint64_t *into) {
    *into = 0;
    for (int64_t bits = 0; bits < 64 && page->next < page->end; bits += 7) {
        uint8_t byte = *page->next++;
        *into |= (uint64_t)(byte & 0x7F) << bits;
        if (byte < 0x80)
            return 1;
    }
    return 0;
}

INLINED int signed_number(rest *page, uint64_t *into) {
    uint64_t zigzag;
    int found = number(page, &zigzag);
    *into = zigzag >> 1 ^ -(zigzag & 1);
    return found;
}

/* The number of `width` (0 to 64) bits that begins with that bit. */
INLINED uint64_t bits_at(const uint8_t *from, int64_t bit, int64_t width) {
    uint64_t low;
    memcpy(&low, from + bit / 8, sizeof low);
    low >>= bit % 8;
    if (bit % 8 + width > 64)
        low |= (uint64_t)from[bit / 8 + 8] << (64 - bit % 8);
    return width == 64 ? low : low & (((uint64_t)1 << width) - 1);
}

/* Runs of one number, and of bits (RLE/bit-packing hybrid), of `width` up to 32; each says which of the `known` it is. */
INLINED int64_t indexed(rest page, int64_t width, const void *known, int64_t different, int64_t bytes, int64_t count,
                        void *into) {
    for (int64_t i = 0; i < count;) {
        uint64_t head;
        if (!number(&page, &head))
            return 0;
        int64_t left = page.end - page.next, size = (width + 7) / 8;
        if (head & 1) {
            if (head >> 1 > (uint64_t)count) /* Of eight each; more than there can be. */
                return 0;
            int64_t some = (int64_t)(head >> 1) * 8 < count - i ? (int64_t)(head >> 1) * 8 : count - i;
            if ((int64_t)(head >> 1) * width > left || !some)
                return 0;
            for (int64_t n = 0; n < some; n++) {
                uint64_t which = bits_at(page.next, n * width, width);
                if (which >= (uint64_t)different)
                    return 0;
                put(into, bytes, i + n, at(known, bytes, (int64_t)which));
            }
            page.next += (int64_t)(head >> 1) * width, i += some;
        } else {
            uint64_t which = 0;
            if (size > left || !head || head >> 1 > (uint64_t)(count - i))
                return 0;
            memcpy(&which, page.next, (size_t)size);
            if (which >= (uint64_t)different)
                return 0;
            for (int64_t n = 0; n < (int64_t)(head >> 1); n++)
                put(into, bytes, i + n, at(known, bytes, (int64_t)which));
            page.next += size, i += (int64_t)(head >> 1);
        }
    }
    return 1;
}

/* 1 if `count` of them are there, otherwise 0. */
EXPORTED int64_t suimon_indexed(const uint8_t *page, int64_t length, int64_t width, const void *known, int64_t different,
                                int64_t bytes, int64_t count, void *into) {
    rest all = {page, page + length};
    int64_t whole = 0;
#define CALL(BYTES) whole = indexed(all, width, known, different, BYTES, count, into)
    OF_SIZE(bytes, CALL)
#undef CALL
    return whole;
}

INLINED int64_t summed_up(rest page, int64_t bytes, int64_t count, void *into) {
    uint64_t block, parts, total, value, least;
    if (!number(&page, &block) || !number(&page, &parts) || !number(&page, &total) || !signed_number(&page, &value))
        return 0;
    if (block != BLOCK || parts != 4 || total != (uint64_t)count)
        return 0;
    put(into, bytes, 0, value);
    for (int64_t i = 1; i < count;) {
        if (!signed_number(&page, &least) || page.end - page.next < 4)
            return 0;
        const uint8_t *widths = page.next;
        page.next += 4;
        for (int64_t part = 0; part < 4; part++) {
            int64_t width = widths[part], some = count - i < 32 ? count - i : 32;
            if (some && (width > 64 || page.end - page.next < 4 * width))
                return 0;
            for (int64_t n = 0; n < some; n++) {
                value += least + bits_at(page.next, n * width, width);
                put(into, bytes, i + n, value);
            }
            page.next += some ? 4 * width : 0, i += some;
        }
    }
    return 1;
}

/* DELTA_BINARY_PACKED as pages.c writes it; 1 if `count` (at least one) of them are there, otherwise 0. */
EXPORTED int64_t suimon_differences(const uint8_t *page, int64_t length, int64_t bytes, int64_t count, void *into) {
    rest all = {page, page + length};
    int64_t whole = 0;
#define CALL(BYTES) whole = summed_up(all, BYTES, count, into)
    OF_SIZE(bytes, CALL)
#undef CALL
    return whole;
}

/* From the last on, `have` of them go where something is there, and `none` where not; they begin where they end. */
EXPORTED void suimon_spread(uint32_t *values, int64_t have, const uint8_t *there, int64_t count, uint32_t none) {
    for (int64_t i = count; i-- > 0;)
        values[i] = there[i] ? values[--have] : none;
}

/* A column that others are put into order by, and what records have in it that part them, in order. */
typedef struct {
    const void *values;
    int64_t bytes;
} key;

/* Of each record how many of the `parts - 1` (at most 255) parting ones, by column, are not above it. */
EXPORTED void suimon_parted(const key *keys, int64_t columns, const uint64_t *parting, int64_t parts, int64_t count,
                            uint8_t *into) {
    for (int64_t i = 0; i < count; i++) {
        int64_t first = 0, last = parts - 1;
        for (int64_t column = 0; column < columns && first < last; column++) {
            uint64_t value = at(keys[column].values, keys[column].bytes, i);
            const uint64_t *these = parting + column * (parts - 1);
            int64_t low = first, some = last - first;
            while (some > 0) { /* The first that is not below. */
                int64_t half = some / 2;
                low += these[low + half] < value ? some - half : 0;
                some = half;
            }
            int64_t high = low;
            while (high < last && these[high] == value)
                high++;
            first = low, last = high;
        }
        into[i] = (uint8_t)last;
    }
}

/* Records go to where their part's next one goes. */
EXPORTED void suimon_places(const uint8_t *part, int64_t count, uint32_t *next, uint32_t *places) {
    for (int64_t i = 0; i < count; i++)
        places[i] = next[part[i]]++;
}

EXPORTED void suimon_scattered(const void *values, int64_t bytes, const uint32_t *places, int64_t count, void *into) {
#define CALL(BYTES)                                                                                                    \
    for (int64_t i = 0; i < count; i++)                                                                                \
    put(into, BYTES, places[i], at(values, BYTES, i))
    OF_SIZE(bytes, CALL)
#undef CALL
}

/* Each part in the order that its records have within it. */
EXPORTED void suimon_gathered(const void *values, int64_t bytes, const uint32_t *order, const int64_t *ends,
                              int64_t parts, void *into) {
    for (int64_t part = 0, begin = 0; part < parts; begin = ends[part++]) {
        const char *from = (const char *)values + begin * bytes;
#define CALL(BYTES)                                                                                                    \
    for (int64_t i = begin; i < ends[part]; i++)                                                                       \
    put(into, BYTES, i, at(from, BYTES, order[i]))
        OF_SIZE(bytes, CALL)
#undef CALL
    }
}

INLINED void by_digit(const void *values, int64_t bytes, int64_t shift, int64_t count, const uint32_t *from,
                      uint32_t *into) {
    uint32_t next[1 << DIGIT] = {0};
    for (int64_t i = 0; i < count; i++)
        next[at(values, bytes, i) >> shift & ((1 << DIGIT) - 1)]++;
    uint32_t before = 0;
    for (int64_t digit = 0; digit < 1 << DIGIT; digit++) {
        uint32_t some = next[digit];
        next[digit] = before, before += some;
    }
    for (int64_t i = 0; i < count; i++)
        into[next[at(values, bytes, from[i]) >> shift & ((1 << DIGIT) - 1)]++] = from[i];
}

INLINED uint64_t varying(const void *values, int64_t bytes, int64_t count) {
    uint64_t first = at(values, bytes, 0), found = 0;
    for (int64_t i = 1; i < count; i++)
        found |= at(values, bytes, i) ^ first;
    return found;
}

INLINED void ordered(const key *keys, int64_t columns, int64_t begin, int64_t count, uint32_t *order, uint32_t *spare) {
    uint32_t *from = order, *into = spare;
    for (int64_t i = 0; i < count; i++)
        from[i] = (uint32_t)i;
    for (int64_t column = columns; column-- > 0;) {
        int64_t bytes = keys[column].bytes;
        const void *values = (const char *)keys[column].values + begin * bytes;
        uint64_t bits = 0;
#define CALL(BYTES) bits = varying(values, BYTES, count)
        OF_SIZE(bytes, CALL)
#undef CALL
        for (int64_t shift = bits ? __builtin_ctzll(bits) : 64; shift < 64 && bits >> shift; shift += DIGIT) {
#define CALL(BYTES) by_digit(values, BYTES, shift, count, from, into)
            OF_SIZE(bytes, CALL)
#undef CALL
            uint32_t *swapped = from;
            from = into, into = swapped;
        }
    }
    if (from != order)
        memcpy(order, from, (size_t)count * sizeof *order);
}

/* The order of the records of each part by these columns, the first first; digit by digit, only of bits that aren't the
 * same in all. `spare` is as long as the longest part. */
EXPORTED void suimon_ordered(const key *keys, int64_t columns, const int64_t *ends, int64_t parts, uint32_t *order,
                             uint32_t *spare) {
    for (int64_t part = 0, begin = 0; part < parts; begin = ends[part++])
        if (ends[part] > begin)
            ordered(keys, columns, begin, ends[part] - begin, order + begin, spare);
}
