/* Columns as Parquet has them, in one or two passes over each: pages.py says what is done, and does it without these.
 *
 * Callers own all arrays, which have the lengths that are given; nothing here is told a place by strangers.
 */
#include <string.h>

#include "../../model/elements.h"

#define EXPORTED __attribute__((visibility("default")))
#ifdef __x86_64__
#define CLONED __attribute__((target_clones("avx2", "default"))) /* Extremes of four or more numbers at once. */
#else
#define CLONED
#endif
#define BLOCK 128 /* Differences that have one least, in four parts that have one width. */
#define SPAN (1 << 16) /* Where so many numbers are possible, each has a place in a table. */
#define NONE 0xFFFFu
#define SLOTS (1 << 13) /* Twice `most`, by the 13 highest bits of a product. */

EXPORTED int64_t suimon_pages(void) { return SOURCE; }

/* What is found of a column; numbers have the bits that their type has. */
typedef struct {
    uint64_t least, greatest;
    int64_t different; /* 0 when they are more than `most`. */
} found;

/* `flip` has the sign's bit when there is one: with it signed numbers are in order. */
INLINED void range(const void *values, int64_t bytes, uint64_t flip, int64_t count, found *told) {
    uint64_t least = ~(uint64_t)0, greatest = 0;
    for (int64_t i = 0; i < count; i++) {
        uint64_t value = at(values, bytes, i) ^ flip;
        least = value < least ? value : least;
        greatest = value > greatest ? value : greatest;
    }
    told->least = least ^ flip, told->greatest = greatest ^ flip;
}

/* Which of the different numbers each is, by a table of all that are possible. */
INLINED int64_t by_place(const void *values, int64_t bytes, int64_t count, const found *told, int64_t most,
                         uint64_t *known, uint32_t *which) {
    uint16_t places[SPAN];
    memset(places, 0xFF, (told->greatest - told->least + 1) * sizeof *places);
    int64_t different = 0;
    for (int64_t i = 0; i < count; i++) {
        uint64_t value = at(values, bytes, i);
        uint16_t *place = places + (value - told->least);
        if (*place == NONE) {
            if (different == most)
                return 0;
            known[different] = value;
            *place = (uint16_t)different++;
        }
        which[i] = *place;
    }
    return different;
}

/* The same by a hash table. `odd` is nobody's to know: any pair of numbers meets by it as rarely as others. */
INLINED int64_t by_hash(const void *values, int64_t bytes, int64_t count, int64_t most, uint64_t odd, uint64_t *known,
                        uint32_t *which) {
    uint16_t slots[SLOTS];
    memset(slots, 0xFF, sizeof slots);
    int64_t different = 0;
    for (int64_t i = 0; i < count; i++) {
        uint64_t value = at(values, bytes, i), slot = value * odd >> 51;
        while (slots[slot] != NONE && known[slots[slot]] != value)
            slot = (slot + 1) % SLOTS;
        if (slots[slot] == NONE) {
            if (different == most)
                return 0;
            known[different] = value;
            slots[slot] = (uint16_t)different++;
        }
        which[i] = slots[slot];
    }
    return different;
}

INLINED void look(const void *values, int64_t bytes, uint64_t flip, int64_t count, int64_t most, uint64_t odd,
                  uint64_t *known, uint32_t *which, found *told) {
    range(values, bytes, flip, count, told);
    known[0] = told->least;
    if (told->least == told->greatest)
        told->different = 1; /* `which` isn't asked for. */
    else if (told->greatest - told->least < SPAN)
        told->different = by_place(values, bytes, count, told, most, known, which);
    else
        told->different = by_hash(values, bytes, count, most, odd, known, which);
}

/* The least, the greatest, and if they are at most `most` (4096) the different numbers, as they come, and which of them
 * each is. There is at least one. */
EXPORTED CLONED void suimon_look(const void *values, int64_t bytes, uint64_t flip, int64_t count, int64_t most, uint64_t odd,
                          uint64_t *known, uint32_t *which, found *told) {
    switch (bytes) {
    case 1: look(values, 1, flip, count, most, odd, known, which, told); break;
    case 2: look(values, 2, flip, count, most, odd, known, which, told); break;
    case 4: look(values, 4, flip, count, most, odd, known, which, told); break;
    default: look(values, 8, flip, count, most, odd, known, which, told);
    }
}

/* What a table says of each key; those of which it says -1 or nothing are only not `there`. How many are. */
EXPORTED int64_t suimon_told(const uint32_t *keys, int64_t count, const int32_t *table, int64_t length, uint8_t *there,
                             uint32_t *which) {
    int64_t left = 0;
    for (int64_t i = 0; i < count; i++) {
        int32_t said = keys[i] < length ? table[keys[i]] : -1;
        which[left] = (uint32_t)said;
        there[i] = said >= 0;
        left += said >= 0;
    }
    return left;
}

/* Which of so many there is a key of; other keys are passed by. */
EXPORTED void suimon_mark(const uint32_t *keys, int64_t count, uint8_t *marks, int64_t length) {
    for (int64_t i = 0; i < count; i++)
        if (keys[i] < length)
            marks[keys[i]] = 1;
}

/* 32 numbers of so many bits, the first in the lowest. */
#define PACKED(NAME, TYPE, WIDE, HALF)                                                                                 \
    INLINED uint8_t *NAME(const TYPE *values, int64_t width, uint8_t *into) {                                          \
        WIDE held = 0;                                                                                                 \
        int64_t bits = 0;                                                                                              \
        _Pragma("GCC unroll 32") for (int64_t i = 0; i < 32; i++) {                                                    \
            held |= (WIDE)values[i] << bits;                                                                           \
            bits += width;                                                                                             \
            if (bits >= 8 * (int64_t)sizeof(HALF)) {                                                                   \
                HALF low = (HALF)held;                                                                                 \
                memcpy(into, &low, sizeof low);                                                                        \
                into += sizeof low, bits -= 8 * (int64_t)sizeof low, held >>= 8 * sizeof low;                          \
            }                                                                                                          \
        }                                                                                                              \
        memcpy(into, &held, (size_t)bits / 8);                                                                         \
        return into + bits / 8;                                                                                        \
    }

PACKED(packed_words, uint32_t, uint64_t, uint32_t)
PACKED(packed_longs, uint64_t, unsigned __int128, uint64_t)

#define WIDTH(N)                                                                                                       \
    case N: return packed_words(values, N, into);
#define WIDTHS(N) WIDTH(N) WIDTH(N + 1) WIDTH(N + 2) WIDTH(N + 3) WIDTH(N + 4) WIDTH(N + 5) WIDTH(N + 6) WIDTH(N + 7)

/* A width that the compiler knows is packed several times faster. */
static uint8_t *words(const uint32_t *values, int64_t width, uint8_t *into) {
    switch (width) {
        WIDTHS(1)
        WIDTHS(9)
        WIDTHS(17)
        WIDTHS(25)
    }
    return into;
}

/* `width` is 1 to 32; there is room for a multiple of 32 numbers, and zeros are put behind the last. */
EXPORTED void suimon_packed(const uint32_t *values, int64_t count, int64_t width, uint8_t *into) {
    int64_t whole = count - count % 32;
    for (int64_t i = 0; i < whole; i += 32)
        into = words(values + i, width, into);
    if (count > whole) {
        uint32_t last[32] = {0};
        memcpy(last, values + whole, (size_t)(count - whole) * sizeof *last);
        words(last, width, into);
    }
}

INLINED uint8_t *number(uint64_t value, uint8_t *into) { /* ULEB128. */
    for (; value > 0x7F; value >>= 7)
        *into++ = (uint8_t)(value | 0x80);
    *into++ = (uint8_t)value;
    return into;
}

INLINED uint8_t *signed_number(int64_t value, uint8_t *into) {
    return number((uint64_t)value << 1 ^ (uint64_t)(value >> 63), into);
}

/* 32 differences from the least, in as few bits as they have. */
INLINED uint8_t *part_of_words(const uint32_t *above, uint8_t *width, uint8_t *into) {
    uint32_t all = 0;
    for (int64_t n = 0; n < 32; n++)
        all |= above[n];
    *width = (uint8_t)(all ? 32 - __builtin_clz(all) : 0);
    return all ? words(above, *width, into) : into;
}

INLINED uint8_t *part_of_longs(const uint64_t *above, uint8_t *width, uint8_t *into) {
    uint64_t all = 0;
    for (int64_t n = 0; n < 32; n++)
        all |= above[n];
    if (all >> 32) {
        *width = (uint8_t)(64 - __builtin_clzll(all));
        return packed_longs(above, *width, into);
    }
    uint32_t few[32];
    for (int64_t n = 0; n < 32; n++)
        few[n] = (uint32_t)above[n];
    return part_of_words(few, width, into);
}

#define DELTAS(NAME, SIGNED, UNSIGNED, MOST, PART)                                                                     \
    INLINED uint8_t *NAME(const void *values, int64_t bytes, int64_t count, uint8_t *into) {                           \
        into = signed_number((SIGNED)at(values, bytes, 0), into);                                                      \
        for (int64_t i = 1; i < count; i += BLOCK) {                                                                   \
            int64_t some = count - i < BLOCK ? count - i : BLOCK;                                                      \
            SIGNED least = MOST;                                                                                       \
            UNSIGNED steps[BLOCK];                                                                                     \
            for (int64_t n = 0; n < some; n++) {                                                                       \
                steps[n] = (UNSIGNED)at(values, bytes, i + n) - (UNSIGNED)at(values, bytes, i + n - 1);                \
                least = (SIGNED)steps[n] < least ? (SIGNED)steps[n] : least;                                           \
            }                                                                                                          \
            for (int64_t n = 0; n < BLOCK; n++)                                                                        \
                steps[n] = n < some ? steps[n] - (UNSIGNED)least : 0;                                                  \
            into = signed_number(least, into);                                                                         \
            uint8_t *widths = into;                                                                                    \
            into += 4;                                                                                                 \
            for (int64_t part = 0; part < 4; part++)                                                                   \
                into = PART(steps + part * 32, widths + part, into);                                                   \
        }                                                                                                              \
        return into;                                                                                                   \
    }

DELTAS(deltas_of_words, int32_t, uint32_t, INT32_MAX, part_of_words)
DELTAS(deltas_of_longs, int64_t, uint64_t, INT64_MAX, part_of_longs)

/* DELTA_BINARY_PACKED, of numbers that the file has in 64 bits when here, too, and in 32 when in fewer. Takes at most 32
 * bytes and 14 + 8 * BLOCK for each block; returns how many. */
EXPORTED CLONED int64_t suimon_deltas(const void *values, int64_t bytes, int64_t count, uint8_t *into) {
    uint8_t *at = number((uint64_t)count, number(4, number(BLOCK, into)));
    switch (bytes) {
    case 1: return deltas_of_words(values, 1, count, at) - into;
    case 2: return deltas_of_words(values, 2, count, at) - into;
    case 4: return deltas_of_words(values, 4, count, at) - into;
    default: return deltas_of_longs(values, 8, count, at) - into;
    }
}

/* What Thrift's compact protocol has for a field: its distance from the one before, and its kind. */
enum { INT = 5, LONG = 6, BYTES = 8, LIST = 9, STRUCT = 12 };
/* Parquet's numbers, as parquet.py has them. */
enum { PLAIN = 0, RLE = 3, DELTAS = 5, INDEXES = 8, DATA_PAGE = 0, DICTIONARY_PAGE = 2 };
#define HEAD 64 /* More than the head of a page takes. */

/* A column chunk: its type, its name, and where in the file it begins. */
typedef struct {
    int64_t physical;
    const uint8_t *name;
    int64_t name_bytes, at;
} chunk;

/* What became of it: so many bytes of pages, and then what the file's end says of it. */
typedef struct {
    int64_t pages, said;
} made;

INLINED uint8_t *head_of(int64_t step, int64_t kind, uint8_t *into) {
    *into++ = (uint8_t)(step << 4 | kind);
    return into;
}

INLINED uint8_t *stated(int64_t step, int64_t kind, int64_t value, uint8_t *into) { /* None is negative. */
    return number((uint64_t)value << 1, head_of(step, kind, into));
}

/* `count` is that of a data page's rows, or of a dictionary's entries. */
static uint8_t *page_head(int64_t kind, int64_t size, int64_t count, int64_t encoding, uint8_t *into) {
    into = stated(1, INT, size, stated(1, INT, size, stated(1, INT, kind, into)));
    into = head_of(kind == DATA_PAGE ? 2 : 4, STRUCT, into);
    into = stated(1, INT, encoding, stated(1, INT, count, into));
    if (kind == DATA_PAGE)
        into = stated(1, INT, RLE, stated(1, INT, RLE, into));
    *into++ = 0, *into++ = 0;
    return into;
}

/* What the file's end says of pages of so many bytes, the last of which is `data` behind the first. */
static uint8_t *about(const chunk *of, int64_t rows, int64_t bytes, int64_t data, int64_t has_known, const found *extremes,
                      uint8_t *into) {
    into = head_of(1, STRUCT, stated(2, LONG, of->at, into));
    into = head_of(1, LIST, stated(1, INT, of->physical, into));
    if (has_known) {
        into = head_of(3, INT, into), into = number(PLAIN << 1, into), into = number(RLE << 1, into);
        into = number(INDEXES << 1, into);
    } else {
        into = number(DELTAS << 1, head_of(1, INT, into));
    }
    into = number((uint64_t)of->name_bytes, head_of(1, BYTES, head_of(1, LIST, into)));
    memcpy(into, of->name, (size_t)of->name_bytes);
    into = stated(1, INT, 0, into + of->name_bytes);
    into = stated(1, LONG, bytes, stated(1, LONG, bytes, stated(1, LONG, rows, into)));
    into = stated(2, LONG, of->at + data, into);
    if (has_known)
        into = stated(2, LONG, of->at, into);
    if (extremes) {
        int64_t wide = of->physical == 1 ? 4 : 8; /* Little endian, as processors are that have this compiled. */
        into = stated(3, LONG, 0, head_of(has_known ? 1 : 3, STRUCT, into));
        into = number((uint64_t)wide, head_of(2, BYTES, into));
        memcpy(into, &extremes->greatest, (size_t)wide);
        into = number((uint64_t)wide, head_of(1, BYTES, into + wide));
        memcpy(into, &extremes->least, (size_t)wide);
        into += wide;
        *into++ = 0;
    }
    *into++ = 0, *into++ = 0;
    return into;
}

INLINED int64_t width_of(int64_t different) { return different > 2 ? 64 - __builtin_clzll((uint64_t)different - 1) : 1; }

/* Of indexes of that width: how they begin, when they are more than of one number. */
INLINED uint8_t *bits_head(int64_t width, int64_t count, uint8_t *into) {
    *into++ = (uint8_t)width;
    return number((uint64_t)(count + 7) / 8 << 1 | 1, into);
}

/* All are the first. */
INLINED uint8_t *same(int64_t count, uint8_t *into) {
    *into++ = 1;
    into = number((uint64_t)count << 1, into);
    *into++ = 0;
    return into;
}

/* A column of numbers. `into` has room for `most` of 8 bytes and for what suimon_deltas says, and 512 bytes and the name
 * besides. */
EXPORTED void suimon_numbers(int64_t physical, const uint8_t *name, int64_t name_bytes, int64_t from, const void *values,
                             int64_t bytes, uint64_t flip, int64_t rows, int64_t most, uint64_t odd, uint64_t *known,
                             uint32_t *which, uint8_t *into, made *told) {
    chunk of = {physical, name, name_bytes, from};
    found extremes;
    suimon_look(values, bytes, flip, rows, most, odd, known, which, &extremes);
    uint8_t head[HEAD], *at = into, *data = into;
    int64_t different = extremes.different, wide = physical == 1 ? 4 : 8, width = width_of(different);
    if (different) {
        at = page_head(DICTIONARY_PAGE, different * wide, different, PLAIN, into);
        for (int64_t n = 0; n < different; n++, at += wide)
            memcpy(at, known + n, (size_t)wide);
        data = at;
        uint8_t *end = different > 1 ? bits_head(width, rows, head) : same(rows, head);
        int64_t packed = different > 1 ? (rows + 7) / 8 * width : 0;
        at = page_head(DATA_PAGE, end - head + packed, rows, INDEXES, at);
        memcpy(at, head, (size_t)(end - head));
        at += end - head;
        if (packed)
            suimon_packed(which, rows, width, at);
        at += packed;
    } else {
        int64_t guessed = page_head(DATA_PAGE, rows, rows, DELTAS, head) - head;
        int64_t size = suimon_deltas(values, bytes, rows, into + guessed);
        int64_t length = page_head(DATA_PAGE, size, rows, DELTAS, head) - head;
        if (length != guessed)
            memmove(into + length, into + guessed, (size_t)size);
        memcpy(into, head, (size_t)length);
        at = into + length + size;
    }
    told->pages = at - into;
    told->said = about(&of, rows, at - into, data - into, different > 0, &extremes, at) - at;
}

/* Packs what the table says of each key, without those of which it says nothing; how many are left. */
INLINED int64_t indexes(const uint32_t *keys, int64_t count, const int32_t *table, int64_t length, int64_t width,
                        uint8_t *into) {
    uint32_t held[32];
    int64_t some = 0, left = 0;
    for (int64_t i = 0; i < count; i++) {
        int32_t said = keys[i] < length ? table[keys[i]] : -1;
        held[some] = (uint32_t)said;
        some += said >= 0;
        if (some == 32) {
            into = words(held, width, into);
            left += some, some = 0;
        }
    }
    memset(held + some, 0, (size_t)(32 - some) * sizeof *held);
    if (some)
        words(held, width, into);
    return left + some;
}

INLINED void there(const uint32_t *keys, int64_t count, const int32_t *table, int64_t length, uint8_t *bits) {
    memset(bits, 0, (size_t)(count + 7) / 8);
    for (int64_t i = 0; i < count; i++)
        bits[i / 8] |= (uint8_t)((keys[i] < length && table[keys[i]] >= 0) << i % 8);
}

/* A column of texts, of which there are so many `known` in a dictionary's `page`: which of them each row has, the table
 * says of its key. `into` has room for the page, for 33 bits a row, and 512 bytes and the name besides. */
EXPORTED void suimon_texts(int64_t physical, const uint8_t *name, int64_t name_bytes, int64_t from, const uint32_t *keys,
                           int64_t rows, const int32_t *table, int64_t length, int64_t known, const uint8_t *page,
                           int64_t page_bytes, uint8_t *into, made *told) {
    chunk of = {physical, name, name_bytes, from};
    uint8_t *data = page_head(DICTIONARY_PAGE, page_bytes, known, PLAIN, into), *at;
    memcpy(data, page, (size_t)page_bytes);
    data += page_bytes;
    int64_t width = width_of(known), left = rows, found;
    for (;; left = found) { /* Mostly all rows have a text. */
        uint8_t run[HEAD], levels[HEAD];
        int64_t bits = left < rows ? (rows + 7) / 8 : 0, packed = known == 1 ? 0 : (left + 7) / 8 * width;
        uint8_t *run_end = known == 1 ? same(left, run) : bits_head(width, left, run), *levels_end;
        if (bits) {
            levels_end = number((uint64_t)bits << 1 | 1, levels);
        } else {
            levels_end = number((uint64_t)rows << 1, levels);
            *levels_end++ = 1;
        }
        uint32_t size = (uint32_t)(levels_end - levels + bits);
        at = page_head(DATA_PAGE, (int64_t)sizeof size + size + (run_end - run) + packed, rows, INDEXES, data);
        memcpy(at, &size, sizeof size);
        memcpy(at + sizeof size, levels, (size_t)(levels_end - levels));
        at += sizeof size + (size_t)(levels_end - levels);
        there(keys, bits ? rows : 0, table, length, at);
        memcpy(at + bits, run, (size_t)(run_end - run));
        at += bits + (run_end - run);
        found = indexes(keys, rows, table, length, width, at);
        at += packed;
        if (found == left)
            break;
    }
    told->pages = at - into;
    told->said = about(&of, rows, at - into, data - into, 1, 0, at) - at;
}

INLINED double bounded(double value, double most) { return value < 0 ? 0 : value > most ? most : value; }

/* Seconds of UTC to milliseconds, and how long it was; see columns.py. */
EXPORTED void suimon_times(const double *begun, const double *ended, int64_t count, double latest, double longest,
                           int64_t *begun_ms, uint32_t *duration_ms) {
    for (int64_t i = 0; i < count; i++) {
        begun_ms[i] = (int64_t)bounded(begun[i] * 1000, latest);
        duration_ms[i] = (uint32_t)(int64_t)bounded((ended[i] - begun[i]) * 1000, longest);
    }
}
