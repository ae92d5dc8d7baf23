/* Datagrams out of a socket: receiving.py says what comes, and does the same by itself without this.
 *
 * What the kernel is told of a few of them stays in the nearest cache, and only so much of each is read here.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define EXPORTED __attribute__((visibility("default")))
#define AT_ONCE 64
#define MAPPED 0xFFFF
#define OURSELVES 0x7F000001
#define BILLION 1000000000

EXPORTED int64_t suimon_receiving(void) { return SOURCE; }

typedef struct { /* Room for so many. Each gets `row_bytes` of `flat`; what is longer is moved behind all rows. */
    uint8_t *flat, *rest;
    int64_t count, row_bytes, rest_bytes; /* There are rests for AT_ONCE. */
    int64_t *begins, *lengths;
    uint8_t *cut;
    uint64_t *high, *low;
    int64_t *stamps;
} room;

static inline uint64_t big_endian(const uint8_t *at, int bytes) {
    uint64_t found = 0;
    for (int i = 0; i < bytes; i++)
        found = found << 8 | at[i];
    return found;
}

/* As receiving.py's `_sources`. */
static void source_of(const struct sockaddr_in6 *from, uint64_t *high, uint64_t *low) {
    *high = 0;
    if (from->sin6_family == AF_INET) {
        *low = big_endian((const uint8_t *)&((const struct sockaddr_in *)(const void *)from)->sin_addr, 4);
        return;
    }
    *high = big_endian(from->sin6_addr.s6_addr, 8);
    *low = big_endian(from->sin6_addr.s6_addr + 8, 8);
    if (!*high && *low >> 32 == MAPPED)
        *low &= UINT32_MAX;
    else if (!*high && *low == 1)
        *low = OURSELVES;
}

/* When the kernel had it, UTC nanoseconds (SO_TIMESTAMPNS, socket(7)); 0 when it doesn't say. */
static int64_t stamp_of(struct msghdr *head) {
    struct timespec at;
    struct cmsghdr *told = CMSG_FIRSTHDR(head);
    if (!told || told->cmsg_level != SOL_SOCKET || told->cmsg_type != SCM_TIMESTAMPNS)
        return 0;
    memcpy(&at, CMSG_DATA(told), sizeof at);
    return at.tv_sec * BILLION + at.tv_nsec;
}

/* What waits in a socket, as far as there is room: how many datagrams that is; the negative errno when nothing came. */
EXPORTED int64_t suimon_receive(int64_t source, const room *into) {
    struct mmsghdr heads[AT_ONCE];
    struct iovec parts[AT_ONCE][2];
    struct sockaddr_in6 names[AT_ONCE];
    _Alignas(struct cmsghdr) uint8_t told[AT_ONCE][CMSG_SPACE(sizeof(struct timespec))];
    int64_t taken = 0, end = into->count * into->row_bytes;
    while (taken < into->count) {
        int64_t most = into->count - taken < AT_ONCE ? into->count - taken : AT_ONCE;
        for (int64_t i = 0; i < most; i++) {
            parts[i][0] = (struct iovec){into->flat + (taken + i) * into->row_bytes, (size_t)into->row_bytes};
            parts[i][1] = (struct iovec){into->rest + i * into->rest_bytes, (size_t)into->rest_bytes};
            heads[i].msg_hdr = (struct msghdr){&names[i], sizeof names[i], parts[i], 2, told[i], sizeof told[i], 0};
        }
        int got = recvmmsg((int)source, heads, (unsigned)most, MSG_DONTWAIT, 0);
        if (got < 0)
            return taken ? taken : -errno;
        for (int64_t i = 0; i < got; i++) {
            int64_t n = taken + i, length = heads[i].msg_len, begin = n * into->row_bytes;
            if (length > into->row_bytes) {
                memcpy(into->flat + end, into->flat + begin, (size_t)into->row_bytes);
                memcpy(into->flat + end + into->row_bytes, parts[i][1].iov_base, (size_t)(length - into->row_bytes));
                begin = end;
                end += length;
            }
            into->begins[n] = begin, into->lengths[n] = length;
            into->cut[n] = (heads[i].msg_hdr.msg_flags & MSG_TRUNC) != 0;
            source_of(&names[i], &into->high[n], &into->low[n]);
            into->stamps[n] = stamp_of(&heads[i].msg_hdr);
        }
        taken += got;
        if (got < most)
            break;
    }
    return taken;
}
