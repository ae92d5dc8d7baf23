/* What numpy needs many passes over memory for, in one: loops.py says what each does, and does the same without it.
 *
 * Callers own all arrays, which have the lengths that are given; nothing here is told a place by strangers.
 */
#include <string.h>

#include "hashing.h"

#define EXPORTED __attribute__((visibility("default")))

EXPORTED int64_t suimon_loops(void) { return SOURCE; }

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
    for (int64_t i = 0; i < count; i++)
        found[i] = found_at(keys, slots, slot_count, wanted[i]);
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
