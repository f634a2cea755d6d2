/* Sends prepared requests over many connections, and says how many were answered, and how soon.
 *
 *   requests PORT CONNECTIONS SECONDS WARM_UP RATE FRAMES
 *
 * FRAMES is a file of whole Kafka frames, one for each connection in turn. With RATE 0 each connection has one
 * request under way (a closed loop); else so many requests a second start when they are due, whether those
 * before are answered or not (an open loop), and their time counts from when they were due.
 *
 * Prints: answers, seconds, latencies in us (p50, p99, p99.9, the longest), seconds of this process's CPU.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define LONGEST_US 2000000
#define UNDER_WAY 4096
#define EVENTS 512

struct connection {
        int socket;
        const uint8_t *frame;
        size_t size;
        double due[UNDER_WAY];
        unsigned sent, answered;
        uint8_t head[4];
        size_t got;
        uint32_t left;
};

static uint32_t latencies[LONGEST_US + 1];
static uint8_t scratch[1 << 18];
static uint64_t answers;
static double longest, measured_from;

static double now(void) {
        struct timespec at;
        clock_gettime(CLOCK_MONOTONIC, &at);
        return at.tv_sec + at.tv_nsec / 1e9;
}

static void stop(const char *what) {
        fprintf(stderr, "%s: %s\n", what, strerror(errno));
        exit(1);
}

static void start(struct connection *each, double due) {
        if (each->sent - each->answered == UNDER_WAY)
                stop("the broker is too far behind");
        each->due[each->sent++ % UNDER_WAY] = due;
        size_t done = 0;
        while (done < each->size) {
                ssize_t sent = send(each->socket, each->frame + done, each->size - done, MSG_NOSIGNAL);
                if (sent < 0 && errno != EAGAIN)
                        stop("send");
                if (sent > 0)
                        done += sent;
        }
}

static void note(struct connection *each) {
        double at = now(), due = each->due[each->answered++ % UNDER_WAY], us = (at - due) * 1e6;
        if (due < measured_from)
                return;
        answers++;
        latencies[us < LONGEST_US ? (uint32_t)us : LONGEST_US]++;
        if (us > longest)
                longest = us;
}

/* How many answers came. */
static int take(struct connection *each) {
        ssize_t size = recv(each->socket, scratch, sizeof scratch, 0);
        int whole = 0;
        if (size == 0 || (size < 0 && errno != EAGAIN))
                stop("the broker closed a connection");
        for (ssize_t at = 0; at < size;) {
                if (each->got < 4) {
                        each->head[each->got++] = scratch[at++];
                        if (each->got == 4)
                                each->left = (uint32_t)each->head[0] << 24 | each->head[1] << 16 | each->head[2] << 8 | each->head[3];
                        continue;
                }
                size_t part = (size_t)(size - at) < each->left ? (size_t)(size - at) : each->left;
                at += part;
                each->left -= part;
                if (!each->left) {
                        each->got = 0;
                        note(each);
                        whole++;
                }
        }
        return whole;
}

static uint32_t percentile(double share) {
        uint64_t wanted = answers * share, seen = 0;
        for (uint32_t us = 0; us <= LONGEST_US; us++)
                if ((seen += latencies[us]) > wanted)
                        return us;
        return LONGEST_US;
}

static uint8_t *whole_file(const char *path, size_t *size) {
        FILE *file = fopen(path, "rb");
        if (!file)
                stop(path);
        fseek(file, 0, SEEK_END);
        *size = ftell(file);
        rewind(file);
        uint8_t *bytes = malloc(*size);
        if (fread(bytes, 1, *size, file) != *size)
                stop(path);
        fclose(file);
        return bytes;
}

int main(int argc, char **argv) {
        if (argc != 7) {
                fprintf(stderr, "requests PORT CONNECTIONS SECONDS WARM_UP RATE FRAMES\n");
                return 2;
        }
        int count = atoi(argv[2]), events = epoll_create1(0);
        double seconds = atof(argv[3]), warm_up = atof(argv[4]), rate = atof(argv[5]);
        size_t bytes, next = 0;
        uint8_t *frames = whole_file(argv[6], &bytes);
        struct connection *all = calloc(count, sizeof *all);
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        for (int each = 0; each < count; each++) {
                int one = 1, made = socket(AF_INET, SOCK_STREAM, 0);
                if (connect(made, (struct sockaddr *)&address, sizeof address))
                        stop("connect");
                setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                if (next + 4 > bytes)
                        next = 0;
                uint32_t length;
                memcpy(&length, frames + next, 4);
                all[each].socket = made;
                all[each].frame = frames + next;
                all[each].size = 4 + ntohl(length);
                next += all[each].size;
                struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = &all[each]};
                epoll_ctl(events, EPOLL_CTL_ADD, made, &wanted);
        }
        double began = now(), ends = began + warm_up + seconds, due = began;
        measured_from = began + warm_up;
        int turn = 0, timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
        struct epoll_event alarm = {.events = EPOLLIN, .data.ptr = NULL};
        epoll_ctl(events, EPOLL_CTL_ADD, timer, &alarm);
        if (!rate)
                for (int each = 0; each < count; each++)
                        start(&all[each], now());
        for (double at = began; at < ends; at = now()) {
                struct epoll_event ready[EVENTS];
                if (rate) {
                        for (; due <= at; due += 1 / rate)
                                start(&all[turn++ % count], due);
                        struct itimerspec next_one = {.it_value = {.tv_sec = due, .tv_nsec = (due - (time_t)due) * 1e9}};
                        timerfd_settime(timer, TFD_TIMER_ABSTIME, &next_one, NULL);
                }
                int found = epoll_wait(events, ready, EVENTS, 100);
                for (int each = 0; each < found; each++) {
                        struct connection *who = ready[each].data.ptr;
                        uint64_t expired;
                        if (!who) {
                                if (read(timer, &expired, sizeof expired) < 0 && errno != EAGAIN)
                                        stop("timer");
                                continue;
                        }
                        int whole = take(who);
                        if (!rate)
                                while (whole--)
                                        start(who, now());
                }
        }
        struct rusage used;
        getrusage(RUSAGE_SELF, &used);
        printf("%llu %f %u %u %u %.0f %f\n", (unsigned long long)answers, now() - measured_from, percentile(.5), percentile(.99),
               percentile(.999), longest,
               used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
        return 0;
}
