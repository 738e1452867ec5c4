/* Phases, epoll, deadlines. */

#include "connection.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { MOST_EVENTS = 512 };
#define LOOK_EVERY 50000000u /* ns from one look at the deadlines to the next */

const char *load_error_name(int error) {
    static const char *const names[LOAD_ERRORS] = {
        [LOAD_NONE] = "none",
        [LOAD_CONNECT] = "connect",
        [LOAD_FILES] = "file-descriptors",
        [LOAD_ADDRESSES] = "addresses",
        [LOAD_SYSTEM] = "system-call",
        [LOAD_STATUS] = "status",
        [LOAD_HANDSHAKE] = "handshake",
        [LOAD_ENDED] = "ended",
        [LOAD_CLOSED] = "closed",
        [LOAD_FRAME] = "frame",
        [LOAD_UNEXPECTED] = "unexpected-message",
        [LOAD_OPCODE] = "opcode",
        [LOAD_LENGTH] = "length",
        [LOAD_PAYLOAD] = "payload",
        [LOAD_CLOSE_CODE] = "close-code",
        [LOAD_HANDSHAKE_TIMEOUT] = "handshake-timeout",
        [LOAD_ANSWER_TIMEOUT] = "answer-timeout",
        [LOAD_CLOSE_TIMEOUT] = "close-timeout",
    };
    return error > LOAD_NONE && error < LOAD_ERRORS ? names[error] : NULL;
}

/* --- Life --- */

static void *copy_of(const void *from, size_t size) {
    void *to = malloc(size + 1);
    if (to != NULL && size > 0) {
        memcpy(to, from, size);
    }
    return to;
}

load_generator *load_new(const load_options *options, uint64_t seed) {
    load_generator *it = calloc(1, sizeof *it);
    if (it == NULL) {
        return NULL;
    }
    it->random = seed;
    it->options = *options;
    it->options.head = copy_of(options->head, options->head_size);
    it->options.accept = copy_of(options->accept, strlen(options->accept) + 1);
    it->options.sources = copy_of(options->sources, options->source_count * sizeof *options->sources);
    it->each = calloc(options->connections, sizeof *it->each);
    it->input = malloc(READ_SIZE);
    it->epoll = epoll_create1(EPOLL_CLOEXEC);
    for (size_t at = 0; it->each != NULL && at < options->connections; at++) {
        it->each[at].fd = -1;
        it->each[at].number = (uint32_t)at;
    }
    if (it->epoll < 0 || it->each == NULL || it->input == NULL || it->options.head == NULL ||
        it->options.accept == NULL || it->options.sources == NULL) {
        const int error = it->epoll < 0 ? errno : ENOMEM;
        load_free(it);
        errno = error;
        return NULL;
    }
    return it;
}

void load_free(load_generator *it) {
    if (it == NULL) {
        return;
    }
    for (size_t at = 0; it->each != NULL && at < it->options.connections; at++) {
        if (it->each[at].fd >= 0) {
            drop(it, &it->each[at]);
        }
    }
    if (it->epoll >= 0) {
        close(it->epoll);
    }
    free((void *)it->options.head);
    free((void *)it->options.accept);
    free((void *)it->options.sources);
    free(it->each);
    free(it->input);
    free(it->output);
    free(it->pattern);
    free(it);
}

const load_report *load_report_of(const load_generator *it) { return &it->report; }

/* --- Phases --- */

static void start(load_generator *it, enum phase phase, uint64_t ns) {
    const uint64_t connections = it->report.connections;
    memset(&it->report, 0, sizeof it->report);
    it->report.connections = connections;
    it->now = it->started = clock_now();
    it->cpu_started = clock_of_this_thread();
    it->phase = phase;
    it->ends = ns > 0 ? it->started + ns : 0;
    it->looks = it->started + LOOK_EVERY;
    it->due = it->busy = it->next = 0;
    it->at_once = it->options.connections;
    for (size_t at = 0; at < it->options.connections; at++) {
        it->each[at].due = 0;
        it->each[at].deadline = 0;
    }
}

/* Connections in this state take part in the phase. */
static void include(load_generator *it, enum state state) {
    for (size_t at = 0; at < it->options.connections; at++) {
        if (it->each[at].state == state) {
            it->each[at].due = 1;
            it->due++;
        }
    }
}

int load_start_open(load_generator *it, size_t at_once) {
    start(it, OPENING, 0);
    it->at_once = at_once;
    include(it, GONE);
    return 0;
}

int load_start_close(load_generator *it, size_t at_once) {
    start(it, CLOSING, 0);
    it->at_once = at_once;
    include(it, OPEN);
    return 0;
}

int load_start_hold(load_generator *it, uint64_t ns, int until) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    start(it, HOLDING, ns);
    it->until = until;
    return until < 0 ? 0 : epoll_ctl(it->epoll, EPOLL_CTL_ADD, until, &event);
}

int load_start_refused(load_generator *it, uint64_t count, size_t at_once, int status) {
    start(it, REFUSED, 0);
    it->at_once = at_once < it->options.connections ? at_once : it->options.connections;
    it->repeats = count;
    it->status = status;
    return 0;
}

int load_start_exchange(load_generator *it, uint8_t opcode, size_t size, uint32_t in_flight, uint32_t refill,
                        uint64_t messages, uint64_t ns) {
    start(it, EXCHANGING, ns);
    free(it->pattern);
    free(it->output);
    it->output_size = size + LARGEST_HEADER > WRITE_SIZE ? size + LARGEST_HEADER : WRITE_SIZE;
    it->output = malloc(it->output_size);
    it->pattern = malloc(size + 1);
    it->opcode = opcode;
    it->size = size;
    it->in_flight = in_flight;
    it->refill = refill;
    if (it->output == NULL || it->pattern == NULL) {
        return -1;
    }
    write_pattern(it->pattern, size);
    include(it, OPEN);
    for (size_t at = 0; at < it->options.connections; at++) {
        load_connection *one = &it->each[at];
        if (!one->due) {
            continue;
        }
        free(one->sent_at);
        one->sent_at = malloc(in_flight * sizeof *one->sent_at);
        if (one->sent_at == NULL) {
            return -1;
        }
        one->next_in = one->next_out = 0;
        one->to_send = messages;
    }
    for (size_t at = 0; at < it->options.connections; at++) {
        if (it->each[at].due) {
            it->now = clock_now();
            send_messages(it, &it->each[at]);
        }
    }
    return 0;
}

/* The time of an exchange is over: what was sent is still waited for, and nothing more is sent. */
static void stop_sending(load_generator *it) {
    it->ends = 0;
    for (size_t at = 0; at < it->options.connections; at++) {
        load_connection *one = &it->each[at];
        one->to_send = 0;
        if (one->due && under_way(one) == 0) {
            done(it, one);
        }
    }
}

/* A slot for one more refused connection. There is one: fewer are busy than there are. */
static load_connection *free_slot(load_generator *it) {
    while (it->each[it->next].fd >= 0) {
        it->next = (it->next + 1) % it->at_once;
    }
    return &it->each[it->next];
}

static void say_close(load_generator *it, load_connection *one) {
    static const uint8_t normal_closure[2] = {1000 >> 8, 1000 & 0xFF};
    one->deadline = it->now + it->options.timeout;
    one->state = CLOSE_SENT;
    send_control(it, one, OPCODE_CLOSE, normal_closure, sizeof normal_closure);
}

/* Let as many connections begin as may be at it at a time. */
static void begin_more(load_generator *it) {
    while (it->busy < it->at_once) {
        load_connection *one;
        if (it->phase == REFUSED) {
            if (it->repeats == 0) {
                return;
            }
            it->repeats--;
            one = free_slot(it);
            one->due = 1;
            it->due++;
        } else {
            while (it->next < it->options.connections && !it->each[it->next].due) {
                it->next++;
            }
            if (it->next == it->options.connections) {
                return;
            }
            one = &it->each[it->next++];
        }
        it->busy++;
        it->now = clock_now();
        if (it->phase == CLOSING) {
            say_close(it, one);
        } else {
            begin(it, one);
        }
    }
}

/* --- Time --- */

static void look_at_deadlines(load_generator *it) {
    static const enum load_error kinds[] = {
        [CONNECTING] = LOAD_HANDSHAKE_TIMEOUT, [HANDSHAKE] = LOAD_HANDSHAKE_TIMEOUT, [OPEN] = LOAD_ANSWER_TIMEOUT,
        [CLOSE_SENT] = LOAD_CLOSE_TIMEOUT,     [CLOSED] = LOAD_CLOSE_TIMEOUT,
    };
    it->looks = it->now + LOOK_EVERY;
    for (size_t at = 0; at < it->options.connections; at++) {
        load_connection *one = &it->each[at];
        if (one->fd >= 0 && one->deadline != 0 && one->deadline <= it->now) {
            fail(it, one, kinds[one->state], 0);
        }
    }
}

static int is_over(load_generator *it) {
    if (it->phase == HOLDING) {
        return it->ends != 0 && it->now >= it->ends;
    }
    if (it->phase == EXCHANGING && it->ends != 0 && it->now >= it->ends) {
        stop_sending(it);
    }
    return it->due == 0 && (it->phase != REFUSED || it->repeats == 0);
}

static void finish(load_generator *it) {
    if (it->phase == HOLDING && it->until >= 0) {
        epoll_ctl(it->epoll, EPOLL_CTL_DEL, it->until, NULL);
    }
    it->phase = IDLE;
    it->report.wall = clock_now() - it->started;
    it->report.cpu = clock_of_this_thread() - it->cpu_started;
}

static void handle(load_generator *it, const struct epoll_event *event) {
    load_connection *one = event->data.ptr;
    if (one == NULL) {
        it->ends = it->now; /* somebody said that the hold is over */
        return;
    }
    if (one->fd >= 0 && one->state == CONNECTING) {
        connected(it, one);
    } else if (one->fd >= 0 && event->events & EPOLLOUT) {
        ready_to_write(it, one);
    }
    if (one->fd >= 0 && one->state != CONNECTING && event->events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        ready_to_read(it, one);
    }
}

int load_step(load_generator *it, uint64_t ns) {
    struct epoll_event events[MOST_EVENTS];
    it->now = clock_now();
    const uint64_t until = it->now + ns;
    while (it->phase != IDLE && it->now < until) {
        if (it->phase == OPENING || it->phase == CLOSING || it->phase == REFUSED) {
            begin_more(it);
        }
        if (is_over(it)) {
            finish(it);
            return 0;
        }
        uint64_t wake = until < it->looks ? until : it->looks;
        if (it->ends != 0 && it->ends < wake) {
            wake = it->ends;
        }
        const int patience = wake > it->now ? (int)((wake - it->now + 999999u) / 1000000u) : 0;
        const int found = epoll_wait(it->epoll, events, MOST_EVENTS, patience);
        it->now = clock_now();
        for (int at = 0; at < found; at++) {
            handle(it, &events[at]);
        }
        if (it->now >= it->looks) {
            look_at_deadlines(it);
        }
    }
    return it->phase != IDLE;
}
