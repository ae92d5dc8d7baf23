/* What detectors do with each record, in few passes over memory: folds.py says what each does, and does the same.
 *
 * Callers own all arrays, which have the lengths that are given; rows are theirs, and no stranger chooses a place.
 * What is made once for many steps, as folds and tables are, has the places of its arrays in it.
 */
#include <string.h>

#include "../model/hashing.h"

#define EXPORTED __attribute__((visibility("default")))
#define SOON 8 /* So many records ahead memory is asked for that is likely to be far. */
#define AT_ONCE 512 /* Records that are looked at together: as many as stay in the nearest cache. */
#define MOST_AMOUNTS 4
#define WHO_BYTES 8192
#define REMEMBERED 256 /* For so many claims. */

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

typedef struct { /* The same as detectors look at them, likewise: what is asked for of one is in one line of the cache. */
    double begun, ended, packets, bytes;
    uint64_t key, peer;
    uint32_t sampling;
    uint16_t service;
    uint8_t protocol, flags, ip_version, out, none[6];
} looked;

typedef struct {
    looked *of;
    uint32_t *kinds; /* These are asked for of all. */
    uint16_t *own_l4, *peer_l4, *who;
    uint64_t *peer_high, *peer_low; /* And these of hardly any. */
} seen;

typedef struct { /* How they are looked at; likewise. */
    const uint64_t *keys; /* Of each port. */
    int64_t ports;
    double oldest, latest, several;
    uint64_t salt;
    const uint32_t *kinds; /* The classes of each protocol, direction, flags, and few packets or several; as bits. */
    uint64_t transport;
} look;

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
    uint32_t *slots; /* A power of two, more than rows, which are fewer than 65,536; 0 for none. */
    int64_t slot_count;
    uint8_t *who; /* Marks those who have a row, a bit each, and may still mark some who had one. */
    int64_t claims;
} table;

typedef struct { /* What a hash is of: of something, then of columns, one after the other. */
    uint64_t of; /* The record's port, its peer, or its key. */
    char letters[8];
    uint64_t plus;
} recipe;

typedef struct { /* Cells of rows that things hit. */
    uint32_t *cells;
    int64_t cell_count; /* A power of two. */
    int64_t *most; /* Grows by each cell that is hit anew. */
    recipe thing;
} hits;

typedef struct {
    uint64_t column; /* Packets, bytes, or the packets that were really seen. */
    uint64_t kinds; /* Only of records of these classes. */
    int64_t metric[2]; /* Of records to the guest, and from it. */
} amount;

typedef struct { /* Which records a detector takes, by what key, and what they add to its rows. */
    uint64_t asked, wanted; /* Of those classes these and no others. */
    const uint8_t *own, *peer; /* Transport ports that are marked, a bit each, if any are. */
    recipe key;
    const table *t;
    int64_t known; /* Only records of keys that have rows. */
    const hits *hit;
    int64_t hit_count;
    float *ring; /* Amounts by second, row and metric. */
    double *most; /* Of each row and metric; grows by what is added. */
    int64_t slots, row_count, metrics; /* Slots are a power of two. */
    const amount *amounts;
    int64_t amount_count;
} fold;

typedef struct { /* What a fold finds: room for all records that are seen. */
    int64_t *chosen, *rows, *own, *first, *missed;
    uint64_t *keys;
    int64_t *counts; /* Chosen, own, missed; and one more than the highest row that an amount was added to. */
} found;

EXPORTED int64_t suimon_folds(void) { return SOURCE; }

static inline uint64_t salted(uint64_t value, uint64_t salt) { /* As loops.c mixes. */
    return mixed(value * 0x9E3779B97F4A7C15u + salt);
}

/* A port and a protocol, as far as there is room for them. */
static inline uint16_t who(uint64_t port, uint8_t protocol) { return (uint16_t)(port + protocol * 0x9E37u); }

/* Records go behind the `n` that are there. Returns how many are known then. What is read and written is copied first:
 * for all the compiler knows, bytes that are written could be places of the rest. */
EXPORTED int64_t suimon_look(const told *from, int64_t count, const look *how, const seen *into, int64_t n) {
    const told t = *from;
    const look l = *how;
    const seen s = *into;
    const uint64_t *const high[2] = {t.source_high, t.destination_high};
    const uint64_t *const low[2] = {t.source_low, t.destination_low};
    const uint16_t *const l4[2] = {t.source_port, t.destination_port};
    for (int64_t i = 0; i < count; i++) {
        double begun = t.begun[i], ended = t.ended[i];
        int out = t.direction[i] == 1;
        if (t.port[i] < 0 || t.port[i] >= l.ports || (uint8_t)(t.direction[i] - 1) > 1 || !(ended > l.oldest) ||
            !(ended <= l.latest) || !(begun <= ended))
            continue;
        uint8_t protocol = t.protocol[i], flags = t.tcp_flags[i] & 31;
        double sampling = t.sampling[i] ? t.sampling[i] : 1.0, packets = (double)t.packets[i] * sampling;
        uint32_t kind = l.kinds[((protocol * 2 + out) * 32 + flags) * 2 + (packets >= l.several)];
        uint16_t peer_l4 = l4[out][i];
        s.of[n] = (looked){
            begun,
            ended,
            packets,
            (double)t.bytes[i] * sampling,
            l.keys[t.port[i]],
            salted(low[out][i], salted(high[out][i], l.salt)),
            t.sampling[i] ? t.sampling[i] : 1,
            kind & l.transport ? peer_l4 : 0,
            protocol,
            flags,
            t.ip_version[i],
            (uint8_t)out,
            {0},
        };
        s.kinds[n] = kind;
        s.own_l4[n] = l4[1 - out][i];
        s.peer_l4[n] = peer_l4;
        s.who[n] = who(s.of[n].key, protocol);
        s.peer_high[n] = high[out][i];
        s.peer_low[n++] = low[out][i];
    }
    return n;
}

static inline int marked(const uint8_t *marks, uint16_t which) {
    return !marks || marks[which >> 3] >> (which & 7) & 1;
}

/* Of the records from `from` to `until` those that the fold takes. Branches would be guessed wrongly too often. */
static int64_t choose(const fold *f, const seen *s, int64_t from, int64_t until, int64_t *chosen) {
    uint32_t asked = (uint32_t)f->asked, wanted = (uint32_t)f->wanted;
    const uint32_t *kinds = s->kinds;
    int64_t n = 0, kept = 0;
    for (int64_t i = from; i < until; i++) {
        chosen[n] = i;
        n += (kinds[i] & asked) == wanted;
    }
    const uint8_t *asked_of = f->known ? f->t->who : 0;
    if (!f->own && !f->peer && !asked_of)
        return n;
    for (int64_t i = 0; i < n; i++) {
        int64_t record = chosen[i];
        chosen[kept] = record;
        kept += marked(f->own, s->own_l4[record]) & marked(f->peer, s->peer_l4[record]) &
                marked(asked_of, s->who[record]);
    }
    return kept;
}

#define MIX(VALUE)                                                                                                     \
    for (int64_t i = 0; i < count; i++)                                                                                \
        found[i] = salted(VALUE, found[i]);                                                                            \
    break;

/* Those of at most AT_ONCE chosen records; `keys` are theirs. */
static void hash(const seen *s, const recipe *r, const int64_t *chosen, const uint64_t *keys, int64_t count,
                 uint64_t *found) {
    for (int64_t i = 0; i < count; i++)
        found[i] = r->of == 0 ? s->of[chosen[i]].key : r->of == 1 ? s->of[chosen[i]].peer : keys[i];
    for (const char *letter = r->letters; *letter; letter++)
        switch (*letter) {
        case 'p': MIX(s->of[chosen[i]].peer)
        case 'o': MIX(s->own_l4[chosen[i]])
        case 'l': MIX(s->peer_l4[chosen[i]])
        case 's': MIX(s->of[chosen[i]].service)
        case 't': MIX(s->of[chosen[i]].protocol)
        case 'd': MIX(s->of[chosen[i]].out)
        case 'O': MIX((uint64_t)s->own_l4[chosen[i]] * 2 + s->of[chosen[i]].out)
        case 'L': MIX((uint64_t)s->peer_l4[chosen[i]] * 2 + s->of[chosen[i]].out)
        }
    for (int64_t i = 0; i < count; i++)
        found[i] += r->plus;
}

/* Keys are hashes already. A slot has a row's number from 1 on, and above it as much of its key as there is room for,
 * so that hardly any row is read but the right one. */
static inline uint32_t slot_of(uint64_t key, int64_t at) { return (uint32_t)(key >> 48) << 16 | (uint32_t)(at + 1); }

static inline int64_t row_of(const table *t, uint64_t key) {
    uint64_t mask = (uint64_t)(t->slot_count - 1);
    for (uint64_t at = key & mask; t->slots[at]; at = (at + 1) & mask)
        if (t->slots[at] >> 16 == key >> 48 && t->rows[(t->slots[at] & 0xFFFF) - 1].key == key)
            return (t->slots[at] & 0xFFFF) - 1;
    return -1;
}

/* Of those that come soon: first where in the table each is, then its row, if that looks like it. */
static inline void ahead(const table *t, const uint64_t *keys, int64_t i, int64_t count) {
    uint64_t mask = (uint64_t)(t->slot_count - 1);
    if (i + 2 * SOON < count)
        __builtin_prefetch(t->slots + (keys[i + 2 * SOON] & mask));
    if (i + SOON < count) {
        uint32_t slot = t->slots[keys[i + SOON] & mask];
        __builtin_prefetch(t->rows + (slot ? (slot & 0xFFFF) - 1 : 0));
    }
}

/* Which records it takes, their keys and rows, -1 for none; which rows those are, each once, and where each is first;
 * and which of the taken have none. Of a fold of `known` records only those, and nothing about rows. */
EXPORTED void suimon_find(const fold *f, const seen *s, int64_t count, int64_t turn, found *r) {
    const table t = *f->t;
    int64_t n = 0, own = 0, missed = 0;
    for (int64_t from = 0; from < count; from += AT_ONCE) {
        int64_t *chosen = r->chosen + n, *rows = r->rows + n, kept = 0;
        uint64_t *keys = r->keys + n;
        int64_t some = choose(f, s, from, from + AT_ONCE < count ? from + AT_ONCE : count, chosen);
        hash(s, &f->key, chosen, keys, some, keys);
        for (int64_t i = 0; i < some; i++) {
            ahead(&t, keys, i, some);
            rows[i] = row_of(&t, keys[i]);
        }
        if (f->known) {
            for (int64_t i = 0; i < some; i++) {
                chosen[kept] = chosen[i];
                keys[kept] = keys[i];
                rows[kept] = rows[i];
                kept += rows[i] >= 0;
            }
            n += kept;
            continue;
        }
        for (int64_t i = 0; i < some; i++) {
            if (rows[i] < 0) {
                r->missed[missed++] = n + i;
                continue;
            }
            row *its = t.rows + rows[i];
            double ended = s->of[chosen[i]].ended;
            if (its->turn != turn) {
                double sampling = s->of[chosen[i]].sampling;
                its->turn = turn;
                its->scale = its->scale < sampling ? sampling : its->scale;
                r->own[own] = rows[i];
                r->first[own++] = n + i;
            }
            its->ended = its->ended < ended ? ended : its->ended;
        }
        n += some;
    }
    r->counts[0] = n;
    r->counts[1] = own;
    r->counts[2] = missed;
}

/* Those rows get these keys, and begin with these records; the rows that are `held` have keys then, and no others. */
EXPORTED void suimon_claim(table *t, int64_t turn, const seen *s, const int64_t *rows, const int64_t *records,
                           const uint64_t *keys, int64_t count, const int64_t *held, int64_t held_count) {
    for (int64_t i = 0; i < count; i++) {
        int64_t at = records[i];
        t->rows[rows[i]] = (row){keys[i], s->of[at].ended, s->of[at].sampling, turn};
        t->origins[rows[i]] = (origin){
            s->of[at].begun,
            s->of[at].key,
            s->peer_high[at],
            s->peer_low[at],
            s->own_l4[at],
            s->peer_l4[at],
            s->of[at].protocol,
            s->of[at].out,
            s->of[at].ip_version,
            0,
        };
    }
    int all = t->claims++ % REMEMBERED == 0;
    const int64_t *marking = all ? held : rows;
    if (all)
        memset(t->who, 0, WHO_BYTES);
    for (int64_t i = 0; i < (all ? held_count : count); i++) {
        const origin *its = t->origins + marking[i];
        uint16_t which = who(its->port, its->protocol);
        t->who[which >> 3] |= (uint8_t)(1 << (which & 7));
    }
    memset(t->slots, 0, (size_t)t->slot_count * sizeof *t->slots);
    for (int64_t i = 0; i < held_count; i++) {
        uint64_t key = t->rows[held[i]].key, mask = (uint64_t)(t->slot_count - 1), at = key & mask;
        while (t->slots[at])
            at = (at + 1) & mask;
        t->slots[at] = slot_of(key, held[i]);
    }
}

/* The row of each key, -1 for none. */
EXPORTED void suimon_rows(const table *t, const uint64_t *keys, int64_t count, int64_t *rows) {
    for (int64_t i = 0; i < count; i++)
        rows[i] = row_of(t, keys[i]);
}

static inline int64_t begins(const seen *s, int64_t record) { /* Times before 1970 are of that second. */
    return s->of[record].begun > 0.0 ? (int64_t)s->of[record].begun : 0;
}

/* The last second that it has a share in: what ends as one begins has none in it, unless it began there. */
static inline int64_t ends(const seen *s, int64_t record) {
    int64_t whole = (int64_t)s->of[record].ended, last = whole - (s->of[record].ended <= (double)whole);
    int64_t first = begins(s, record);
    return last > first ? last : first;
}

/* At most AT_ONCE records hit their things' cells in their rows. */
static void hit(const hits *h, const seen *s, const int64_t *rows, const int64_t *chosen, const uint64_t *things,
                int64_t count) {
    uint64_t mask = (uint64_t)(h->cell_count - 1);
    for (int64_t i = 0; i < count; i++) {
        if (i + SOON < count && rows[i + SOON] >= 0)
            __builtin_prefetch(h->cells + rows[i + SOON] * h->cell_count + (things[i + SOON] & mask), 1);
        if (rows[i] < 0)
            continue;
        uint32_t *cell = h->cells + rows[i] * h->cell_count + (things[i] & mask);
        uint32_t at = (uint32_t)(ends(s, chosen[i]) + 1);
        if (*cell < at) {
            *cell = at;
            h->most[rows[i]]++;
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

static inline double much(const amount *a, const seen *s, int64_t record) {
    if ((s->kinds[record] & a->kinds) != a->kinds)
        return 0.0;
    double packets = s->of[record].packets;
    return a->column == 0 ? packets : a->column == 1 ? s->of[record].bytes
         : packets < s->of[record].sampling ? packets : s->of[record].sampling;
}

/* How much of it is in that second. */
static inline double share_in(int64_t second, double begun, double ended) {
    double from = begun > (double)second ? begun : (double)second;
    double to = ended < (double)(second + 1) ? ended : (double)(second + 1);
    return (to - from) / (ended - begun);
}

/* A record's amounts, laid over its seconds from `since` to `last`, evenly if it is longer than one. Seconds that are
 * wholly within it have the same share. */
static inline void lay_so_many(const fold *f, const seen *s, int64_t at, int64_t record, int64_t since, int64_t last,
                               int longer, int64_t amounts) {
    double begun = s->of[record].begun, ended = s->of[record].ended, whole[MOST_AMOUNTS], grown[MOST_AMOUNTS] = {0.0};
    double share = longer ? share_in(since, begun, ended) : 1.0, inner = longer ? 1.0 / (ended - begun) : 0.0;
    double last_share = longer ? share_in(last, begun, ended) : 1.0;
    int64_t metric[MOST_AMOUNTS], mask = f->slots - 1, second_cells = f->row_count * f->metrics;
    int64_t until = last < since + mask ? last : since + mask;
    for (int64_t a = 0; a < amounts; a++) {
        whole[a] = much(f->amounts + a, s, record);
        metric[a] = at * f->metrics + f->amounts[a].metric[s->of[record].out];
    }
    for (int64_t second = since; second <= until; second++) {
        float *of_second = f->ring + (second & mask) * second_cells;
        for (int64_t a = 0; a < amounts; a++) {
            float *cell = of_second + metric[a], before = *cell, after = before + (float)(whole[a] * share);
            *cell = after;
            grown[a] += (double)after - (double)before;
        }
        share = second + 1 == last ? last_share : inner;
    }
    for (int64_t a = 0; a < amounts; a++)
        f->most[metric[a]] += grown[a];
}

/* The same; of how many amounts is better known when it is compiled. */
static inline void lay(const fold *f, const seen *s, int64_t at, int64_t record, int64_t since, int64_t last,
                       int longer) {
    if (f->amount_count == 2)
        lay_so_many(f, s, at, record, since, last, longer, 2);
    else
        lay_so_many(f, s, at, record, since, last, longer, f->amount_count);
}

/* What the records that the fold has found add to their rows; amounts from the second `oldest` on. Those within a
 * second come first, as numpy does it: sums of floats depend on their order. */
EXPORTED void suimon_count(const fold *does, const seen *from, int64_t oldest, found *r) {
    const fold fold_here = *does, *f = &fold_here;
    const seen seen_here = *from, *s = &seen_here;
    uint64_t things[AT_ONCE];
    int64_t count = r->counts[0], long_ones = 0, high = 0;
    for (int64_t from = 0; from < count && f->hit_count; from += AT_ONCE) {
        int64_t some = count - from < AT_ONCE ? count - from : AT_ONCE;
        for (int64_t h = 0; h < f->hit_count; h++) {
            hash(s, &f->hit[h].thing, r->chosen + from, r->keys + from, some, things);
            hit(f->hit + h, s, r->rows + from, r->chosen + from, things, some);
        }
    }
    for (int64_t i = 0; i < count && f->amount_count; i++) {
        int64_t record = r->chosen[i], at = r->rows[i];
        if (at < 0)
            continue;
        int64_t first = begins(s, record), last = ends(s, record);
        high = at < high ? high : at + 1;
        if (last < oldest)
            continue;
        if (first < last)
            r->missed[long_ones++] = i; /* Nobody asks for it any more. */
        else
            lay(f, s, at, record, first, last, 0);
    }
    for (int64_t n = 0; n < long_ones; n++) {
        int64_t i = r->missed[n], record = r->chosen[i], first = begins(s, record);
        lay(f, s, r->rows[i], record, first > oldest ? first : oldest, ends(s, record), 1);
    }
    r->counts[3] = high;
}
