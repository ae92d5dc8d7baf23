/* The hash table of loops.py's Index, for whatever in C looks into one. */
#include <stdint.h>

static inline uint64_t mixed(uint64_t x) { /* The finalizer of splitmix64. */
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

/* Slots are a power of two, more than keys; -1 where there is none. The first key that is equal, -1 for none. */
static inline int64_t found_at(const uint64_t *keys, const int32_t *slots, int64_t slot_count, uint64_t wanted) {
    uint64_t slot = mixed(wanted) & (uint64_t)(slot_count - 1);
    while (slots[slot] >= 0 && keys[slots[slot]] != wanted)
        slot = (slot + 1) & (uint64_t)(slot_count - 1);
    return slots[slot];
}
