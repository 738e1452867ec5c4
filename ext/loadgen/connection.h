/* What the files of the generator share: one connection, and the generator that it belongs to. */

#ifndef LOADGEN_CONNECTION_H
#define LOADGEN_CONNECTION_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memmem, SOCK_NONBLOCK, clock_gettime; so this header comes first */
#endif

#include "frames.h"
#include "loadgen.h"

enum { LARGEST_HEAD = 8192, READ_SIZE = 256 * 1024, WRITE_SIZE = 256 * 1024 };

enum phase { IDLE, OPENING, EXCHANGING, HOLDING, CLOSING, REFUSED };

enum state {
    GONE,       /* no socket */
    CONNECTING, /* connect() is under way */
    HANDSHAKE,  /* sends the request, waits for the response */
    OPEN,
    CLOSE_SENT, /* waits for the server's Close */
    CLOSED      /* both were sent: waits for the server to close the socket (RFC 6455 7.1.1) */
};

typedef struct {
    int fd;
    uint8_t state;
    uint8_t polls_output;
    uint8_t due; /* counts for the end of the phase */
    uint32_t number;
    uint64_t deadline; /* ns; 0: none */

    /* The response's head, while it comes. */
    uint8_t *head;
    size_t head_size;

    /* What the socket did not take. */
    uint8_t *unsent;
    size_t unsent_at, unsent_size;

    /* The frame that comes in. */
    uint8_t header[10];
    uint8_t header_size;
    uint8_t in_payload;
    uint8_t control_size;
    uint8_t in_message; /* a fragment has come, the final one has not */
    uint8_t control[LARGEST_CONTROL];
    uint64_t payload_left;

    /* The exchange: messages are numbered from 0 in each. */
    uint64_t to_send;
    uint64_t answer_at; /* octets of the answer that were right */
    uint32_t next_out, next_in;
    uint64_t *sent_at; /* ring of in_flight times */
    uint8_t stamp[STAMP]; /* of the answer that is due */
} load_connection;

struct load_generator {
    load_options options;
    load_connection *each;
    uint8_t *input, *output; /* READ_SIZE; output_size */
    size_t output_size;
    uint64_t random;
    int epoll;

    enum phase phase;
    uint64_t now, started, cpu_started;
    uint64_t ends;    /* ns; 0: when nothing is due any more */
    uint64_t looks;   /* when deadlines are looked at next */
    size_t due;       /* connections that have not done what the phase is about */
    size_t busy;      /* of OPENING, CLOSING and REFUSED: those that are at it */
    size_t at_once, next;
    uint64_t repeats; /* of REFUSED: to be begun still */
    int status;       /* of REFUSED */
    int until;        /* of HOLDING: ends it when it can be read */

    /* Of EXCHANGING. */
    uint8_t opcode;
    size_t size;
    uint32_t in_flight, refill;
    uint8_t *pattern;

    load_report report;
};

/* connection.c */
void begin(load_generator *it, load_connection *one);
void connected(load_generator *it, load_connection *one);
void fail(load_generator *it, load_connection *one, enum load_error error, int64_t detail);
void drop(load_generator *it, load_connection *one);
void done(load_generator *it, load_connection *one);
void ready_to_write(load_generator *it, load_connection *one);
void send_messages(load_generator *it, load_connection *one);
void send_control(load_generator *it, load_connection *one, uint8_t opcode, const uint8_t *payload, size_t size);
static inline uint32_t under_way(const load_connection *one) { return one->next_out - one->next_in; }

/* receiving.c */
void ready_to_read(load_generator *it, load_connection *one);

/* clock.c */
uint64_t clock_now(void);
uint64_t clock_of_this_thread(void); /* the time that it has worked */

/* latency.c */
void record_latency(load_report *report, uint64_t ns);

#endif
