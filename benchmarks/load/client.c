/* The load: many WebSocket (or HTTP) connections, each with some messages in flight, from one thread.
 *
 * client --mode echo       messages there and back; every byte that comes back is compared
 *               handshakes open, close and open again
 *               hold       open all, send one message there and back, print a line, stay until standard input ends
 *               universal  --body is sent on each WebSocket, --in-flight at a time; answers and stream frames are counted
 *               http       --body is posted on each connection, one at a time
 *
 * Prints one JSON object: what was done in --seconds, after --warmup, and the CPU time that process --pid spent then.
 * With --paced a line is printed when all are open, and then an object for each line of standard input. With --apart
 * each message is written by itself; without, as many at once as a read brought back.
 */
#include "wire.h"
#include <getopt.h>

enum mode { ECHO, HANDSHAKES, HOLD, UNIVERSAL, HTTP };
enum { CONNECTING, OPEN };
enum { MAX_SAMPLES = 1 << 21 };

struct link {
    int fd, state, blocked;
    struct buffer in, out;
    uint64_t matched; /* bytes of the present message */
    uint64_t sent_at;
};

static const char *MODES[] = {"echo", "handshakes", "hold", "universal", "http"};
static const char *path = "/", *body = "", *headers = "";
static enum mode mode = ECHO;
static int port, pid, connections = 1, in_flight = 1, window, text, paced, apart, epoll_fd, open_links, next_link;
static size_t size = 512;
static double seconds = 1, warmup = 0.05;
static struct link *links;
static uint8_t shared[READ_BYTES], *payload;
static struct buffer message; /* `in_flight` times the frame or request that is sent */
static size_t message_bytes;  /* of one */
static const uint8_t KEY[4] = {0x37, 0xfa, 0x21, 0x3d};
static uint64_t done, parts; /* messages that came back, and frames of streams */
static uint32_t *samples;
static size_t sample_count;

static void prepare(void) {
    uint8_t frame[16];
    payload = malloc(size + 64);
    if (mode == HTTP) {
        reserve(&message, strlen(body) + strlen(headers) + strlen(path) + 256);
        message.length = (size_t)sprintf((char *)message.data,
            "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n%s\r\n%s",
            path, port, strlen(body), headers, body);
        message_bytes = message.length;
        return;
    }
    if (mode == UNIVERSAL) {
        size = strlen(body);
        payload = (uint8_t *)strdup(body);
    } else { /* JSON of just this size, with two characters that are not ASCII when there is room */
        memset(payload, 'A', size + 1);
        static const char opening[] = "{\"type\":\"bench\",\"text\":\"\xc3\xa9\xe2\x82\xac\",\"audio\":\"";
        if (size >= sizeof opening + 2) {
            memcpy(payload, opening, sizeof opening - 1);
            memcpy(payload + size - 2, "\"}", 2);
        }
    }
    size_t header = write_header(frame, 128 | (text || mode == UNIVERSAL ? TEXT : BINARY), size, 1);
    message_bytes = header + 4 + size;
    for (int i = 0; i < in_flight; i++) {
        append(&message, frame, header);
        append(&message, KEY, 4);
        reserve(&message, size);
        mask(message.data + message.length, payload, size, KEY);
        message.length += size;
    }
}

static void update(struct link *l) {
    int blocked = l->out.length > 0;
    if (blocked == l->blocked) return;
    l->blocked = blocked;
    watch(epoll_fd, EPOLL_CTL_MOD, l->fd, EPOLLIN | (blocked ? EPOLLOUT : 0), l);
}

static void say(struct link *l, int times) {
    if (apart && times > 1) {
        while (times--) say(l, 1);
        return;
    }
    if (!l->out.length) { /* nothing to copy unless the kernel is full */
        size_t all = message_bytes * (size_t)times, sent = 0;
        ssize_t n = send(l->fd, message.data, all, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) die("send");
        if (n > 0) sent = (size_t)n;
        if (sent == all) return;
        append(&l->out, message.data + sent, all - sent);
    } else {
        append(&l->out, message.data, message_bytes * (size_t)times);
    }
    update(l);
}

static void begin(struct link *l) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    char request[2048];
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    l->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (l->fd < 0 || connect(l->fd, (void *)&address, sizeof address)) die("connect");
    tune(l->fd);
    l->state = CONNECTING;
    l->matched = l->in.length = 0;
    watch(epoll_fd, EPOLL_CTL_ADD, l->fd, EPOLLIN, l);
    if (mode == HTTP) {
        l->state = OPEN;
        open_links++;
        say(l, 1);
        return;
    }
    int n = snprintf(request, sizeof request,
                     "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
                     path, port, headers);
    if (send(l->fd, request, (size_t)n, MSG_NOSIGNAL) != n) die("send");
}

static void restart(struct link *l) {
    struct linger reset = {1, 0}; /* no TIME_WAIT, of which there would be more than ports */
    setsockopt(l->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(l->fd);
    open_links--;
    begin(l);
}

static void start(struct link *l) {
    static const uint8_t farewell[] = {128 | CLOSE, 128 | 2, 0, 0, 0, 0, 3, 232};
    if (mode == HANDSHAKES && send(l->fd, farewell, sizeof farewell, MSG_NOSIGNAL) != sizeof farewell) die("send");
    if (mode == UNIVERSAL || (mode == ECHO && !window)) {
        l->sent_at = now();
        say(l, in_flight);
    }
    if (mode == HOLD && size) say(l, 1);
}

static size_t take_upgrade(struct link *l, const char *data, size_t length) {
    char *stop = memmem(data, length, "\r\n\r\n", 4);
    if (!stop) return 0;
    if (strncmp(data, "HTTP/1.1 101", 12)) {
        fwrite(data, 1, length, stderr);
        die("upgrade");
    }
    l->state = OPEN;
    open_links++;
    if (!window) {
        start(l);
    } else if (open_links == connections) { /* a window begins when all are open: `window` messages in flight, on one link after the other */
        for (next_link = 0; next_link < window; next_link++) say(&links[next_link], 1);
        next_link %= connections;
    }
    return (size_t)(stop - data) + 4;
}

static size_t take_response(const char *data, size_t length) {
    char *stop = memmem(data, length, "\r\n\r\n", 4);
    if (!stop) return 0;
    if (strncmp(data, "HTTP/1.1 200", 12)) {
        fwrite(data, 1, length, stderr);
        die("response");
    }
    size_t head = (size_t)(stop - data) + 4;
    for (const char *line = data; line && line < stop; line = strstr(line + 2, "\r\n"))
        if (!strncasecmp(line + 2, "content-length:", 15)) {
            size_t all = head + (size_t)atol(line + 17);
            return all <= length ? all : 0;
        }
    char *last = memmem(stop, length - (size_t)(stop - data), "0\r\n\r\n", 5);
    return last ? (size_t)(last - data) + 5 : 0;
}

static void came_back(struct link *l) {
    done++;
    if (in_flight == 1 && !window && sample_count < MAX_SAMPLES) {
        uint64_t t = now();
        samples[sample_count++] = (uint32_t)(t - l->sent_at);
        l->sent_at = t;
    }
}

/* Handle one frame; return its length, or 0 while it is incomplete. `again` counts what is to be sent anew. */
static size_t take_frame(struct link *l, const uint8_t *data, size_t length, int *again) {
    struct frame f;
    if (!parse(data, length, &f) || length - f.header < f.length) return 0;
    const uint8_t *content = data + f.header;
    if (f.opcode == PING) {
        uint8_t pong[132] = {128 | PONG, (uint8_t)(128 | f.length)}; /* a mask of zeros */
        memcpy(pong + 6, content, f.length);
        append(&l->out, pong, 6 + f.length);
    } else if (f.opcode == CLOSE) {
        if (mode != HANDSHAKES) die("closed by the server");
        done++;
        *again = -1;
    } else if (f.opcode <= BINARY && (mode == ECHO || mode == HOLD)) {
        if (l->matched + f.length > size || memcmp(content, payload + l->matched, f.length)) die("wrong echo");
        l->matched += f.length;
        if (f.final) {
            if (l->matched != size) die("short echo");
            l->matched = 0;
            *again += mode == ECHO;
            came_back(l);
        }
    } else if (f.opcode <= BINARY && mode == UNIVERSAL) {
        static const char type[] = "{\"type\":\"universal.";
        const char *kind = (const char *)content + sizeof type - 1;
        if (f.length < 64 || memcmp(content, type, sizeof type - 1)) die("unknown message");
        if (*kind == 's') {
            parts++;
        } else if (*kind == 'd' || !memmem(content, f.length, "event-stream", 12)) {
            if (!memmem(content, f.length, "\"status\":200", 12)) {
                fwrite(content, 1, f.length, stderr);
                die("refused");
            }
            ++*again;
            came_back(l);
        }
    }
    return f.header + f.length;
}

static ssize_t take(struct link *l, uint8_t *data, size_t length) {
    size_t used = 0, n;
    int again = 0;
    while (used < length) {
        if (l->state == CONNECTING) {
            n = take_upgrade(l, (char *)data + used, length - used);
        } else if (mode == HTTP) {
            n = take_response((char *)data + used, length - used);
            if (n) again++, came_back(l);
        } else {
            n = take_frame(l, data + used, length - used, &again);
            if (again < 0) return -1;
        }
        if (!n) break;
        used += n;
    }
    if (window) {
        while (again--) {
            say(&links[next_link], 1);
            next_link = (next_link + 1) % connections;
        }
    } else if (again) {
        say(l, again);
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
    ssize_t n = read(l->fd, to, room), used;
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) die("lost connection");
    to[n] = 0;
    if (before) {
        in->length += (size_t)n;
        used = take(l, in->data, in->length);
        if (used > 0) drop(in, (size_t)used);
    } else {
        used = take(l, shared, (size_t)n);
        if (used >= 0 && used < n) append(in, shared + used, (size_t)(n - used));
    }
    if (used < 0) restart(l);
}

static void run(uint64_t until) {
    struct epoll_event events[EVENTS];
    uint64_t t;
    while ((t = now()) < until) {
        int ready = epoll_wait(epoll_fd, events, EVENTS, (int)((until - t) / 1000000) + 1);
        for (int i = 0; i < ready; i++) {
            struct link *l = events[i].data.ptr;
            if (events[i].events & EPOLLOUT) {
                flush(l->fd, &l->out);
                update(l);
            }
            if (events[i].events & ~(uint32_t)EPOLLOUT) readable(l);
        }
    }
}

static int ascending(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void options(int count, char **arguments) {
    static const struct option known[] = {
        {"mode", 1, 0, 'm'}, {"port", 1, 0, 'p'}, {"path", 1, 0, 'u'}, {"pid", 1, 0, 'P'}, {"connections", 1, 0, 'c'},
        {"in-flight", 1, 0, 'f'}, {"window", 1, 0, 'w'}, {"paced", 0, 0, 'n'}, {"apart", 0, 0, 'a'}, {"size", 1, 0, 's'}, {"text", 0, 0, 't'}, {"body", 1, 0, 'b'},
        {"headers", 1, 0, 'H'}, {"seconds", 1, 0, 'T'}, {"warmup", 1, 0, 'W'}, {0, 0, 0, 0}};
    int o;
    while ((o = getopt_long(count, arguments, "", known, NULL)) >= 0) switch (o) {
        case 'm':
            for (mode = ECHO; mode < HTTP && strcmp(optarg, MODES[mode]); mode++) {}
            if (strcmp(optarg, MODES[mode])) exit(2);
            break;
        case 'p': port = atoi(optarg); break;
        case 'u': path = optarg; break;
        case 'P': pid = atoi(optarg); break;
        case 'c': connections = atoi(optarg); break;
        case 'f': in_flight = atoi(optarg); break;
        case 'w': window = atoi(optarg); break;
        case 's': size = (size_t)atol(optarg); break;
        case 't': text = 1; break;
        case 'n': paced = 1; break;
        case 'a': apart = 1; break;
        case 'b': body = optarg; break;
        case 'H': headers = optarg; break;
        case 'T': seconds = atof(optarg); break;
        case 'W': warmup = atof(optarg); break;
        default: exit(2);
        }
}

static void measure(clockid_t theirs) {
    run(now() + (uint64_t)(warmup * 1e9));
    done = parts = sample_count = 0;
    uint64_t began = now(), spent = nanoseconds(theirs), own = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
    run(began + (uint64_t)(seconds * 1e9));
    double elapsed = (double)(now() - began) / 1e9;
    spent = nanoseconds(theirs) - spent;
    own = nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - own;
    qsort(samples, sample_count, sizeof *samples, ascending);
    printf("{\"done\": %lu, \"parts\": %lu, \"seconds\": %.6f, \"cpu_seconds\": %.6f, \"load_cpu_seconds\": %.6f", done, parts,
           elapsed, pid ? (double)spent / 1e9 : 0.0, (double)own / 1e9);
    if (sample_count)
        printf(", \"p50_us\": %.1f, \"p99_us\": %.1f", samples[sample_count / 2] / 1e3, samples[sample_count * 99 / 100] / 1e3);
    printf("}\n");
    fflush(stdout);
}

int main(int count, char **arguments) {
    char line[16];
    options(count, arguments);
    clockid_t theirs = CLOCK_MONOTONIC;
    if (pid && clock_getcpuclockid(pid, &theirs)) die("pid");
    prepare();
    links = calloc((size_t)connections, sizeof *links);
    samples = malloc(MAX_SAMPLES * sizeof *samples);
    epoll_fd = epoll_create1(0);
    for (int i = 0; i < connections; i++) {
        begin(&links[i]);
        while (i + 1 - open_links >= 16) run(now() + 1000000); /* so that none waits longer than servers allow */
    }
    uint64_t echoes = mode == HOLD && size ? (uint64_t)connections : 0;
    for (uint64_t limit = now() + 60000000000u; mode != HANDSHAKES && (open_links < connections || done < echoes);) {
        if (now() > limit) die("not all connections opened");
        run(now() + 1000000);
    }
    if (mode == HOLD || paced) {
        printf("{\"open\": %d}\n", open_links);
        fflush(stdout);
        while (read(0, line, sizeof line) > 0)
            if (paced) measure(theirs);
    } else {
        measure(theirs);
    }
    return 0;
}
