/* Whose each record is, in one pass: tagging.py says what counts, and does the same with numpy.
 *
 * Callers own all arrays, which have the lengths that are given; numbers of ports are those of the cloud's own tables.
 */
#include "../../model/hashing.h"

#define EXPORTED __attribute__((visibility("default")))
#define NONE (-1)

enum { FROM_GUEST = 1, TO_GUEST = 2 };

typedef struct { /* Ports by key; `numbers` are those of its keys. */
    const uint64_t *keys;
    const int32_t *slots;
    int64_t slot_count;
    const int64_t *numbers;
} lookup;

typedef struct {
    const uint32_t *exporter, *input, *output;
    const uint64_t *source_mac, *source_high, *source_low, *destination_mac, *destination_high, *destination_low;
    int32_t *port;
    uint8_t *direction;
} records;

typedef struct {
    lookup seats, macs, any_mac, address, own_address;
    const int64_t *host_of_exporter; /* Its last is what an exporter has that isn't known. */
    int64_t last_exporter, nowhere;
    const int64_t *host, *ifindex, *project; /* Of each port. */
    uint64_t salt;
} cloud;

EXPORTED int64_t suimon_tagging(void) { return SOURCE; }

static int64_t place_in(const lookup *in, uint64_t key) {
    return in->slot_count ? found_at(in->keys, in->slots, in->slot_count, key) : NONE;
}

static int64_t find(const lookup *in, uint64_t key) {
    int64_t at = place_in(in, key);
    return at < 0 ? NONE : in->numbers[at];
}

/* As tagging.py's `_mix`. */
static uint64_t mix(const cloud *of, uint64_t high, uint64_t low, uint64_t project) {
    uint64_t x = (high ^ of->salt) * 0x9E3779B97F4A7C15u;
    x ^= x >> 29;
    x = (x ^ low) * 0xC2B2AE3D27D4EB4Fu;
    x ^= x >> 29;
    x = (x ^ project) * 0x165667B19E3779F9u;
    return x ^ x >> 29;
}

static int64_t by_mac(const cloud *of, int64_t host, uint64_t mac) {
    return mac ? find(&of->macs, mix(of, (uint64_t)host, mac, 0)) : NONE;
}

static int64_t guest_at(const cloud *of, int64_t host, uint32_t ifindex, uint64_t mac) {
    int64_t found = find(&of->seats, (uint64_t)host << 32 | ifindex);
    if (found >= 0) { /* The interface of a trunk is several ports'. */
        int64_t other = by_mac(of, host, mac);
        if (other >= 0 && of->ifindex[other] == ifindex)
            return other;
    }
    return found;
}

/* By MAC; of what goes to a router, by address: of the sender's project, or one that is nobody else's. */
static int64_t receiver_at(const cloud *of, int64_t host, uint64_t mac, uint64_t high, uint64_t low, int64_t sender) {
    int64_t found = by_mac(of, host, mac);
    if (found >= 0)
        return found;
    int64_t at = place_in(&of->address, mix(of, high, low, 0));
    if (at < 0) /* What no port has no port of the project has: most peers are outside. */
        return NONE;
    if (sender >= 0) {
        int64_t own = find(&of->own_address, mix(of, high, low, (uint64_t)of->project[sender]));
        if (own >= 0 && of->host[own] == host)
            return own;
    }
    int64_t unique = of->address.numbers[at];
    return unique >= 0 && of->host[unique] == host ? unique : NONE;
}

static int64_t anywhere(const cloud *of, uint64_t mac, uint64_t high, uint64_t low) {
    int64_t found = mac ? find(&of->any_mac, mix(of, 0, mac, 0)) : NONE;
    return found >= 0 ? found : find(&of->address, mix(of, high, low, 0));
}

/* Fills ports and directions. Those that another port got, too, are told in `both`, that port in `other`; how many. */
EXPORTED int64_t suimon_tag(const records *these, int64_t count, const cloud *of, int64_t *both, int64_t *other) {
    int64_t shared = 0;
    for (int64_t i = 0; i < count; i++) {
        int64_t exporter = these->exporter[i] < of->last_exporter ? these->exporter[i] : of->last_exporter;
        int64_t host = of->host_of_exporter[exporter], sender, receiver;
        uint64_t source_mac = these->source_mac[i], mac = these->destination_mac[i];
        uint64_t high = these->destination_high[i], low = these->destination_low[i];
        if (host == of->nowhere) {
            sender = anywhere(of, source_mac, these->source_high[i], these->source_low[i]);
            receiver = anywhere(of, mac, high, low);
        } else {
            sender = guest_at(of, host, these->input[i], source_mac);
            receiver = guest_at(of, host, these->output[i], mac);
            if (receiver < 0)
                receiver = receiver_at(of, host, mac, high, low, sender);
        }
        if (receiver == sender)
            receiver = NONE;
        these->port[i] = (int32_t)(sender >= 0 ? sender : receiver);
        if (sender >= 0)
            these->direction[i] = FROM_GUEST;
        else if (receiver >= 0)
            these->direction[i] = TO_GUEST;
        if (sender >= 0 && receiver >= 0) {
            both[shared] = i;
            other[shared++] = receiver;
        }
    }
    return shared;
}
