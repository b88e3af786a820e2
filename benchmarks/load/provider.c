/* A provider that costs next to nothing: echoes WebSocket messages, answers POST with a small JSON or a stream.
 *
 * provider [PORT]     listens on loopback, prints its port
 *
 * A body with "stream": true gets server-sent events of 150 bytes each: "max_tokens" says how many, "seed" how many
 * microseconds lie between two events (0: all at once). A WebSocket whose target has "model=apart" gets each message in
 * a write of its own, any other one all that came in one read at once.
 */
#include "wire.h"
#include <sys/timerfd.h>

struct link {
    int fd, open, apart, blocked, events_left;
    struct buffer in, out;
    struct link *next, *before; /* the ring of streams */
};

static int epoll_fd, timer_fd;
static struct link *streams; /* one of them; they are in a ring */
static long period;
static uint8_t shared[READ_BYTES];
static const char *ANSWER =
    "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1760000000,\"model\":\"m\",\"choices\":[{\"index\":0,"
    "\"message\":{\"role\":\"assistant\",\"content\":\"Hello! How can I help you today?\"},\"finish_reason\":\"stop\"}],"
    "\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":9,\"total_tokens\":18}}";
static const char EVENT[] = /* 0x96 = 150 bytes */
    "96\r\ndata: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\""
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}}]}\n\n\r\n";
static const char LAST_EVENT[] = "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n";

static void sha1(const uint8_t *text, size_t n, uint8_t out[20]) {
    uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0}, w[80];
    uint8_t block[128] = {0};
    size_t total = n < 56 ? 64 : 128; /* a key and the GUID are 60 bytes */
    memcpy(block, text, n);
    block[n] = 0x80;
    for (int i = 0; i < 8; i++) block[total - 1 - i] = (uint8_t)((uint64_t)n * 8 >> 8 * i);
    for (size_t at = 0; at < total; at += 64) {
        for (int i = 0; i < 16; i++) {
            const uint8_t *p = block + at + 4 * i;
            w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
        }
        for (int i = 16; i < 80; i++) {
            uint32_t x = w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16];
            w[i] = x << 1 | x >> 31;
        }
        uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
        for (int i = 0; i < 80; i++) {
            uint32_t f = i < 20 ? (b & c) | (~b & d) : i < 40 || i >= 60 ? b ^ c ^ d : (b & c) | (b & d) | (c & d);
            uint32_t k = i < 20 ? 0x5A827999 : i < 40 ? 0x6ED9EBA1 : i < 60 ? 0x8F1BBCDC : 0xCA62C1D6;
            uint32_t t = (a << 5 | a >> 27) + f + e + k + w[i];
            e = d, d = c, c = b << 30 | b >> 2, b = a, a = t;
        }
        h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
    }
    for (int i = 0; i < 20; i++) out[i] = (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4)));
}

static void base64(const uint8_t in[20], char *out) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int i = 0; i < 21; i += 3) {
        uint32_t x = (uint32_t)in[i] << 16 | (uint32_t)in[i + 1] << 8 | (i + 2 < 20 ? in[i + 2] : 0);
        *out++ = digits[x >> 18], *out++ = digits[x >> 12 & 63], *out++ = digits[x >> 6 & 63];
        *out++ = i + 2 < 20 ? digits[x & 63] : '=';
    }
    *out = 0;
}

static void leave(struct link *l) {
    if (!l->next) return;
    if (streams == l) streams = l->next == l ? NULL : l->next;
    l->next->before = l->before;
    l->before->next = l->next;
    l->next = NULL;
}

static void end(struct link *l) {
    leave(l);
    close(l->fd);
    free(l->in.data);
    free(l->out.data);
    free(l);
}

static void put_event(struct link *l) {
    if (--l->events_left >= 0) {
        append(&l->out, EVENT, sizeof EVENT - 1);
    } else {
        append(&l->out, LAST_EVENT, sizeof LAST_EVENT - 1);
        leave(l);
    }
}

static void set_period(long microseconds) {
    struct itimerspec t = {{0, microseconds * 1000}, {0, microseconds * 1000}};
    if (microseconds == period) return;
    period = microseconds;
    if (timerfd_settime(timer_fd, 0, &t, NULL)) die("timerfd_settime");
}

static long number(const char *text, const char *key, long otherwise) {
    const char *at = strstr(text, key);
    if (!at) return otherwise;
    at += strlen(key);
    while (*at == ':' || *at == ' ' || *at == '"') at++;
    return atol(at);
}

static void answer(struct link *l, const char *body) {
    char head[256];
    if (!strstr(body, "\"stream\":true") && !strstr(body, "\"stream\": true")) {
        int n = snprintf(head, sizeof head,
                         "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", strlen(ANSWER));
        append(&l->out, head, (size_t)n);
        append(&l->out, ANSWER, strlen(ANSWER));
        return;
    }
    int n = snprintf(head, sizeof head,
                     "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    append(&l->out, head, (size_t)n);
    l->events_left = (int)number(body, "\"max_tokens\"", 100);
    long between = number(body, "\"seed\"", 0);
    set_period(between);
    if (!streams) streams = l->next = l->before = l;
    else l->next = streams, l->before = streams->before, l->before->next = l, streams->before = l;
    while (!between && l->next) put_event(l);
}

/* Handle one request; return its length, or 0 while it is incomplete. */
static size_t take_request(struct link *l, char *text, size_t length) {
    char *stop = memmem(text, length, "\r\n\r\n", 4);
    if (!stop) return 0;
    size_t head = (size_t)(stop - text) + 4, body = 0;
    char *key = NULL;
    int chunked = 0;
    for (char *line = strstr(text, "\r\n"); line && line < stop; line = strstr(line + 2, "\r\n")) {
        if (!strncasecmp(line + 2, "sec-websocket-key:", 18)) key = line + 20;
        if (!strncasecmp(line + 2, "content-length:", 15)) body = (size_t)atol(line + 17);
        if (!strncasecmp(line + 2, "transfer-encoding: chunked", 26)) chunked = 1;
    }
    if (key) {
        uint8_t joined[60], hash[20];
        char accept[32], reply[256];
        while (*key == ' ') key++;
        memcpy(joined, key, 24);
        memcpy(joined + 24, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
        sha1(joined, 60, hash);
        base64(hash, accept);
        int n = snprintf(reply, sizeof reply,
                         "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         "Sec-WebSocket-Accept: %s\r\n\r\n", accept);
        append(&l->out, reply, (size_t)n);
        l->open = 1;
        l->apart = memmem(text, head, "model=apart", 11) != NULL;
        return head;
    }
    if (chunked) {
        char *last = memmem(stop, length - (size_t)(stop - text), "\r\n0\r\n\r\n", 7);
        if (!last) return 0;
        body = (size_t)(last + 7 - text) - head;
    } else if (length < head + body) {
        return 0;
    }
    char after = text[head + body];
    text[head + body] = 0;
    answer(l, text + head);
    text[head + body] = after;
    return head + body;
}

/* Echo one frame; return its length, 0 while it is incomplete, or -1 after a Close. */
static ssize_t take_frame(struct link *l, uint8_t *data, size_t length) {
    struct frame f;
    if (!parse(data, length, &f) || length - f.header < f.length) return 0;
    if (f.opcode != PONG) {
        reserve(&l->out, f.length + 16);
        int first = f.opcode == PING ? 128 | PONG : (f.final << 7) | f.opcode;
        l->out.length += write_header(l->out.data + l->out.length, first, f.length, 0);
        mask(l->out.data + l->out.length, data + f.header, f.length, f.key);
        l->out.length += f.length;
    }
    return f.opcode == CLOSE ? -1 : (ssize_t)(f.header + f.length);
}

static void send_out(struct link *l) {
    int blocked = !flush(l->fd, &l->out);
    if (blocked == l->blocked) return;
    l->blocked = blocked;
    watch(epoll_fd, EPOLL_CTL_MOD, l->fd, blocked ? EPOLLOUT : EPOLLIN, l);
}

/* Handle what is there; return how much was used, or -1 when the link is to be closed. */
static ssize_t take(struct link *l, uint8_t *data, size_t length) {
    size_t used = 0;
    while (used < length) {
        ssize_t n = l->open ? take_frame(l, data + used, length - used)
                            : (ssize_t)take_request(l, (char *)data + used, length - used);
        if (n < 0) return -1;
        if (!n) break;
        used += (size_t)n;
        if (l->apart) send_out(l);
    }
    return (ssize_t)used;
}

static void readable(struct link *l) {
    struct buffer *in = &l->in;
    uint8_t *to = shared;
    size_t room = sizeof shared - 1, before = in->length;
    if (before) {
        reserve(in, READ_BYTES);
        to = in->data + before;
        room = in->capacity - before - 1;
    }
    ssize_t n = read(l->fd, to, room);
    if (n <= 0) {
        if (n < 0 && errno == EAGAIN) return;
        end(l);
        return;
    }
    to[n] = 0;
    ssize_t used;
    if (before) {
        in->length += (size_t)n;
        used = take(l, in->data, in->length);
        if (used > 0) drop(in, (size_t)used);
    } else {
        used = take(l, shared, (size_t)n);
        if (used >= 0 && used < n) append(in, shared + used, (size_t)(n - used));
    }
    send_out(l);
    if (used < 0) end(l);
}

int main(int count, char **arguments) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)(count > 1 ? atoi(arguments[1]) : 0))};
    socklen_t size = sizeof address;
    struct epoll_event events[EVENTS];
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (void *)&address, size) || listen(listener, 4096)) die("listen");
    getsockname(listener, (void *)&address, &size);
    fcntl(listener, F_SETFL, O_NONBLOCK);
    epoll_fd = epoll_create1(0);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    watch(epoll_fd, EPOLL_CTL_ADD, listener, EPOLLIN, &listener);
    watch(epoll_fd, EPOLL_CTL_ADD, timer_fd, EPOLLIN, &timer_fd);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int ready = epoll_wait(epoll_fd, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.ptr == &listener) {
                int fd;
                while ((fd = accept(listener, NULL, NULL)) >= 0) {
                    struct link *l = calloc(1, sizeof *l);
                    l->fd = fd;
                    tune(fd);
                    watch(epoll_fd, EPOLL_CTL_ADD, fd, EPOLLIN, l);
                }
            } else if (events[i].data.ptr == &timer_fd) {
                uint64_t times;
                if (read(timer_fd, &times, sizeof times) != sizeof times || !streams) continue;
                struct link *last = streams->before, *l = streams, *next;
                do { /* once, also when the timer was late: a stream's events are not to be read together */
                    next = l->next;
                    put_event(l);
                    send_out(l);
                    if (l == last) break;
                    l = next;
                } while (1);
            } else if (events[i].events & EPOLLOUT) {
                send_out(events[i].data.ptr);
            } else {
                readable(events[i].data.ptr);
            }
        }
    }
}
