/* What detectors do with each record, in one pass over memory: folds.py says what each does, and does the same.
 *
 * Callers own all arrays, which have the lengths that are given; rows are theirs, and no stranger chooses a place.
 */
#include <string.h>

#include "../model/hashing.h"

#define EXPORTED __attribute__((visibility("default")))
#define SOON 8 /* So many records ahead memory is asked for that is likely to be far. */
#define AT_ONCE 512 /* Records that are hashed together: as many as stay in the nearest cache. */

typedef struct { /* Records as they came; folds.py has the same order. */
    const int32_t *port;
    const uint8_t *direction, *protocol, *tcp_flags;
    const double *begun, *ended;
    const uint32_t *sampling;
    const uint64_t *packets, *bytes;
    const uint16_t *source_port, *destination_port;
    const uint64_t *source_high, *source_low, *destination_high, *destination_low;
    const uint8_t *ip_version;
} told;

typedef struct { /* The same as detectors look at them; likewise. */
    int64_t *place;
    double *begun, *ended, *sampling, *packets, *bytes;
    uint64_t *key, *peer;
    uint32_t *kinds;
    uint16_t *own_l4, *peer_l4, *service;
    uint8_t *protocol, *flags, *out;
} seen;

typedef struct { /* What is asked for each record, in half a line of the cache. */
    uint64_t key;
    double ended, scale;
    int64_t turn; /* When it was asked for last. */
} row;

typedef struct { /* What brought a row in: likewise in folds.py. */
    double begun;
    uint64_t port, peer_high, peer_low;
    uint16_t own_l4, peer_l4;
    uint8_t protocol, out, ip_version, none;
} origin;

typedef struct {
    row *rows;
    origin *origins;
    int32_t *slots; /* Rows, -1 for none; a power of two, more than rows. */
    int64_t slot_count;
} table;

typedef struct {
    const double *values;
    int64_t metric[2]; /* Of records to the guest, and from it. */
} amount;

EXPORTED int64_t suimon_folds(void) { return 1; }

static inline uint64_t salted(uint64_t value, uint64_t salt) { /* As loops.c mixes. */
    return mixed(value * 0x9E3779B97F4A7C15u + salt);
}

/* `kinds` has the classes of each protocol, direction and flags; a class is a bit. Returns how many records are known. */
EXPORTED int64_t suimon_look(const told *t, int64_t count, const uint64_t *keys, int64_t ports, double clock,
                             double history, uint64_t salt, const uint32_t *kinds, uint32_t transport, const seen *s) {
    int64_t n = 0;
    for (int64_t i = 0; i < count; i++) {
        double begun = t->begun[i], ended = t->ended[i];
        int out = t->direction[i] == 1;
        if (t->port[i] < 0 || t->port[i] >= ports || (!out && t->direction[i] != 2) || !(ended > clock - history) ||
            !(ended <= clock + 1.0) || !(begun <= ended))
            continue;
        uint16_t source = t->source_port[i], destination = t->destination_port[i];
        uint8_t protocol = t->protocol[i], flags = t->tcp_flags[i] & 31;
        uint32_t kind = kinds[(protocol * 2 + out) * 32 + flags];
        double sampling = t->sampling[i] ? t->sampling[i] : 1.0;
        s->place[n] = i;
        s->begun[n] = begun;
        s->ended[n] = ended;
        s->sampling[n] = sampling;
        s->packets[n] = (double)t->packets[i] * sampling;
        s->bytes[n] = (double)t->bytes[i] * sampling;
        s->key[n] = keys[t->port[i]];
        s->peer[n] = out ? salted(t->destination_low[i], salted(t->destination_high[i], salt))
                         : salted(t->source_low[i], salted(t->source_high[i], salt));
        s->kinds[n] = kind;
        s->own_l4[n] = out ? source : destination;
        s->peer_l4[n] = out ? destination : source;
        s->service[n] = kind & transport ? s->peer_l4[n] : 0;
        s->protocol[n] = protocol;
        s->flags[n] = flags;
        s->out[n++] = (uint8_t)out;
    }
    return n;
}

/* Records of which those classes of `asked` hold that are in `wanted`, and whose transport port is marked, if any is. */
EXPORTED int64_t suimon_choose(const seen *s, int64_t count, uint32_t asked, uint32_t wanted, int64_t own,
                               const uint8_t *marks, int64_t *chosen) {
    const uint32_t *kinds = s->kinds;
    const uint16_t *l4 = own ? s->own_l4 : s->peer_l4;
    int64_t n = 0;
    if (marks)
        for (int64_t i = 0; i < count; i++) {
            chosen[n] = i;
            n += ((kinds[i] & asked) == wanted) & marks[l4[i]];
        }
    else
        for (int64_t i = 0; i < count; i++) {
            chosen[n] = i;
            n += (kinds[i] & asked) == wanted;
        }
    return n;
}

#define MIX(COLUMN)                                                                                                    \
    for (int64_t i = 0; i < some; i++)                                                                                 \
        into[i] = salted(COLUMN[from[i]], into[i]);                                                                     \
    break;

/* Each chosen record's port, mixed with those columns (as letters) one after the other. */
EXPORTED void suimon_hashes(const seen *s, const char *columns, const int64_t *chosen, int64_t count, uint64_t *found) {
    for (int64_t first = 0; first < count; first += AT_ONCE) {
        int64_t some = count - first < AT_ONCE ? count - first : AT_ONCE;
        const int64_t *from = chosen + first;
        uint64_t *into = found + first;
        for (int64_t i = 0; i < some; i++)
            into[i] = s->key[from[i]];
        for (const char *column = columns; *column; column++)
            switch (*column) {
            case 'p': MIX(s->peer)
            case 'o': MIX(s->own_l4)
            case 'l': MIX(s->peer_l4)
            case 's': MIX(s->service)
            case 't': MIX(s->protocol)
            case 'd': MIX(s->out)
            }
    }
}

static inline int64_t row_of(const table *t, uint64_t key) { /* Keys are hashes already. */
    uint64_t slot = key & (uint64_t)(t->slot_count - 1);
    while (t->slots[slot] >= 0 && t->rows[t->slots[slot]].key != key)
        slot = (slot + 1) & (uint64_t)(t->slot_count - 1);
    return t->slots[slot];
}

/* Of those that come soon: first where in the table each is, then its row. */
static inline void ahead(const table *t, const uint64_t *keys, int64_t i, int64_t count) {
    if (i + 2 * SOON < count)
        __builtin_prefetch(t->slots + (keys[i + 2 * SOON] & (uint64_t)(t->slot_count - 1)));
    if (i + SOON < count)
        __builtin_prefetch(t->rows + t->slots[keys[i + SOON] & (uint64_t)(t->slot_count - 1)]);
}

/* Those rows get these keys, and begin with these records; the rows that are `held` have keys then, and no others. */
EXPORTED void suimon_claim(const table *t, const told *from, const seen *s, const int64_t *rows, const int64_t *records,
                           const uint64_t *keys, int64_t count, const int64_t *held, int64_t held_count) {
    for (int64_t i = 0; i < count; i++) {
        int64_t at = records[i], place = s->place[at];
        int out = s->out[at];
        t->rows[rows[i]] = (row){keys[i], s->ended[at], s->sampling[at], 0};
        t->origins[rows[i]] = (origin){
            s->begun[at],
            s->key[at],
            (out ? from->destination_high : from->source_high)[place],
            (out ? from->destination_low : from->source_low)[place],
            s->own_l4[at],
            s->peer_l4[at],
            s->protocol[at],
            (uint8_t)out,
            from->ip_version[place],
            0,
        };
    }
    memset(t->slots, 0xFF, (size_t)t->slot_count * sizeof *t->slots);
    for (int64_t i = 0; i < held_count; i++) {
        uint64_t slot = t->rows[held[i]].key & (uint64_t)(t->slot_count - 1);
        while (t->slots[slot] >= 0)
            slot = (slot + 1) & (uint64_t)(t->slot_count - 1);
        t->slots[slot] = (int32_t)held[i];
    }
}

/* Each chosen record's row, -1 for none; of the rows which they are and where each is first; which records have none. */
EXPORTED void suimon_rows(const table *t, int64_t turn, const seen *s, const int64_t *chosen, const uint64_t *keys,
                          int64_t count, int64_t *rows, int64_t *own, int64_t *first, int64_t *missed, int64_t *counts) {
    int64_t held = 0, lacking = 0;
    for (int64_t i = 0; i < count; i++) {
        ahead(t, keys, i, count);
        int64_t at = rows[i] = row_of(t, keys[i]), record = chosen[i];
        if (at < 0) {
            missed[lacking++] = i;
            continue;
        }
        row *its = t->rows + at;
        if (its->turn != turn) {
            its->turn = turn;
            own[held] = at;
            first[held++] = i;
            if (its->scale < s->sampling[record])
                its->scale = s->sampling[record];
        }
        if (its->ended < s->ended[record])
            its->ended = s->ended[record];
    }
    counts[0] = held;
    counts[1] = lacking;
}

/* Of the chosen records those whose key has a row, and it. */
EXPORTED int64_t suimon_known(const table *t, const int64_t *chosen, const uint64_t *keys, int64_t count, int64_t *found,
                              int64_t *rows) {
    int64_t n = 0;
    for (int64_t i = 0; i < count; i++) {
        ahead(t, keys, i, count);
        int64_t at = row_of(t, keys[i]);
        found[n] = chosen[i];
        rows[n] = at;
        n += at >= 0;
    }
    return n;
}

static inline int64_t begins(const seen *s, int64_t record) { /* Times before 1970 are of that second. */
    return s->begun[record] > 0.0 ? (int64_t)s->begun[record] : 0;
}

/* The last second that it has a share in: what ends as one begins has none in it, unless it began there. */
static inline int64_t ends(const seen *s, int64_t record) {
    int64_t whole = (int64_t)s->ended[record], last = whole - (s->ended[record] <= (double)whole);
    int64_t first = begins(s, record);
    return last > first ? last : first;
}

/* `cell_count` is a power of two; `most` grows by each cell that is hit anew. */
EXPORTED void suimon_add(uint32_t *cells, int64_t cell_count, int64_t *most, const int64_t *rows, const seen *s,
                         const int64_t *chosen, const uint64_t *things, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        if (i + SOON < count && rows[i + SOON] >= 0)
            __builtin_prefetch(cells + rows[i + SOON] * cell_count + (things[i + SOON] & (uint64_t)(cell_count - 1)), 1);
        if (rows[i] < 0)
            continue;
        uint32_t *cell = cells + rows[i] * cell_count + (things[i] & (uint64_t)(cell_count - 1));
        uint32_t at = (uint32_t)(ends(s, chosen[i]) + 1);
        if (*cell < at) {
            *cell = at;
            most[rows[i]]++;
        }
    }
}

/* Rows of which `most` is 0 are clear. */
EXPORTED void suimon_clear(uint32_t *cells, int64_t cell_count, int64_t *most, const int64_t *rows, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if (most[rows[i]]) {
            memset(cells + rows[i] * cell_count, 0, (size_t)cell_count * sizeof *cells);
            most[rows[i]] = 0;
        }
}

static inline void laid(float *cell, double *most, double much) {
    float before = *cell;
    *cell = before + (float)much;
    *most += (double)*cell - (double)before;
}

/* Amounts of records, each laid evenly over its seconds from `oldest` on, of a ring of `slots` seconds; a second is of
 * all rows, as the same few are added to by all. `most` of each metric grows by what is added. Those within a second
 * come first, as numpy does it: sums of floats depend on their order. */
EXPORTED void suimon_lay(float *ring, double *most, int64_t slots, int64_t row_count, int64_t metrics, int64_t oldest,
                         const int64_t *rows, const seen *s, const int64_t *chosen, int64_t count, const amount *amounts,
                         int64_t amount_count) {
    for (int longer = 0; longer < 2; longer++)
        for (int64_t i = 0; i < count; i++) {
            if (rows[i] < 0)
                continue;
            int64_t record = chosen[i], first = begins(s, record), last = ends(s, record);
            if (last < oldest || (first < last) != longer)
                continue;
            double begun = s->begun[record], ended = s->ended[record];
            int64_t since = first > oldest ? first : oldest, slot = since % slots;
            for (int64_t second = since; second <= last && second < since + slots; second++) {
                double from = begun > (double)second ? begun : (double)second;
                double to = ended < (double)(second + 1) ? ended : (double)(second + 1);
                double share = longer ? (to - from) / (ended - begun) : 1.0;
                for (int64_t a = 0; a < amount_count; a++) {
                    int64_t metric = amounts[a].metric[s->out[record]];
                    laid(ring + (slot * row_count + rows[i]) * metrics + metric, most + rows[i] * metrics + metric,
                         amounts[a].values[i] * share);
                }
                slot = slot + 1 < slots ? slot + 1 : 0;
            }
        }
}
