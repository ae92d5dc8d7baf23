/* Records out of datagrams, straight into columns: decoding.py says what goes in, and numpy does the same without this.
 *
 * What came from outside is only ever read, between places that were checked here; it never says where anything is written.
 */
#include <string.h>

#include "../../model/hashing.h"

#define EXPORTED __attribute__((visibility("default")))
#define AT_ONCE 512 /* Records whose fields are read one after the other: as many as stay in the nearest cache. */
#define WORD 8      /* What is read at once, however short a field is: so much has to lie behind the last of them. */

EXPORTED int64_t suimon_decoding(void) { return SOURCE; }

static inline uint64_t eight(const uint8_t *at) {
    return (uint64_t)at[0] << 56 | (uint64_t)at[1] << 48 | (uint64_t)at[2] << 40 | (uint64_t)at[3] << 32 |
           (uint64_t)at[4] << 24 | (uint64_t)at[5] << 16 | (uint64_t)at[6] << 8 | at[7];
}

static inline uint32_t four(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline uint16_t two(const uint8_t *at) { return (uint16_t)(at[0] << 8 | at[1]); }

/* ---- Datagrams: whose each is, and what sets are in it. ---- */

enum { V5 = 5, V9 = 9, IPFIX = 10, SFLOW = 1 }; /* As collector.py says them. */
enum { V5_BYTES = 24, V9_BYTES = 20, IPFIX_BYTES = 16, SFLOW_BYTES = 28 };

typedef struct {
    const uint8_t *flat;
    int64_t flat_bytes;
    const int64_t *begins, *lengths;
    int64_t count;
} datagrams;

typedef struct { /* Sources of datagrams: halves of an address, and the domain below the version. */
    const uint64_t *high, *low, *domain;
} sources;

typedef struct { /* Streams by the keys of their sources, in hashing.h's table. */
    const uint64_t *keys;
    const int32_t *slots;
    int64_t slot_count;
    sources of;
    const int64_t *stream;
    uint64_t salt;
} streams;

static int lies_within(const datagrams *of, int64_t d) {
    int64_t begin = of->begins[d], length = of->lengths[d];
    return begin >= 0 && length >= 0 && begin <= of->flat_bytes && length <= of->flat_bytes - begin;
}

static uint64_t key_of(uint64_t salt, uint64_t high, uint64_t low, uint64_t domain) {
    return mixed(mixed(mixed(high ^ salt) ^ low) ^ domain);
}

EXPORTED void suimon_keys(const sources *of, int64_t count, uint64_t salt, uint64_t *keys) {
    for (int64_t i = 0; i < count; i++)
        keys[i] = key_of(salt, of->high[i], of->low[i], of->domain[i]);
}

/* The version of a datagram, and the domain that it says; 0 when it isn't long enough, or nothing that is known. */
static uint64_t version_of(const uint8_t *at, int64_t length, uint64_t *domain) {
    if (length >= V5_BYTES && two(at) == V5)
        return *domain = two(at + 20), V5;
    if (length >= V9_BYTES && two(at) == V9)
        return *domain = four(at + 16), V9;
    if (length >= IPFIX_BYTES && two(at) == IPFIX)
        return *domain = four(at + 12), IPFIX;
    if (length >= SFLOW_BYTES && four(at) == 5)
        return *domain = four(at + (four(at + 4) == 2 ? 24 : 12)), SFLOW;
    return 0;
}

/* Whether the streams of all of them are known; -1 when one would lie outside. */
EXPORTED int64_t suimon_streams(const datagrams *of, const uint64_t *high, const uint64_t *low, const streams *known,
                                int64_t *version, int64_t *stream) {
    for (int64_t d = 0; d < of->count; d++) {
        if (!lies_within(of, d))
            return -1;
        uint64_t domain = 0, said = version_of(of->flat + of->begins[d], of->lengths[d], &domain);
        domain |= said << 32;
        int64_t at = found_at(known->keys, known->slots, known->slot_count, key_of(known->salt, high[d], low[d], domain));
        if (!said || at < 0 || known->of.high[at] != high[d] || known->of.low[at] != low[d] || known->of.domain[at] != domain)
            return 0;
        version[d] = (int64_t)said, stream[d] = known->stream[at];
    }
    return 1;
}

typedef struct { /* Of each datagram its stream, its number in a sequence, and how much more the next one's is. */
    int64_t *stream, *number, *step;
} numbered;

/* Datagrams by sequence, those of each as they came. A row begins where the one before doesn't lead to its number, or
 * nobody knows where that leads. `sequence` is that of each stream, `places` have one more than there are, all 0;
 * returns how many rows there are. */
EXPORTED int64_t suimon_rows(const int64_t *sequence, int64_t streams, const numbered *of, int64_t count, int64_t *places,
                             const numbered *into, int64_t *begins) {
    int64_t rows = 0;
    for (int64_t d = 0; d < count; d++)
        places[sequence[of->stream[d]] + 1]++;
    for (int64_t s = 1; s < streams; s++)
        places[s] += places[s - 1];
    for (int64_t d = 0; d < count; d++) {
        int64_t n = places[sequence[of->stream[d]]]++;
        into->stream[n] = of->stream[d], into->number[n] = of->number[d] & UINT32_MAX, into->step[n] = of->step[d];
    }
    for (int64_t n = 0; n < count; n++) {
        int follows = n && sequence[into->stream[n]] == sequence[into->stream[n - 1]] && into->step[n - 1] >= 0 &&
                      into->number[n] == ((into->number[n - 1] + into->step[n - 1]) & UINT32_MAX);
        if (!follows)
            begins[rows++] = n;
    }
    return rows;
}

typedef struct {
    int64_t *datagram, *number, *begins, *ends;
} found_sets;

/* The sets of datagrams that have whole headers of one version, NetFlow v9 or IPFIX, as templated.py says. Those for which
 * there is room are written; how many there are is returned, -1 when something would lie outside. */
EXPORTED int64_t suimon_sets(const datagrams *of, int64_t version, int64_t most, const found_sets *into, int64_t room,
                             uint8_t *broken) {
    int64_t found = 0, header = version == V9 ? V9_BYTES : IPFIX_BYTES;
    for (int64_t d = 0; d < of->count; d++) {
        if (!lies_within(of, d) || of->lengths[d] < header)
            return -1;
        int64_t at = of->begins[d], end = at + of->lengths[d];
        if (version == IPFIX) {
            int64_t said = two(of->flat + at + 2);
            broken[d] = said != of->lengths[d];
            if (said < of->lengths[d])
                end = at + (said > header ? said : header);
        }
        at += header;
        for (int64_t n = 0; end - at >= 4; n++) { /* NetFlow v9 may pad a datagram with less than a set's header. */
            int64_t length = two(of->flat + at + 2);
            if (n == most || length <= 4 || length > end - at) {
                broken[d] = 1;
                break;
            }
            if (found < room) {
                into->datagram[found] = d, into->number[found] = two(of->flat + at);
                into->begins[found] = at + 4, into->ends[found] = at + length;
            }
            found++;
            at += length;
        }
    }
    return found;
}

/* ---- Templates: records of one size, whose fields all lie at the same distance from their begin. ---- */

enum { NUMBER, WHERE_ZERO, UPTIME_MS, UNIX_MS, UNIX_S, EXPORT_TIME };

typedef struct {
    int64_t offset, width, kind; /* Where in a record, how many bytes (1 to 8), and what it is. */
    int64_t column_bytes;        /* Of a number: 1, 2, 4 or 8. Times are doubles. */
    uint8_t *into;
} field;

typedef struct { /* Of each set of records. */
    const int64_t *begins, *counts, *exporter, *sampling, *uptime_ms;
    const double *arrived_s, *exported_s;
} sets;

typedef struct {
    double *begun, *ended;
    uint32_t *exporter, *sampling;
} columns;

#define STORE(TYPE, CONDITION)                                                                                         \
    for (int64_t i = 0; i < count; i++) {                                                                              \
        TYPE *into = (TYPE *)each->into + first + i;                                                                   \
        if (CONDITION)                                                                                                 \
            *into = (TYPE)(eight(from + at[i]) >> shift);                                                              \
    }                                                                                                                  \
    break;

static void read_field(const uint8_t *flat, const field *each, const sets *of, const int64_t *at, const int64_t *set,
                       int64_t first, int64_t count) {
    const uint8_t *from = flat + each->offset;
    int shift = 64 - 8 * (int)each->width;
    double *time = (double *)each->into + first;
    switch (each->kind) {
    case NUMBER:
        switch (each->column_bytes) {
        case 1: STORE(uint8_t, 1)
        case 2: STORE(uint16_t, 1)
        case 4: STORE(uint32_t, 1)
        default: STORE(uint64_t, 1)
        }
        break;
    case WHERE_ZERO: STORE(uint16_t, !*into)
    case UPTIME_MS: /* Both counters wrap after 49 days, so only their difference means something. */
        for (int64_t i = 0; i < count; i++) {
            uint64_t said = eight(from + at[i]) >> shift;
            int32_t ago_ms = (int32_t)(uint32_t)((uint64_t)of->uptime_ms[set[i]] - said);
            time[i] = of->exported_s[set[i]] - ago_ms / 1e3;
        }
        break;
    case UNIX_MS:
        for (int64_t i = 0; i < count; i++)
            time[i] = (double)(eight(from + at[i]) >> shift) / 1e3;
        break;
    case UNIX_S:
        for (int64_t i = 0; i < count; i++)
            time[i] = (double)(eight(from + at[i]) >> shift);
        break;
    default:
        for (int64_t i = 0; i < count; i++)
            time[i] = of->exported_s[set[i]];
    }
}

/* Whether what is said of the time can be believed as it is (clocks.py). What is no number compares as false. */
static int plausible(double begun, double ended, double arrived_s, double exported_s, double bound_s, double longest_s) {
    double took = ended - begun, late = arrived_s - ended, off = exported_s - arrived_s;
    return took >= 0.0 && took <= longest_s && late > -bound_s && late < longest_s && off > -bound_s && off < bound_s;
}

/* Fills so many records; returns how many have a time that is not plausible, -1 when something would lie outside. */
EXPORTED int64_t suimon_records(const uint8_t *flat, int64_t flat_bytes, const sets *of, int64_t set_count,
                                int64_t record_bytes, const field *fields, int64_t field_count, const columns *into,
                                int64_t room, double bound_s, double longest_s) {
    int64_t at[AT_ONCE], set[AT_ONCE], first = 0, doubted = 0, sum = 0;
    for (int64_t f = 0; f < field_count; f++)
        if (fields[f].width < 1 || fields[f].width > WORD || fields[f].offset < 0 ||
            fields[f].offset + fields[f].width > record_bytes)
            return -1;
    for (int64_t s = 0; s < set_count; s++) {
        int64_t count = of->counts[s], begin = of->begins[s];
        if (begin < 0 || begin > flat_bytes || count < 0 || count > room - sum ||
            (count && (record_bytes < 1 || count > (flat_bytes - WORD - begin) / record_bytes)))
            return -1;
        sum += count;
    }
    if (sum != room)
        return -1;
    for (int64_t s = 0, next = 0; first < room;) {
        int64_t count = 0;
        for (; count < AT_ONCE && s < set_count;) {
            if (next == of->counts[s]) {
                s++, next = 0;
                continue;
            }
            at[count] = of->begins[s] + next++ * record_bytes;
            set[count++] = s;
        }
        for (int64_t f = 0; f < field_count; f++)
            read_field(flat, &fields[f], of, at, set, first, count);
        for (int64_t i = 0; i < count; i++) {
            int64_t own = set[i], n = first + i;
            into->exporter[n] = (uint32_t)of->exporter[own];
            into->sampling[n] = (uint32_t)of->sampling[own];
            doubted += !plausible(into->begun[n], into->ended[n], of->arrived_s[own], of->exported_s[own], bound_s, longest_s);
        }
        first += count;
    }
    return doubted;
}

/* ---- sFlow: samples of packets, each told by its first bytes. ---- */

enum { FLOW = 1, COUNTERS = 2, FLOW_EXPANDED = 3, COUNTERS_EXPANDED = 4 };
enum { RAW_HEADER = 1, PLAIN_IPV4 = 3, PLAIN_IPV6 = 4 };
enum { ETHERNET = 1, IPV4 = 11, IPV6 = 12 }; /* What a raw header is of. */
enum { ICMP = 1, TCP = 6, UDP = 17, FRAGMENT = 44, AUTHENTICATION = 51, ICMP6 = 58, SCTP = 132 };
#define MOST_SAMPLES 256
#define MOST_RECORDS 32
#define MOST_VLANS 2
#define MOST_EXTENSIONS 4
#define LEAST_OF_RECORD 64 /* Bytes of a sample with a packet: two heads, what is always said of both, no header. */
#define UNKNOWN_INTERFACE 0x3FFFFFFFu

typedef struct {
    uint8_t *ip_version, *protocol, *tcp_flags;
    uint16_t *source_port, *destination_port;
    uint64_t *source_high, *source_low, *destination_high, *destination_low, *source_mac, *destination_mac;
    uint64_t *packets, *bytes;
    uint32_t *sampling, *input, *output, *exporter;
    double *begun, *ended;
} samples;

typedef struct { /* Of a packet; 0 is what a sample doesn't say. */
    uint8_t ip_version, protocol, tcp_flags;
    uint16_t source_port, destination_port;
    uint32_t sampling, input, output;
    uint64_t source_high, source_low, destination_high, destination_low, source_mac, destination_mac, bytes;
} packet;

typedef struct { /* Of each datagram, */
    const int64_t *begins, *lengths, *exporter, *sampling; /* the last as the operator says, 0 if he doesn't; */
    const double *arrived_s;
    int64_t *number, *counts, *unsampled; /* and what is found: its number in the sequence, its records. */
    uint8_t *broken;
} sampled;

typedef struct { /* Samples of counters, which are few: where each is. */
    int64_t *owner, *kind, *begins, *ends;
} others;

typedef struct { /* One of several things that say their kind and length; `at` is behind that. */
    uint32_t kind;
    const uint8_t *at, *end;
} thing;

/* The next of them, if it is whole. */
static int next_thing(const uint8_t *at, const uint8_t *end, thing *found) {
    if (end - at < 8 || four(at + 4) > end - at - 8)
        return 0;
    *found = (thing){four(at), at + 8, at + 8 + four(at + 4)};
    return 1;
}

static void ports(const uint8_t *at, const uint8_t *end, uint8_t protocol, packet *into) {
    int64_t room = end - at;
    if (room < 2)
        return;
    if (protocol == TCP || protocol == UDP || protocol == SCTP) {
        if (room >= 4) {
            into->source_port = two(at);
            into->destination_port = two(at + 2);
        }
        if (protocol == TCP && room >= 14)
            into->tcp_flags = at[13];
    } else if (protocol == ICMP || protocol == ICMP6) { /* Type and code, where NetFlow v5 has them. */
        into->destination_port = two(at);
    }
}

static void ipv4(const uint8_t *at, const uint8_t *end, packet *into) {
    if (end - at < 20 || at[0] >> 4 != 4)
        return;
    int64_t header = (at[0] & 15) * 4;
    into->ip_version = 4;
    into->protocol = at[9];
    into->source_low = four(at + 12);
    into->destination_low = four(at + 16);
    /* Only the first fragment has ports, and a header is at least 20 bytes. */
    if (!(two(at + 6) & 0x1FFF) && header >= 20 && header < end - at)
        ports(at + header, end, at[9], into);
}

static int extension(uint8_t protocol) {
    return protocol == 0 || protocol == 43 || protocol == 60 || protocol == FRAGMENT || protocol == AUTHENTICATION;
}

static void ipv6(const uint8_t *at, const uint8_t *end, packet *into) {
    if (end - at < 40 || at[0] >> 4 != 6)
        return;
    uint8_t protocol = at[6];
    int later = 0; /* Not the first fragment. */
    int64_t place = 40;
    for (int i = 0; i < MOST_EXTENSIONS && !later && extension(protocol) && place + 8 <= end - at; i++) {
        const uint8_t *header = at + place;
        later = protocol == FRAGMENT && two(header + 2) >> 3;
        place += protocol == FRAGMENT ? 8 : (protocol == AUTHENTICATION ? 4 : 8) * header[1] + 8;
        protocol = header[0];
    }
    into->ip_version = 6;
    into->protocol = protocol;
    into->source_high = eight(at + 8);
    into->source_low = eight(at + 16);
    into->destination_high = eight(at + 24);
    into->destination_low = eight(at + 32);
    if (!later && place < end - at)
        ports(at + place, end, protocol, into);
}

static void ethernet(const uint8_t *at, const uint8_t *end, packet *into) {
    if (end - at < 14)
        return;
    into->destination_mac = (uint64_t)two(at) << 32 | four(at + 2);
    into->source_mac = (uint64_t)two(at + 6) << 32 | four(at + 8);
    const uint8_t *type_at = at + 12;
    uint16_t type = two(type_at);
    for (int i = 0; i < MOST_VLANS && (type == 0x8100 || type == 0x88A8 || type == 0x9100) && end - type_at >= 6; i++) {
        type_at += 4;
        type = two(type_at);
    }
    if (type == 0x0800)
        ipv4(type_at + 2, end, into);
    else if (type == 0x86DD)
        ipv6(type_at + 2, end, into);
    else if (type == 0x0806 && end - type_at >= 30) {
        into->source_low = four(type_at + 16);
        into->destination_low = four(type_at + 26);
    }
}

/* Agents that don't give the header tell the fields of IP; `at` is behind the first of them, the length. */
static void plain(const uint8_t *at, int64_t address_bytes, packet *into) {
    const uint8_t *own = at + 4, *behind = own + 2 * address_bytes;
    into->ip_version = address_bytes == 4 ? 4 : 6;
    into->protocol = (uint8_t)four(at);
    if (address_bytes == 4) {
        into->source_low = four(own);
        into->destination_low = four(own + 4);
    } else {
        into->source_high = eight(own);
        into->source_low = eight(own + 8);
        into->destination_high = eight(own + 16);
        into->destination_low = eight(own + 24);
    }
    into->source_port = (uint16_t)four(behind);
    into->destination_port = (uint16_t)four(behind + 4);
    into->tcp_flags = (uint8_t)four(behind + 8);
}

/* What tells of a sample's packet; whether it is whole. */
static int told(const thing *of, packet *into) {
    int64_t room = of->end - of->at;
    if (of->kind != RAW_HEADER) {
        if (room < (of->kind == PLAIN_IPV4 ? 32 : 56))
            return 0;
        plain(of->at + 4, of->kind == PLAIN_IPV4 ? 4 : 16, into);
        into->bytes = four(of->at);
        return 1;
    }
    if (room < 16 || four(of->at + 12) > room - 16)
        return 0;
    uint32_t length = four(of->at + 4), stripped = four(of->at + 8);
    const uint8_t *begin = of->at + 16, *end = begin + four(of->at + 12);
    switch (four(of->at)) {
    case ETHERNET: ethernet(begin, end, into); break;
    case IPV4: ipv4(begin, end, into); break;
    case IPV6: ipv6(begin, end, into); break;
    }
    /* The frame's length is with its checksum and whatever else was stripped before it was sampled. */
    into->bytes = length > stripped ? length - stripped : 0;
    return 1;
}

/* 0 when it is unknown, none (the packet was dropped), or several. */
static uint32_t interface(uint32_t form, uint32_t value) {
    return form || value == UNKNOWN_INTERFACE || value == 0xFFFFFFFFu ? 0 : value;
}

/* The packet of one sample; whether there is one. `broken` learns of what isn't whole. */
static int flow(const thing *of, packet *into, uint8_t *broken) {
    int wide = of->kind == FLOW_EXPANDED, head_bytes = wide ? 44 : 32;
    const uint8_t *head = of->at;
    if (of->end - head < head_bytes) {
        *broken = 1;
        return 0;
    }
    const uint8_t *at = head + head_bytes;
    uint32_t count = four(head + (wide ? 40 : 28));
    int found = 0, met = 0;
    for (uint32_t i = 0; i < count; i++) {
        thing inside;
        if (i == MOST_RECORDS || !next_thing(at, of->end, &inside)) {
            *broken = 1;
            break;
        }
        at = inside.end;
        /* The first that tells of the packet is enough. */
        if (!met && (inside.kind == RAW_HEADER || inside.kind == PLAIN_IPV4 || inside.kind == PLAIN_IPV6)) {
            met = 1;
            found = told(&inside, into);
            *broken |= !found;
        }
    }
    into->sampling = four(head + (wide ? 12 : 8));
    for (int side = 0; side < 2; side++) {
        uint32_t first = four(head + (wide ? 24 + 8 * side : 20 + 4 * side));
        *(side ? &into->output : &into->input) =
            wide ? interface(first, four(head + 28 + 8 * side)) : interface(first >> 30, first & 0x3FFFFFFF);
    }
    return found;
}

/* As record `n`: every column is written. */
static void lay(const packet *of, uint32_t exporter, double arrived_s, const samples *into, int64_t n) {
    into->ip_version[n] = of->ip_version, into->protocol[n] = of->protocol, into->tcp_flags[n] = of->tcp_flags;
    into->source_port[n] = of->source_port, into->destination_port[n] = of->destination_port;
    into->source_high[n] = of->source_high, into->source_low[n] = of->source_low;
    into->destination_high[n] = of->destination_high, into->destination_low[n] = of->destination_low;
    into->source_mac[n] = of->source_mac, into->destination_mac[n] = of->destination_mac;
    into->packets[n] = 1, into->bytes[n] = of->bytes;
    into->sampling[n] = of->sampling, into->input[n] = of->input, into->output[n] = of->output;
    into->exporter[n] = exporter, into->begun[n] = into->ended[n] = arrived_s;
}

typedef struct { /* One datagram's samples: how many it says, and the bytes where they are. */
    int64_t said;
    const uint8_t *at, *end;
} body;

/* 0 when it would lie outside. */
static int samples_of(const sampled *of, int64_t d, const uint8_t *flat, int64_t flat_bytes, body *found) {
    int64_t begin = of->begins[d], length = of->lengths[d];
    if (begin < 0 || length < SFLOW_BYTES || begin > flat_bytes || length > flat_bytes - begin)
        return 0;
    const uint8_t *head = flat + begin, *end = head + length;
    uint32_t address = four(head + 4);
    const uint8_t *at = head + (address == 2 ? 24 : 12);
    of->number[d] = four(at + 4);
    *found = (body){0, at, end};
    if ((address == 1 || address == 2) && end - at >= 16)
        *found = (body){four(at + 12), at + 16, end};
    else
        of->broken[d] = 1;
    return 1;
}

/* How many records the datagrams are at most, and how many samples of counters, `other_count`; -1 when one would lie
 * outside. */
EXPORTED int64_t suimon_most_samples(const uint8_t *flat, int64_t flat_bytes, const sampled *of, int64_t count,
                                     int64_t *other_count) {
    int64_t found = 0, told = 0;
    for (int64_t d = 0; d < count; d++) {
        body its;
        if (!samples_of(of, d, flat, flat_bytes, &its))
            return -1;
        int64_t most = its.said < MOST_SAMPLES ? its.said : MOST_SAMPLES;
        int64_t records = (its.end - its.at) / LEAST_OF_RECORD, all = (its.end - its.at) / 8;
        found += most < records ? most : records, told += most < all ? most : all;
    }
    *other_count = told;
    return found;
}

/* The samples of those datagrams. There is room for so many of each in `into` and `other`; how many records there are
 * is what is returned, and of the rest in `other_count`. */
EXPORTED int64_t suimon_samples(const uint8_t *flat, int64_t flat_bytes, const sampled *of, int64_t count,
                                const samples *into, int64_t room, others *other, int64_t *other_count) {
    int64_t found = 0, told = 0, other_room = *other_count;
    for (int64_t d = 0; d < count; d++) {
        body its;
        if (!samples_of(of, d, flat, flat_bytes, &its))
            return -1;
        int64_t before = found, unsampled = 0;
        for (int64_t i = 0; i < its.said; i++) {
            thing sample;
            if (i == MOST_SAMPLES || !next_thing(its.at, its.end, &sample)) {
                of->broken[d] = 1;
                break;
            }
            its.at = sample.end;
            if (sample.kind == FLOW || sample.kind == FLOW_EXPANDED) {
                packet one = {0};
                if (!flow(&sample, &one, &of->broken[d]))
                    continue;
                if (found == room)
                    return -1;
                one.sampling = of->sampling[d] ? (uint32_t)of->sampling[d] : one.sampling;
                unsampled += !one.sampling;
                lay(&one, (uint32_t)of->exporter[d], of->arrived_s[d], into, found++);
            } else if (sample.kind == COUNTERS || sample.kind == COUNTERS_EXPANDED) {
                if (told == other_room)
                    return -1;
                other->owner[told] = d, other->kind[told] = sample.kind;
                other->begins[told] = sample.at - flat, other->ends[told] = sample.end - flat;
                told++;
            }
        }
        of->counts[d] = found - before, of->unsampled[d] = unsampled;
    }
    *other_count = told;
    return found;
}
