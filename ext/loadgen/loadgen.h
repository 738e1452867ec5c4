/* A WebSocket client that is many clients: the load that the benchmarks and the tests of many connections put on a
 * server. One thread, one epoll, plain TCP over IPv4, RFC 6455. The interface is that of phases: start one, then call
 * load_step until it returns 0, then read load_report_of. Nothing here knows Python, and no signal is handled: a step
 * returns in time for its caller to look. */

#ifndef LOADGEN_H
#define LOADGEN_H

#include <stddef.h>
#include <stdint.h>

/* What can go wrong with one connection. The detail of the first one of each kind is kept: see load_report. */
enum load_error {
    LOAD_NONE,
    LOAD_CONNECT,           /* the server is not to be reached; detail: errno */
    LOAD_FILES,             /* no file descriptor left here (EMFILE, ENFILE); detail: errno */
    LOAD_ADDRESSES,         /* no port left at the source address; detail: errno */
    LOAD_SYSTEM,            /* any other system call; detail: errno, 0: no memory */
    LOAD_STATUS,            /* another HTTP status than expected; detail: the status */
    LOAD_HANDSHAKE,         /* a response that RFC 6455 4.1 tells a client to refuse; detail: bytes of its head */
    LOAD_ENDED,             /* the server closed the socket; detail: errno, 0 for an orderly end */
    LOAD_CLOSED,            /* a Close frame that nobody asked for; detail: its code */
    LOAD_FRAME,             /* a frame that RFC 6455 5.2 to 5.5 forbid; detail: its first octet */
    LOAD_UNEXPECTED,        /* a message where none was due; detail: its opcode */
    LOAD_OPCODE,            /* an answer with another opcode; detail: that opcode */
    LOAD_LENGTH,            /* an answer of another length; detail: that length, or what there was when it was too much */
    LOAD_PAYLOAD,           /* an answer with another payload; detail: the first wrong octet's index, or its chunk's */
    LOAD_CLOSE_CODE,        /* our Close 1000 was answered with another code; detail: that code */
    LOAD_HANDSHAKE_TIMEOUT, /* detail of this and of the next two: 0 */
    LOAD_ANSWER_TIMEOUT,
    LOAD_CLOSE_TIMEOUT,
    LOAD_ERRORS
};

/* The name of an error, as reports show it: "answer-timeout". */
const char *load_error_name(int error);

typedef struct {
    uint32_t address; /* of the server, in network order */
    uint16_t port;    /* in host order */
    const uint32_t *sources; /* addresses to connect from, taken in turn, in network order */
    size_t source_count;     /* 0: the kernel chooses */
    const char *head; /* the whole request of the opening handshake */
    size_t head_size;
    const char *accept; /* the Sec-WebSocket-Accept that belongs to the key in the head; ends with 0 */
    int may_extend;     /* whether the head offers an extension */
    size_t connections;
    uint64_t timeout; /* ns: for a handshake, for each answer, for a closing handshake */
} load_options;

/* Latencies in buckets that are at most 1/32 wide: 64 for each power of two, in ns. */
#define LOAD_BUCKETS (64 * 38)

/* What happened in the phase that was started last. */
typedef struct {
    uint64_t connections; /* open now */
    uint64_t messages;    /* answered, and rightly; in a phase of refusals: responses with the expected status */
    uint64_t bytes_sent, bytes_received;
    uint64_t pings;      /* of the server, answered */
    uint64_t extensions; /* handshakes with an extension agreed on */
    uint64_t errors[LOAD_ERRORS];
    int64_t details[LOAD_ERRORS];
    uint64_t wall, cpu; /* ns; cpu is that of this thread */
    uint64_t longest;   /* ns, of all latencies: of answers, or of whole handshakes, refusals and closings */
    uint64_t buckets[LOAD_BUCKETS];
} load_report;

typedef struct load_generator load_generator;

/* Copies what the options point to. NULL: no memory, or no epoll; errno says which. `seed` is for masking-keys. */
load_generator *load_new(const load_options *options, uint64_t seed);
void load_free(load_generator *it);

/* Phases. Each returns 0, or -1 when there is no memory for it. */

/* Connect all, at most `at_once` in their handshake at a time. */
int load_start_open(load_generator *it, size_t at_once);

/* Every open connection sends messages of `size` octets and waits for their echoes, `in_flight` under way at most; it
 * sends again once `refill` of them are free. Ends after `messages` on each connection, or after `ns` (0: no such end),
 * when all that was sent has been answered. */
int load_start_exchange(load_generator *it, uint8_t opcode, size_t size, uint32_t in_flight, uint32_t refill,
                        uint64_t messages, uint64_t ns);

/* Answer Pings for `ns`, or until `until` (a file descriptor, -1: none) can be read. */
int load_start_hold(load_generator *it, uint64_t ns, int until);

/* Closing handshake with 1000 on every open connection, at most `at_once` at a time, until the server has closed. */
int load_start_close(load_generator *it, size_t at_once);

/* `count` times: connect, send the head, read until the server closes, and expect `status`; `at_once` at a time. */
int load_start_refused(load_generator *it, uint64_t count, size_t at_once, int status);

/* Work for at most `ns`. Returns 1 while the phase is not over, 0 once it is. */
int load_step(load_generator *it, uint64_t ns);

const load_report *load_report_of(const load_generator *it);

/* The latency in ns that a share (0 to 1) of the answers did not exceed; the upper end of its bucket. */
uint64_t load_quantile(const load_report *report, double share);

#endif
