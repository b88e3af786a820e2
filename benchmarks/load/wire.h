/* What the load generator and the provider share: sockets, buffers, clocks and WebSocket frames. */
#ifndef WIRE_H
#define WIRE_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10, READ_BYTES = 256 * 1024, EVENTS = 1024 };

struct buffer {
    uint8_t *data;
    size_t length, capacity;
};

struct frame {
    int final, opcode, masked;
    size_t header; /* bytes before the payload */
    uint64_t length;
    uint8_t key[4];
};

static inline void die(const char *what) {
    fprintf(stderr, "%s: %s\n", what, errno ? strerror(errno) : "not as expected");
    exit(1);
}

static inline uint64_t nanoseconds(clockid_t clock) {
    struct timespec t;
    if (clock_gettime(clock, &t)) return 0;
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t now(void) { return nanoseconds(CLOCK_MONOTONIC); }

static inline void reserve(struct buffer *b, size_t room) {
    if (b->capacity - b->length >= room) return;
    b->capacity = (b->length + room) * 3 / 2;
    b->data = realloc(b->data, b->capacity);
    if (!b->data) die("memory");
}

static inline void append(struct buffer *b, const void *data, size_t length) {
    reserve(b, length);
    memcpy(b->data + b->length, data, length);
    b->length += length;
}

static inline void drop(struct buffer *b, size_t length) {
    b->length -= length;
    if (b->length) {
        memmove(b->data, b->data + length, b->length);
    } else if (b->capacity > 4096) { /* thousands of idle connections keep nothing */
        free(b->data);
        b->data = NULL;
        b->capacity = 0;
    }
}

static inline void tune(int fd) {
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static inline void watch(int poll, int operation, int fd, uint32_t events, void *what) {
    struct epoll_event e = {.events = events, .data.ptr = what};
    if (epoll_ctl(poll, operation, fd, &e)) die("epoll_ctl");
}

/* Write what the kernel takes of `out`; return whether all of it went. */
static inline int flush(int fd, struct buffer *out) {
    size_t sent = 0;
    while (sent < out->length) {
        ssize_t n = send(fd, out->data + sent, out->length - sent, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EAGAIN) break;
            out->length = 0; /* the peer is gone; reading will say so */
            return 1;
        }
        sent += (size_t)n;
    }
    drop(out, sent);
    return out->length == 0;
}

/* Read a frame's header; return 0 while it is incomplete. */
static inline int parse(const uint8_t *p, size_t n, struct frame *f) {
    if (n < 2) return 0;
    size_t extra = (p[1] & 127) == 126 ? 2 : (p[1] & 127) == 127 ? 8 : 0;
    f->final = p[0] >> 7;
    f->opcode = p[0] & 15;
    f->masked = p[1] >> 7;
    f->header = 2 + extra + (f->masked ? 4 : 0);
    if (n < f->header) return 0;
    f->length = extra ? 0 : p[1] & 127;
    for (size_t i = 0; i < extra; i++) f->length = f->length << 8 | p[2 + i];
    if (f->masked) memcpy(f->key, p + f->header - 4, 4);
    return 1;
}

static inline size_t write_header(uint8_t *p, int first, uint64_t length, int masked) {
    size_t extra = length < 126 ? 0 : length < 65536 ? 2 : 8;
    p[0] = (uint8_t)first;
    p[1] = (uint8_t)((masked ? 128 : 0) | (extra == 0 ? length : extra == 2 ? 126 : 127));
    for (size_t i = 0; i < extra; i++) p[2 + i] = (uint8_t)(length >> 8 * (extra - 1 - i));
    return 2 + extra;
}

/* XOR eight bytes at a time; `to` and `from` may be the same. */
static inline void mask(uint8_t *to, const uint8_t *from, size_t n, const uint8_t key[4]) {
    uint64_t wide, k;
    uint32_t k4;
    size_t i = 0;
    memcpy(&k4, key, 4);
    k = (uint64_t)k4 << 32 | k4;
    for (; i + 8 <= n; i += 8) {
        memcpy(&wide, from + i, 8);
        wide ^= k;
        memcpy(to + i, &wide, 8);
    }
    for (; i < n; i++) to[i] = from[i] ^ key[i & 3];
}

#endif
