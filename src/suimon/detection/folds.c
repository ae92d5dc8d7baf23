/* What detectors do with each record, in few passes over memory: folds.py says what each does, and does the same.
 *
 * Callers own all arrays, which have the lengths that are given; rows are theirs, and no stranger chooses a place.
 * What is made once for many steps, as folds and tables are, has the places of its arrays in it.
 */
#include <math.h>
#include <string.h>

#include "../model/hashing.h"

#define EXPORTED __attribute__((visibility("default")))
#define SOON 8 /* So many records ahead memory is asked for that is likely to be far. */
#define AT_ONCE 512 /* Records that are looked at together: as many as stay in the nearest cache. */
#define PARTS 64 /* Of a row's cells. */
#define MOST_AMOUNTS 4
#define WHO_BYTES 8192
#define REMEMBERED 256 /* For so many claims. */
#define ONCE_BITS 18
#define ONCE_S 10.0
#define NEW_SHARE 4
#define LOOK_BACK_S 3
#define MOST_SECONDS 64
#define MOST_CHOICES 15
#define FILLED (1u << MOST_CHOICES)

typedef struct { /* Records as they came; folds.py has the same order. */
    const int32_t *port;
    const uint8_t *direction, *protocol, *tcp_flags;
    const double *begun, *ended;
    const uint32_t *sampling;
    const uint64_t *packets, *bytes;
    const uint16_t *l4[2]; /* The source's, and the destination's; */
    const uint64_t *address[2][2]; /* the higher half of each, and the lower. */
    const uint8_t *ip_version;
} told;

typedef struct { /* Batches, one after the other, and how many of their records and those before are known. */
    const told *of;
    const int64_t *lengths;
    int64_t *ends;
    int64_t count;
} parts;

typedef struct look look;

typedef struct { /* The same as detectors look at them, likewise: what is asked for of one is in one line of the cache. */
    double begun, ended, packets, bytes;
    uint64_t key, peer;
    uint32_t sampling, kinds;
    uint16_t service;
    uint8_t protocol, flags, ip_version, out, none[2];
} looked;

typedef struct {
    looked *of; /* Those that are filled, one behind the other, */
    uint16_t *own_l4, *peer_l4;
    uint64_t *peer_high, *peer_low; /* and these of hardly any. */
    uint16_t *who; /* Of all that are known: */
    uint16_t *choices; /* which of the room's choices take it, a bit each; and whether it is filled. */
    uint32_t *places; /* Where it is: if it is filled, among these, else in its batch. */
    int64_t *filled; /* How many are. */
    uint32_t *listed; /* For each choice that is listed `room` places of filled ones, and how many there are. */
    int64_t *listed_counts;
    int64_t room;
    const parts *from;
    const look *how;
} seen;

typedef struct { /* The choices that take a transport port, a bit each: of each 256 ports which page has theirs. */
    const uint16_t *choices;
    const uint8_t *page;
} by_l4;

struct look { /* How they are looked at; likewise. */
    const uint64_t *keys; /* Of each port. */
    int64_t ports;
    double oldest, latest, several;
    uint64_t salt;
    const uint32_t *kinds; /* The classes of each protocol, direction, flags, and few packets or several; as bits. */
    uint64_t transport;
    const uint16_t *by_kind; /* The choices that take what has that, a bit each. */
    by_l4 own, peer;
    uint64_t listed; /* Those of which lists are made. */
};

typedef struct { /* What is asked for each record, in half a line of the cache. */
    uint64_t key;
    double ended, scale;
    uint32_t turn; /* When it was asked for last, */
    uint32_t sides; /* by records to the guest (1), and from it (2). */
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
    int64_t most, fresh; /* Rows, and the first of those never used yet. */
    double *once; /* When a key of that part came and got none, if it has to come twice. */
    uint64_t *order; /* Room for a number for each row. */
} table;

typedef struct { /* What a hash is of: of something, then of columns, one after the other. */
    uint64_t of; /* The record's port, its peer, or its key. */
    char letters[8];
    uint64_t plus;
} recipe;

typedef struct {
    int64_t most; /* Grows by each cell that is hit anew. */
    uint64_t parts; /* Those 64ths of its cells that may not be clear, a bit each. */
} hit_row;

typedef struct { /* Of each row when its cells were hit last: in seconds since `base`, 0 for never. */
    uint16_t *hit;
    int64_t count; /* A power of two. */
    hit_row *rows;
    int64_t base;
} cells;

typedef struct { /* Cells of rows that things hit. */
    const cells *of;
    recipe thing;
} hits;

typedef struct { /* Counts of a row's cells that were hit, and from how many things on a row is asked for: */
    const cells *of;
    const double *things; /* Of how many so many cells tell. */
    double least, seen;   /* by what they stand for, and as they were seen. */
} tally;

typedef struct { /* What a row has: side by side, as are a record's seconds. */
    int64_t until; /* It has seconds before this one, as many as there are slots. */
    double most[MOST_AMOUNTS]; /* Of each metric; grows by what is added. */
    double none;
    float amounts[]; /* By second and metric. */
} ring;

typedef struct {
    char *rows;
    int64_t slots, apart, metrics; /* Slots are a power of two; so many bytes lie between the beginnings of rows. */
    int64_t oldest; /* The first second that is remembered. */
} rings;

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
    const rings *ring;
    const amount *amounts;
    int64_t amount_count;
} fold;

typedef struct { /* What a fold finds: room for all records that are seen. */
    int64_t *chosen, *rows, *own, *first, *missed;
    uint64_t *keys;
    int64_t *counts; /* Chosen, own, missed. */
    int64_t *given, *which, *heads, *many; /* For those who are welcomed: rows, and for each key its records. */
    uint64_t *order;
    uint32_t *slots;
} found;

typedef struct { /* With which address a row exchanged most, how much that was, and how much with all. */
    uint64_t ip_version, high, low;
    double most, all;
} exchanged;

typedef struct { /* Which rows are asked for: of records of a side, that may have so much of a metric within a window. */
    int64_t side, metric, window;
    double least;
} peak;

EXPORTED int64_t suimon_folds(void) { return SOURCE; }

static inline uint64_t salted(uint64_t value, uint64_t salt) { /* As loops.c mixes. */
    return mixed(value * 0x9E3779B97F4A7C15u + salt);
}

/* A port and whether it is TCP, UDP or another protocol, as far as there is room for ports: what has rows for one of
 * these is no reason to look at the rest. */
static inline uint16_t who(uint64_t port, uint8_t protocol) {
    return (uint16_t)(port << 2 | (unsigned)((protocol == 6) + 2 * (protocol == 17)));
}

/* Its protocol, direction and flags as one number, that of such a record of few packets; the next one is of several. */
static inline int64_t class_of(const told *t, int64_t i) {
    return ((t->protocol[i] * 2 + (t->direction[i] == 1)) * 32 + (t->tcp_flags[i] & 31)) * 2;
}

static inline int several(const told *t, const look *l, int64_t i) {
    return (double)t->packets[i] * (t->sampling[i] ? t->sampling[i] : 1.0) >= l->several;
}

/* Writes to place `n` what is asked for of a record that some fold takes. */
static inline void fill(const told *t, const look *l, const seen *s, int64_t i, int64_t n) {
    int out = t->direction[i] == 1;
    uint64_t high = t->address[out][0][i], low = t->address[out][1][i];
    uint32_t sampling = t->sampling[i] ? t->sampling[i] : 1, kinds = l->kinds[class_of(t, i) + several(t, l, i)];
    uint16_t peer_l4 = t->l4[out][i];
    s->of[n] = (looked){
        t->begun[i],
        t->ended[i],
        (double)t->packets[i] * (double)sampling,
        (double)t->bytes[i] * (double)sampling,
        l->keys[t->port[i]],
        salted(low, salted(high, l->salt)),
        sampling,
        kinds,
        kinds & l->transport ? peer_l4 : 0,
        t->protocol[i],
        t->tcp_flags[i] & 31,
        t->ip_version[i],
        (uint8_t)out,
        {0},
    };
    s->own_l4[n] = t->l4[1 - out][i];
    s->peer_l4[n] = peer_l4;
    s->peer_high[n] = high;
    s->peer_low[n] = low;
}

typedef struct {
    int64_t known, filled;
} so_many;

static inline uint32_t taking(by_l4 by, uint16_t l4) { return by.choices[by.page[l4 >> 8] << 8 | (l4 & 255)]; }

/* Of a batch's records from `from` to `until`, at most AT_ONCE, those that are known go behind those `before`.
 * What some listed choice takes is filled, the rest is only noted. Returns how many there are then. Branches would be
 * guessed wrongly too often. */
static so_many look_at(const told *t, const look *l, const seen *s, int64_t from, int64_t until, so_many before,
                       int64_t *listed_counts) {
    uint32_t known[AT_ONCE], listed[AT_ONCE];
    int64_t known_count = 0, listed_count = 0, n = before.known, filled = before.filled;
    for (int64_t i = from; i < until; i++) {
        known[known_count] = (uint32_t)i;
        known_count += (t->port[i] >= 0) & (t->port[i] < l->ports) & ((uint8_t)(t->direction[i] - 1) <= 1) &
                       (t->ended[i] > l->oldest) & (t->ended[i] <= l->latest) & (t->begun[i] <= t->ended[i]);
    }
    for (int64_t k = 0; k < known_count; k++) {
        int64_t i = known[k], class = class_of(t, i);
        int out = t->direction[i] == 1;
        if (l->by_kind[class] != l->by_kind[class + 1]) /* Seldom: only without flags. */
            class += several(t, l, i);
        uint32_t choices = l->by_kind[class] & taking(l->own, t->l4[1 - out][i]) & taking(l->peer, t->l4[out][i]);
        s->who[n + k] = who(l->keys[t->port[i]], t->protocol[i]);
        s->places[n + k] = (uint32_t)i;
        s->choices[n + k] = (uint16_t)choices;
        listed[listed_count] = (uint32_t)k;
        listed_count += (choices & l->listed) != 0;
    }
    for (int64_t k = 0; k < listed_count; k++, filled++) {
        int64_t at = n + listed[k];
        fill(t, l, s, s->places[at], filled);
        for (uint32_t left = s->choices[at] & (uint32_t)l->listed; left; left &= left - 1) {
            int which = __builtin_ctz(left);
            s->listed[which * s->room + listed_counts[which]++] = (uint32_t)filled;
        }
        s->places[at] = (uint32_t)filled;
        s->choices[at] |= FILLED;
    }
    return (so_many){n + known_count, filled};
}

/* Returns how many are known. What is read and written is copied first: for all the compiler knows, bytes that are
 * written could be places of the rest. */
EXPORTED int64_t suimon_look(const seen *into) {
    const parts *from = into->from;
    const look how = *into->how;
    const seen s = *into;
    int64_t listed_counts[MOST_CHOICES] = {0};
    so_many so_far = {0, 0};
    for (int64_t part = 0; part < from->count; part++) {
        const told t = from->of[part];
        for (int64_t i = 0, count = from->lengths[part]; i < count; i += AT_ONCE)
            so_far = look_at(&t, &how, &s, i, i + AT_ONCE < count ? i + AT_ONCE : count, so_far, listed_counts);
        from->ends[part] = so_far.known;
    }
    memcpy(s.listed_counts, listed_counts, sizeof listed_counts);
    *s.filled = so_far.filled;
    return so_far.known;
}

/* A record that was only noted is filled: where it is then. */
static uint32_t fill_late(const seen *s, int64_t n) {
    const parts *from = s->from;
    int64_t low = 0, high = from->count - 1;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (from->ends[middle] > n)
            high = middle;
        else
            low = middle + 1;
    }
    fill(from->of + low, s->how, s, s->places[n], *s->filled);
    s->choices[n] |= FILLED;
    return s->places[n] = (uint32_t)(*s->filled)++;
}

static inline int64_t place_of(const seen *s, int64_t n) {
    return s->choices[n] & FILLED ? s->places[n] : fill_late(s, n);
}

/* All of them. */
EXPORTED void suimon_fill(const seen *s, int64_t count) {
    for (int64_t n = 0; n < count; n++)
        place_of(s, n);
}

static inline int marked(const uint8_t *marks, uint16_t which) {
    return !marks || marks[which >> 3] >> (which & 7) & 1;
}

/* Of the records from `from` to `until` those that the fold takes. Branches would be guessed wrongly too often. Where
 * its choice is one of the room's it is known who they are. */
static int64_t choose(const fold *f, const seen *s, int64_t choice, int64_t from, int64_t until, int64_t *chosen) {
    uint32_t asked = (uint32_t)f->asked, wanted = (uint32_t)f->wanted;
    int64_t n = 0, kept = 0;
    if (choice >= 0 && !f->known) {
        for (; from < until; from++) {
            chosen[n++] = s->listed[choice * s->room + from];
            __builtin_prefetch(s->of + chosen[n - 1]);
        }
        return n;
    }
    if (choice >= 0) {
        const uint8_t *marks = f->t->who;
        for (int64_t i = from; i < until; i++) {
            chosen[n] = i;
            n += s->choices[i] >> choice & marks[s->who[i] >> 3] >> (s->who[i] & 7) & 1;
        }
        for (int64_t i = 0; i < n; i++) {
            chosen[i] = place_of(s, chosen[i]);
            __builtin_prefetch(s->of + chosen[i]);
        }
        return n;
    }
    for (int64_t i = from; i < until; i++) {
        chosen[n] = i;
        n += (s->of[s->places[i]].kinds & asked) == wanted;
    }
    for (int64_t i = 0; i < n; i++) {
        int64_t at = s->places[chosen[i]], who = s->who[chosen[i]];
        chosen[kept] = at;
        kept += marked(f->own, s->own_l4[at]) & marked(f->peer, s->peer_l4[at]) &
                marked(f->known ? f->t->who : 0, (uint16_t)who);
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
 * and which of the taken have none. Of a fold of `known` records only those, and nothing about rows. Its choice is one
 * of the room's, or -1. */
EXPORTED void suimon_find(const fold *f, const seen *s, int64_t count, int64_t turn, int64_t choice, found *r) {
    const table t = *f->t;
    int64_t n = 0, own = 0, missed = 0;
    if (choice >= 0 && !f->known)
        count = s->listed_counts[choice];
    for (int64_t from = 0; from < count; from += AT_ONCE) {
        int64_t *chosen = r->chosen + n, *rows = r->rows + n, kept = 0;
        uint64_t *keys = r->keys + n;
        int64_t some = choose(f, s, choice, from, from + AT_ONCE < count ? from + AT_ONCE : count, chosen);
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
            if (its->turn != (uint32_t)turn) {
                double sampling = s->of[chosen[i]].sampling;
                its->turn = (uint32_t)turn;
                its->sides = 0;
                its->scale = its->scale < sampling ? sampling : its->scale;
                r->own[own] = rows[i];
                r->first[own++] = n + i;
            }
            its->ended = its->ended < ended ? ended : its->ended;
            its->sides |= 1u << s->of[chosen[i]].out;
        }
        n += some;
    }
    r->counts[0] = n;
    r->counts[1] = own;
    r->counts[2] = missed;
}

static void begin(table *t, int64_t at, uint64_t key, const seen *s, int64_t record, int64_t turn) {
    const looked *its = s->of + record;
    t->rows[at] = (row){key, its->ended, its->sampling, (uint32_t)turn, 1u << its->out};
    t->origins[at] = (origin){
        its->begun,
        its->key,
        s->peer_high[record],
        s->peer_low[record],
        s->own_l4[record],
        s->peer_l4[record],
        its->protocol,
        its->out,
        its->ip_version,
        0,
    };
}

static void enter(table *t, int64_t at) {
    uint64_t key = t->rows[at].key, mask = (uint64_t)(t->slot_count - 1), slot = key & mask;
    while (t->slots[slot])
        slot = (slot + 1) & mask;
    t->slots[slot] = slot_of(key, at);
}

/* Those rows have another key now; those that are held have keys, or the first ones if it isn't told which. */
static void found_by(table *t, const int64_t *rows, int64_t count, const int64_t *held, int64_t held_count, int anew) {
    int all = t->claims++ % REMEMBERED == 0;
    if (all)
        memset(t->who, 0, WHO_BYTES);
    for (int64_t i = 0; i < (all ? held_count : count); i++) {
        const origin *its = t->origins + (!all ? rows[i] : held ? held[i] : i);
        uint16_t which = who(its->port, its->protocol);
        t->who[which >> 3] |= (uint8_t)(1 << (which & 7));
    }
    if (!anew) {
        for (int64_t i = 0; i < count; i++)
            enter(t, rows[i]);
        return;
    }
    memset(t->slots, 0, (size_t)t->slot_count * sizeof *t->slots);
    for (int64_t i = 0; i < held_count; i++)
        enter(t, held ? held[i] : i);
}

/* Those rows get these keys, and begin with these records; the rows that are `held` have keys then, and no others. */
EXPORTED void suimon_claim(table *t, int64_t turn, const seen *s, const int64_t *rows, const int64_t *records,
                           const uint64_t *keys, int64_t count, const int64_t *held, int64_t held_count) {
    for (int64_t i = 0; i < count; i++)
        begin(t, rows[i], keys[i], s, records[i], turn);
    found_by(t, rows, count, held, held_count, 1);
}

/* Which of the numbers, all different, has so many that are no larger. At most as long as for eight digits of each,
 * whatever they are; what all have in common isn't looked at. */
static uint64_t nth(const uint64_t *numbers, int64_t count, int64_t so_many) {
    uint64_t prefix = 0, differ = 0;
    for (int64_t i = 0; i < count; i++)
        differ |= numbers[i] ^ numbers[0];
    for (int shift = 56; shift >= 0; shift -= 8) {
        int64_t by[256] = {0};
        uint64_t digit = 0;
        if (!(differ >> shift)) {
            prefix = numbers[0] >> shift;
            continue;
        }
        for (int64_t i = 0; i < count; i++)
            if (numbers[i] >> shift >> 8 == prefix)
                by[numbers[i] >> shift & 255]++;
        for (; so_many > by[digit]; digit++)
            so_many -= by[digit];
        prefix = prefix << 8 | digit;
    }
    return prefix;
}

static inline uint64_t age(const table *t, int64_t at) { return (uint64_t)t->rows[at].turn << 16 | (uint64_t)at; }

/* Records without rows by their keys: of each key the first of them and how many there are. Returns how many keys. */
static int64_t group(found *r, int64_t missed) {
    int64_t groups = 0, slot_count = 16;
    while (slot_count < 2 * missed)
        slot_count *= 2;
    memset(r->slots, 0, (size_t)slot_count * sizeof *r->slots);
    for (int64_t m = 0; m < missed; m++) {
        uint64_t key = r->keys[r->missed[m]], mask = (uint64_t)(slot_count - 1), slot = key & mask;
        while (r->slots[slot] && r->keys[r->heads[r->slots[slot] - 1]] != key)
            slot = (slot + 1) & mask;
        if (!r->slots[slot]) {
            r->heads[groups] = r->missed[m];
            r->many[groups] = 0;
            r->slots[slot] = (uint32_t)++groups;
        }
        r->which[m] = r->slots[slot] - 1;
        r->many[r->which[m]]++;
    }
    return groups;
}

/* Of those keys which are to have rows, by the number of their records, 0 if not. Returns how many they are. */
static int64_t invite(table *t, found *r, int64_t groups, double clock) {
    int64_t wanted = 0, most = t->most / NEW_SHARE > 1 ? t->most / NEW_SHARE : 1;
    for (int64_t g = 0; g < groups && t->once; g++)
        __builtin_prefetch(t->once + (r->keys[r->heads[g]] >> (64 - ONCE_BITS)), 1);
    for (int64_t g = 0; g < groups && t->once; g++) {
        double before = t->once[r->keys[r->heads[g]] >> (64 - ONCE_BITS)];
        if (r->many[g] == 1 && !(before >= clock - ONCE_S))
            r->many[g] = 0;
    }
    for (int64_t g = 0; g < groups && t->once; g++)
        t->once[r->keys[r->heads[g]] >> (64 - ONCE_BITS)] = clock;
    for (int64_t g = 0; g < groups; g++)
        if (r->many[g])
            r->order[wanted++] = (uint64_t)(UINT32_MAX - (uint32_t)r->many[g]) << 32 | (uint64_t)g;
    if (wanted <= most)
        return wanted;
    uint64_t last = nth(r->order, wanted, most);
    for (int64_t i = 0; i < wanted; i++)
        if (r->order[i] > last)
            r->many[r->order[i] & UINT32_MAX] = 0;
    return most;
}

/* So many rows: those never used yet, then those longest unused. What the step has found in them is without rows. */
static int vacate(table *t, found *r, int64_t count, int64_t turn) {
    int64_t had = t->fresh, n = 0, kept = 0;
    for (; n < count && t->fresh < t->most; n++)
        r->given[n] = t->fresh++;
    if (n == count)
        return 0;
    for (int64_t at = 0; at < had; at++)
        t->order[at] = age(t, at);
    uint64_t last = nth(t->order, had, count - n);
    for (int64_t at = 0; at < had; at++)
        if (t->order[at] <= last)
            r->given[n++] = at;
    if (last >> 16 < (uint64_t)turn)
        return 1;
    for (int64_t i = 0; i < r->counts[0]; i++)
        if (r->rows[i] >= 0 && t->order[r->rows[i]] <= last)
            r->rows[i] = -1;
    for (int64_t i = 0; i < r->counts[1]; i++)
        if (t->order[r->own[i]] > last) {
            r->own[kept] = r->own[i];
            r->first[kept++] = r->first[i];
        }
    r->counts[1] = kept;
    return 1;
}

/* Rows for keys of records that were just found to have none; which rows, and how many. */
EXPORTED int64_t suimon_welcome(table *t, int64_t turn, const seen *s, double clock, found *r) {
    int64_t missed = r->counts[2], groups = group(r, missed), count = invite(t, r, groups, clock), n = 0;
    if (!count)
        return 0;
    int anew = vacate(t, r, count, turn);
    for (int64_t g = 0; g < groups; g++) {
        if (!r->many[g]) {
            r->many[g] = -1;
            continue;
        }
        if (n + SOON < count) {
            __builtin_prefetch(t->rows + r->given[n + SOON], 1);
            __builtin_prefetch(t->origins + r->given[n + SOON], 1);
        }
        int64_t at = r->many[g] = r->given[n++], own = r->counts[1]++;
        begin(t, at, r->keys[r->heads[g]], s, r->chosen[r->heads[g]], turn);
        r->own[own] = at;
        r->first[own] = r->heads[g];
    }
    for (int64_t m = 0; m < missed; m++) {
        int64_t at = r->many[r->which[m]];
        const looked *its = s->of + r->chosen[r->missed[m]];
        r->rows[r->missed[m]] = at;
        if (at < 0)
            continue;
        t->rows[at].ended = t->rows[at].ended < its->ended ? its->ended : t->rows[at].ended;
        t->rows[at].sides |= 1u << its->out;
    }
    found_by(t, r->given, count, 0, t->fresh, anew);
    return count;
}

/* Of the records that were just found those of a row and a side: with whom they exchanged most, of those with as much the
 * peer of the least hash. What the fold found them by isn't asked for any more. */
EXPORTED void suimon_exchanged(const seen *s, found *r, int64_t at, int64_t out, int64_t octets, exchanged *told) {
    double *sums = (double *)(void *)r->order, all = 0.0;
    int64_t n = 0, best = 0;
    for (int64_t i = 0; i < r->counts[0]; i++) {
        if (r->rows[i] != at || s->of[r->chosen[i]].out != out)
            continue;
        r->keys[i] = s->of[r->chosen[i]].peer;
        r->missed[n++] = i;
    }
    int64_t groups = group(r, n);
    *told = (exchanged){0};
    if (!groups)
        return;
    for (int64_t g = 0; g < groups; g++)
        sums[g] = 0.0;
    for (int64_t m = 0; m < n; m++) {
        const looked *its = s->of + r->chosen[r->missed[m]];
        double much = octets ? its->bytes : its->packets;
        sums[r->which[m]] += much;
        all += much;
    }
    for (int64_t g = 1; g < groups; g++)
        if (sums[g] > sums[best] || (sums[g] == sums[best] && r->keys[r->heads[g]] < r->keys[r->heads[best]]))
            best = g;
    int64_t record = r->chosen[r->heads[best]];
    *told = (exchanged){s->of[record].ip_version, s->peer_high[record], s->peer_low[record], sums[best], all};
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

/* At most AT_ONCE records hit their things' cells in their rows. Which rows are clear is known: to read memory before
 * it is first written would be a page fault more. */
static void hit(const cells *c, const seen *s, const int64_t *rows, const int64_t *chosen, const uint64_t *things,
                int64_t count) {
    uint64_t mask = (uint64_t)(c->count - 1);
    int wide = __builtin_ctzll((uint64_t)c->count);
    for (int64_t i = 0; i < count; i++) {
        if (i + 2 * SOON < count && rows[i + 2 * SOON] >= 0)
            __builtin_prefetch(c->hit + rows[i + 2 * SOON] * c->count + (things[i + 2 * SOON] & mask), 1);
        if (rows[i] < 0)
            continue;
        uint16_t *cell = c->hit + rows[i] * c->count + (things[i] & mask);
        hit_row *its = c->rows + rows[i];
        int64_t since = ends(s, chosen[i]) + 1 - c->base;
        uint16_t at = since < 1 ? 1 : since > UINT16_MAX ? UINT16_MAX : (uint16_t)since;
        if (!its->parts || *cell < at) {
            *cell = at;
            its->parts |= 1ull << ((things[i] & mask) * PARTS >> wide);
            its->most++;
        }
    }
}

EXPORTED void suimon_clear(const cells *c, const int64_t *rows, int64_t count) {
    int wide = __builtin_ctzll((uint64_t)c->count);
    size_t bytes = (size_t)(c->count < PARTS ? 1 : c->count / PARTS) * sizeof *c->hit;
    for (int64_t i = 0; i < count; i++) {
        for (uint64_t parts = c->rows[rows[i]].parts; parts; parts &= parts - 1)
            memset(c->hit + rows[i] * c->count + ((int64_t)__builtin_ctzll(parts) << wide) / PARTS, 0, bytes);
        c->rows[rows[i]] = (hit_row){0, 0};
    }
}

/* How many cells of a row were hit after a second, as cells have it. */
static inline int64_t hits_of(const cells *c, int64_t at, uint16_t after) {
    const uint16_t *its = c->hit + at * c->count;
    uint16_t hits = 0; /* There are no more cells. */
    for (int64_t cell = 0; cell < c->count; cell++)
        hits += its[cell] > after;
    return hits;
}

/* Those of each of these rows, after a second of the row's own. */
EXPORTED void suimon_hits(const cells *c, const int64_t *rows, const uint16_t *after, int64_t count, int64_t *found) {
    for (int64_t i = 0; i < count; i++)
        found[i] = hits_of(c, rows[i], after[i]);
}

/* The last second that isn't within the window of a row, as cells have it. */
static inline uint16_t before_window(const cells *c, double ended, int64_t window) {
    double since = ended - (double)window, whole = (double)(int64_t)since;
    double after = whole - (whole > since) - (double)c->base;
    return after < 0.0 ? 0 : after > UINT16_MAX ? UINT16_MAX : (uint16_t)after;
}

static inline int reaches(const tally *of, double things, double scale) {
    double least = of->least / scale;
    return things >= (least > of->seen ? least : of->seen) * (1.0 - 1e-9);
}

/* Of at most AT_ONCE rows those of which some tally may reach its least: where among them each is. */
static int64_t may_reach(const tally *tallies, int64_t tally_count, const table *t, int64_t scaled, const int64_t *rows,
                         int64_t count, int64_t *which) {
    int64_t n = 0;
    for (int64_t i = 0; i < count; i++) {
        double scale = scaled ? t->rows[rows[i]].scale : 1.0;
        int near = 0;
        for (int64_t k = 0; k < tally_count; k++) {
            const cells *c = tallies[k].of;
            int64_t most = c->rows[rows[i]].most < c->count ? c->rows[rows[i]].most : c->count;
            near |= reaches(tallies + k, tallies[k].things[most], scale);
        }
        which[n] = i;
        n += near;
    }
    return n;
}

/* Of the rows those of which some tally reaches its least, or with `scaled` that by the row's sampling: where among
 * the rows each is, and for each tally how many things it counts within the window that ends with the row's last record.
 * Returns how many they are. Tallies of which nothing is asked come last: they are counted of those alone. */
EXPORTED int64_t suimon_tally(const tally *tallies, int64_t tally_count, const table *t, int64_t window, int64_t scaled,
                              const int64_t *rows, int64_t count, int64_t *which, double *things) {
    int64_t near[AT_ONCE], n = 0;
    for (int64_t from = 0; from < count; from += AT_ONCE) {
        int64_t some = may_reach(tallies, tally_count, t, scaled, rows + from,
                                 count - from < AT_ONCE ? count - from : AT_ONCE, near);
        for (int64_t i = 0; i < some; i++) {
            int64_t at = rows[from + near[i]];
            double ended = t->rows[at].ended, scale = scaled ? t->rows[at].scale : 1.0;
            int reached = 0;
            for (int64_t k = 0; k < tally_count && (reached || tallies[k].least < INFINITY); k++) {
                const cells *c = tallies[k].of;
                int64_t hits = hits_of(c, at, before_window(c, ended, window));
                c->rows[at].most = hits ? hits : 1;
                things[k * t->most + n] = tallies[k].things[hits];
                reached |= reaches(tallies + k, tallies[k].things[hits], scale);
            }
            which[n] = from + near[i];
            n += reached;
        }
    }
    return n;
}

static inline double much(const amount *a, const seen *s, int64_t record) {
    if ((s->of[record].kinds & a->kinds) != a->kinds)
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

static inline ring *ring_of(const rings *g, int64_t at) { return (ring *)(void *)(g->rows + at * g->apart); }

static inline float *in_second(const rings *g, ring *its, int64_t second) {
    return its->amounts + (second & (g->slots - 1)) * g->metrics;
}

/* A record of that row is laid soon. */
static inline void soon_laid(const rings *g, int64_t at, int64_t first) {
    ring *its = ring_of(g, at);
    __builtin_prefetch(its, 1);
    __builtin_prefetch(in_second(g, its, first), 1);
}

/* From now on the row has seconds before `until`, which is later than it was: new ones take the places of its oldest. One
 * that begins anew is clear. */
static inline void turn(const rings *g, ring *its, int64_t until) {
    int64_t second = !its->until ? until : its->until > until - g->slots ? its->until : until - g->slots;
    for (; second < until; second++)
        for (int64_t metric = 0; metric < g->metrics; metric++)
            in_second(g, its, second)[metric] = 0.0f;
    its->until = until;
}

/* A record's amounts, laid over its seconds from `since` to `last`, evenly if it is longer than one. Seconds that are
 * wholly within it have the same share. */
static inline void lay_so_many(const fold *f, const seen *s, ring *its, int64_t record, int64_t since, int64_t last,
                               int longer, int64_t amounts) {
    double begun = s->of[record].begun, ended = s->of[record].ended, whole[MOST_AMOUNTS], grown[MOST_AMOUNTS] = {0.0};
    double share = longer ? share_in(since, begun, ended) : 1.0, inner = longer ? 1.0 / (ended - begun) : 0.0;
    double last_share = longer ? share_in(last, begun, ended) : 1.0;
    int64_t metric[MOST_AMOUNTS];
    for (int64_t a = 0; a < amounts; a++) {
        whole[a] = much(f->amounts + a, s, record);
        metric[a] = f->amounts[a].metric[s->of[record].out];
    }
    for (int64_t second = since; second <= last; second++) {
        float *of_second = in_second(f->ring, its, second);
        for (int64_t a = 0; a < amounts; a++) {
            float *cell = of_second + metric[a], before = *cell, after = before + (float)(whole[a] * share);
            *cell = after;
            grown[a] += (double)after - (double)before;
        }
        share = second + 1 == last ? last_share : inner;
    }
    for (int64_t a = 0; a < amounts; a++)
        its->most[metric[a]] += grown[a];
}

/* The same; of how many amounts is better known when it is compiled. */
static inline void lay(const fold *f, const seen *s, ring *its, int64_t record) {
    const rings *g = f->ring;
    int64_t first = begins(s, record), last = ends(s, record), since = first > g->oldest ? first : g->oldest;
    if (last < g->oldest)
        return;
    if (last >= its->until)
        turn(g, its, last + 1);
    since = since > its->until - g->slots ? since : its->until - g->slots;
    if (f->amount_count == 2)
        lay_so_many(f, s, its, record, since, last, first < last, 2);
    else
        lay_so_many(f, s, its, record, since, last, first < last, f->amount_count);
}

/* What the records that the fold has found add to their rows; amounts one record after the other, as numpy does it: sums
 * of floats depend on their order. */
EXPORTED void suimon_count(const fold *does, const seen *from, const found *r) {
    const fold fold_here = *does, *f = &fold_here;
    const seen seen_here = *from, *s = &seen_here;
    uint64_t things[AT_ONCE];
    int64_t count = r->counts[0];
    for (int64_t from = 0; from < count && f->hit_count; from += AT_ONCE) {
        int64_t some = count - from < AT_ONCE ? count - from : AT_ONCE;
        for (int64_t h = 0; h < f->hit_count; h++) {
            hash(s, &f->hit[h].thing, r->chosen + from, r->keys + from, some, things);
            hit(f->hit[h].of, s, r->rows + from, r->chosen + from, things, some);
        }
    }
    for (int64_t i = 0; i < count && f->amount_count; i++) {
        if (i + 2 * SOON < count)
            __builtin_prefetch(s->of + r->chosen[i + 2 * SOON]);
        if (i + SOON < count && r->rows[i + SOON] >= 0)
            soon_laid(f->ring, r->rows[i + SOON], begins(s, r->chosen[i + SOON]));
        if (r->rows[i] >= 0)
            lay(f, s, ring_of(f->ring, r->rows[i]), r->chosen[i]);
    }
}

/* Of the rows those that may have so much within some window, as rates.py says: which rows, the last second of the window
 * with the most, and of each metric what is in it. Returns how many they are. */
EXPORTED int64_t suimon_near(const rings *g, const table *t, const int64_t *rows, int64_t count, const peak *p,
                              int64_t *above, int64_t *lasts, double *amounts) {
    int64_t n = 0, window = p->window, seconds = window + LOOK_BACK_S;
    double sums[MOST_SECONDS + 1] = {0.0}; /* Before each second. */
    for (int64_t i = 0; i < count; i++) {
        int64_t at = rows[i], best = 0;
        ring *its = ring_of(g, at);
        double *most = its->most + p->metric, ended = t->rows[at].ended;
        if (!(t->rows[at].sides & (uint32_t)p->side) || !(*most >= p->least))
            continue;
        int64_t first = (int64_t)ended - (ended <= (double)(int64_t)ended) - seconds + 1;
        if (first + seconds > its->until)
            turn(g, its, first + seconds);
        int64_t unknown = g->oldest > first ? g->oldest - first : 0;
        for (int64_t k = 0; k < seconds; k++)
            sums[k + 1] = sums[k] + (k < unknown ? 0.0 : (double)in_second(g, its, first + k)[p->metric]);
        for (int64_t k = 1; k <= LOOK_BACK_S; k++)
            if (sums[k + window] - sums[k] > sums[best + window] - sums[best])
                best = k;
        *most = sums[best + window] - sums[best];
        above[n] = at;
        lasts[n] = first + best + window - 1;
        for (int64_t metric = 0; metric < g->metrics; metric++) {
            double until = 0.0, before = 0.0;
            for (int64_t k = 0; k < best + window; k++) {
                before = k == best ? until : before;
                until += k < unknown ? 0.0 : (double)in_second(g, its, first + k)[metric];
            }
            amounts[n * g->metrics + metric] = until - before;
        }
        n++;
    }
    return n;
}
