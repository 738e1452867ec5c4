/* One connection: its socket, what it sends, its end. */

#include "connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24 /* Linux 4.2 */
#endif

/* --- The end --- */

/* What the phase is about is done for this connection. */
void done(load_generator *it, load_connection *one) {
    if (one->due) {
        one->due = 0;
        it->due--;
        if (it->busy > 0) {
            it->busy--;
        }
    }
    one->deadline = 0;
}

/* Forget the socket. */
void drop(load_generator *it, load_connection *one) {
    if (one->fd >= 0) {
        if (one->state >= OPEN) {
            it->report.connections--;
        }
        close(one->fd); /* epoll forgets it, too */
    }
    free(one->head);
    free(one->unsent);
    free(one->sent_at);
    const uint32_t number = one->number;
    const uint8_t due = one->due;
    memset(one, 0, sizeof *one);
    one->fd = -1;
    one->number = number;
    one->due = due;
    done(it, one);
}

void fail(load_generator *it, load_connection *one, enum load_error error, int64_t detail) {
    if (it->report.errors[error]++ == 0) {
        it->report.details[error] = detail;
    }
    drop(it, one);
}

static enum load_error kind_of(int number) {
    switch (number) {
    case EMFILE:
    case ENFILE:
        return LOAD_FILES;
    case EADDRNOTAVAIL:
    case EADDRINUSE:
        return LOAD_ADDRESSES;
    case ECONNREFUSED:
    case ECONNRESET:
    case ETIMEDOUT:
    case EHOSTUNREACH:
    case ENETUNREACH:
        return LOAD_CONNECT;
    default:
        return LOAD_SYSTEM;
    }
}

/* --- The beginning --- */

static int connect_socket(load_generator *it, load_connection *one) {
    const load_options *options = &it->options;
    const int on = 1;
    setsockopt(one->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (options->source_count > 0) {
        struct sockaddr_in source = {.sin_family = AF_INET};
        source.sin_addr.s_addr = options->sources[one->number % options->source_count];
        /* The port is chosen when the target is known: each source address has all ports for this server. */
        setsockopt(one->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        if (bind(one->fd, (struct sockaddr *)&source, sizeof source) < 0) {
            return -1;
        }
    }
    struct sockaddr_in target = {.sin_family = AF_INET, .sin_port = htons(options->port)};
    target.sin_addr.s_addr = options->address;
    return connect(one->fd, (struct sockaddr *)&target, sizeof target);
}

/* Connect. The rest follows when the socket can be written. */
void begin(load_generator *it, load_connection *one) {
    one->deadline = it->now + it->options.timeout;
    one->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (one->fd < 0) {
        fail(it, one, kind_of(errno), errno);
        return;
    }
    one->state = CONNECTING;
    if (connect_socket(it, one) < 0 && errno != EINPROGRESS) {
        fail(it, one, kind_of(errno), errno);
        return;
    }
    one->head = malloc(LARGEST_HEAD);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = one};
    one->polls_output = 1;
    if (one->head == NULL) {
        fail(it, one, LOAD_SYSTEM, 0);
    } else if (epoll_ctl(it->epoll, EPOLL_CTL_ADD, one->fd, &event) < 0) {
        fail(it, one, LOAD_SYSTEM, errno);
    }
}

/* --- Sending --- */

static void poll_output(load_generator *it, load_connection *one, uint8_t wanted) {
    if (one->polls_output == wanted) {
        return;
    }
    one->polls_output = wanted;
    struct epoll_event event = {.events = wanted ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = one};
    if (epoll_ctl(it->epoll, EPOLL_CTL_MOD, one->fd, &event) < 0) {
        fail(it, one, LOAD_SYSTEM, errno);
    }
}

/* The octets that the socket took; -1: the connection has failed. */
static ssize_t push(load_generator *it, load_connection *one, const uint8_t *data, size_t size) {
    const ssize_t took = send(one->fd, data, size, MSG_NOSIGNAL);
    if (took >= 0) {
        it->report.bytes_sent += (uint64_t)took;
        return took;
    }
    if (errno == EAGAIN || errno == EINTR) {
        return 0;
    }
    if (errno == EPIPE || errno == ECONNRESET) {
        fail(it, one, LOAD_ENDED, errno);
    } else {
        fail(it, one, kind_of(errno), errno);
    }
    return -1;
}

/* Keep what the socket does not take now behind what it did not take before. */
static void keep(load_generator *it, load_connection *one, const uint8_t *data, size_t size) {
    const size_t waiting = one->unsent_size - one->unsent_at;
    uint8_t *grown = malloc(waiting + size);
    if (grown == NULL) {
        fail(it, one, LOAD_SYSTEM, 0);
        return;
    }
    if (waiting > 0) {
        memcpy(grown, one->unsent + one->unsent_at, waiting);
    }
    memcpy(grown + waiting, data, size);
    free(one->unsent);
    one->unsent = grown;
    one->unsent_at = 0;
    one->unsent_size = waiting + size;
    poll_output(it, one, 1);
}

static void send_or_keep(load_generator *it, load_connection *one, const uint8_t *data, size_t size) {
    ssize_t took = 0;
    if (one->unsent == NULL) {
        took = push(it, one, data, size);
    }
    if (took >= 0 && (size_t)took < size) {
        keep(it, one, data + took, size - (size_t)took);
    }
}

/* The first step on a socket that has connected, or has not. */
void connected(load_generator *it, load_connection *one) {
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(one->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0) {
        error = errno;
    }
    if (error != 0) {
        fail(it, one, kind_of(error), error);
        return;
    }
    one->state = HANDSHAKE;
    send_or_keep(it, one, (const uint8_t *)it->options.head, it->options.head_size);
    if (one->fd >= 0 && one->unsent == NULL) {
        poll_output(it, one, 0);
    }
}

void send_control(load_generator *it, load_connection *one, uint8_t opcode, const uint8_t *payload, size_t size) {
    uint8_t frame[LARGEST_HEADER + LARGEST_CONTROL];
    const uint32_t key = (uint32_t)next_random(&it->random);
    const size_t header = write_header(frame, opcode, size, key);
    mask(frame + header, payload, size, key);
    send_or_keep(it, one, frame, header + size);
}

/* One message of the exchange. Returns the size of its frame. */
static size_t write_message(load_generator *it, load_connection *one, uint8_t *out) {
    const uint32_t key = (uint32_t)next_random(&it->random);
    const size_t header = write_header(out, it->opcode, it->size, key);
    uint8_t *payload = out + header;
    uint8_t stamp[STAMP];
    write_stamp(stamp, one->number, one->next_out);
    const size_t stamped = it->size < STAMP ? it->size : STAMP;
    mask(payload, stamp + STAMP - stamped, stamped, key);
    mask(payload + stamped, it->pattern + stamped, it->size - stamped, key); /* 16 octets on, the key begins anew */
    one->sent_at[one->next_out % it->in_flight] = it->now;
    one->next_out++;
    one->to_send--;
    return header + it->size;
}

/* Send as many messages as there is room for in flight, in one write where they fit the buffer. */
void send_messages(load_generator *it, load_connection *one) {
    uint32_t room = it->in_flight - under_way(one);
    if (room < it->refill && room < one->to_send) {
        return;
    }
    while (one->unsent == NULL && room > 0 && one->to_send > 0) {
        size_t size = 0;
        while (room > 0 && one->to_send > 0 && size + LARGEST_HEADER + it->size <= it->output_size) {
            if (under_way(one) == 0) {
                one->deadline = it->now + it->options.timeout;
            }
            size += write_message(it, one, it->output + size);
            room--;
        }
        send_or_keep(it, one, it->output, size);
        if (one->fd < 0) {
            return;
        }
    }
}

/* The socket takes more. */
void ready_to_write(load_generator *it, load_connection *one) {
    if (one->unsent != NULL) {
        const ssize_t took = push(it, one, one->unsent + one->unsent_at, one->unsent_size - one->unsent_at);
        if (took < 0) {
            return;
        }
        one->unsent_at += (size_t)took;
        if (one->unsent_at < one->unsent_size) {
            return;
        }
        free(one->unsent);
        one->unsent = NULL;
        one->unsent_at = one->unsent_size = 0;
    }
    if (it->phase == EXCHANGING && one->state == OPEN && one->due) {
        send_messages(it, one);
    }
    if (one->fd >= 0 && one->unsent == NULL) {
        poll_output(it, one, 0);
    }
}
