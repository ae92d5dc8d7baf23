/* One element of a column, which has 1, 2, 4 or 8 bytes each. With a size that the compiler knows loops are several times
 * faster: whoever calls these in one is inlined for each size. */
#include <stdint.h>

#define INLINED static inline __attribute__((always_inline))

INLINED uint64_t at(const void *values, int64_t bytes, int64_t i) {
    switch (bytes) {
    case 1: return ((const uint8_t *)values)[i];
    case 2: return ((const uint16_t *)values)[i];
    case 4: return ((const uint32_t *)values)[i];
    default: return ((const uint64_t *)values)[i];
    }
}

INLINED void put(void *values, int64_t bytes, int64_t i, uint64_t value) {
    switch (bytes) {
    case 1: ((uint8_t *)values)[i] = (uint8_t)value; break;
    case 2: ((uint16_t *)values)[i] = (uint16_t)value; break;
    case 4: ((uint32_t *)values)[i] = (uint32_t)value; break;
    default: ((uint64_t *)values)[i] = value;
    }
}
