/* One connection: the response of the opening handshake, frames, answers. */

#include "connection.h"

#include <errno.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>

enum { MOST_UNSENT_PONGS = 64 * 1024 };

/* --- The response (RFC 6455 4.1, RFC 9112 4) --- */

/* The size of the head with its empty line; 0: it is not whole. */
static size_t head_end(const uint8_t *data, size_t size) {
    const uint8_t *found = memmem(data, size, "\r\n\r\n", 4);
    return found == NULL ? 0 : (size_t)(found - data) + 4;
}

/* "HTTP/1.1 101 ...": 101; 0: not a status line. */
static int status_of(const uint8_t *head, size_t size) {
    if (size < 14 || memcmp(head, "HTTP/1.", 7) != 0 || head[8] != ' ') {
        return 0;
    }
    int status = 0;
    for (int at = 9; at < 12; at++) {
        if (head[at] < '0' || head[at] > '9') {
            return 0;
        }
        status = status * 10 + (head[at] - '0');
    }
    return status;
}

/* The value of a header that is there exactly once, in `size` octets without white space around; NULL otherwise. */
static const char *value_of(const uint8_t *head, size_t head_size, const char *name, size_t *size) {
    const char *found = NULL;
    const char *line = (const char *)head, *end = line + head_size;
    const size_t name_size = strlen(name);
    while ((line = memmem(line, (size_t)(end - line), "\r\n", 2)) != NULL && (line += 2) < end) {
        const char *next = memmem(line, (size_t)(end - line), "\r\n", 2);
        if (next == NULL || (size_t)(next - line) <= name_size) {
            continue;
        }
        if (strncasecmp(line, name, name_size) != 0 || line[name_size] != ':') {
            continue;
        }
        if (found != NULL) {
            return NULL;
        }
        found = line + name_size + 1;
        while (found < next && (*found == ' ' || *found == '\t')) {
            found++;
        }
        while (next > found && (next[-1] == ' ' || next[-1] == '\t')) {
            next--;
        }
        *size = (size_t)(next - found);
    }
    return found;
}

static int has_value(const uint8_t *head, size_t head_size, const char *name, const char *wanted, int any_case) {
    size_t size = 0;
    const char *value = value_of(head, head_size, name, &size);
    if (value == NULL || size != strlen(wanted)) {
        return 0;
    }
    return any_case ? strncasecmp(value, wanted, size) == 0 : memcmp(value, wanted, size) == 0;
}

/* A handshake, a refusal or a closing handshake has gone well: how long it took since its deadline was set. */
static void record_handshake(load_generator *it, const load_connection *one) {
    record_latency(&it->report, it->now - (one->deadline - it->options.timeout));
}

/* Judge the response to the upgrade. Returns 1 if the connection is open. */
static int judge_upgrade(load_generator *it, load_connection *one, size_t head_size) {
    const int status = status_of(one->head, head_size);
    size_t size = 0;
    const int extended = value_of(one->head, head_size, "Sec-WebSocket-Extensions", &size) != NULL;
    if (status != 0 && status != 101) {
        fail(it, one, LOAD_STATUS, status);
        return 0;
    }
    if (status == 0 || !has_value(one->head, head_size, "Upgrade", "websocket", 1) ||
        !has_value(one->head, head_size, "Connection", "upgrade", 1) ||
        !has_value(one->head, head_size, "Sec-WebSocket-Accept", it->options.accept, 0) ||
        (extended && !it->options.may_extend)) {
        fail(it, one, LOAD_HANDSHAKE, (int64_t)head_size);
        return 0;
    }
    record_handshake(it, one);
    it->report.extensions += (uint64_t)extended;
    it->report.connections++;
    one->state = OPEN;
    done(it, one);
    return 1;
}

/* The server closed after what should be a refusal. */
static void judge_refusal(load_generator *it, load_connection *one) {
    const size_t size = head_end(one->head, one->head_size);
    const int status = size == 0 ? 0 : status_of(one->head, size);
    if (status == 0) {
        fail(it, one, LOAD_HANDSHAKE, (int64_t)one->head_size);
    } else if (status != it->status) {
        fail(it, one, LOAD_STATUS, status);
    } else {
        record_handshake(it, one);
        it->report.messages++;
        drop(it, one);
    }
}

/* --- Frames (RFC 6455 5.2) --- */

/* The octets of a header that begins with these two. */
static uint8_t header_need(const uint8_t *header) {
    const uint8_t length = header[1] & 0x7F;
    return length < 126 ? 2 : length == 126 ? 4 : 10;
}

static uint64_t declared_length(const uint8_t *header, uint8_t size) {
    if (size == 2) {
        return header[1] & 0x7F;
    }
    uint64_t length = 0;
    for (uint8_t at = 2; at < size; at++) {
        length = length << 8 | header[at];
    }
    return length;
}

/* A message or a fragment of one begins. Returns 1 if it may. */
static int begin_data(load_generator *it, load_connection *one, uint8_t opcode) {
    if ((opcode == OPCODE_CONTINUATION) != (one->in_message != 0)) {
        fail(it, one, LOAD_FRAME, one->header[0]);
        return 0;
    }
    one->in_message = !(one->header[0] & 0x80);
    if (one->state != OPEN) {
        return 1; /* we have said Close: what was under way still may come (RFC 6455 1.4), and is passed over */
    }
    if (it->phase != EXCHANGING || under_way(one) == 0) {
        fail(it, one, LOAD_UNEXPECTED, opcode);
        return 0;
    }
    if (opcode != OPCODE_CONTINUATION) {
        if (opcode != it->opcode) {
            fail(it, one, LOAD_OPCODE, opcode);
            return 0;
        }
        one->answer_at = 0;
        write_stamp(one->stamp, one->number, one->next_in);
    }
    if (one->payload_left > it->size - one->answer_at) {
        fail(it, one, LOAD_LENGTH, (int64_t)(one->answer_at + one->payload_left));
        return 0;
    }
    return 1;
}

/* A header is whole. Returns 1 if its frame may come. */
static int judge_header(load_generator *it, load_connection *one) {
    const uint8_t opcode = one->header[0] & 0x0F;
    one->payload_left = declared_length(one->header, one->header_size);
    const int minimal = one->header_size == 2 || one->payload_left >= (one->header_size == 4 ? 126u : 65536u);
    /* RSV of an extension: we offer them to have them agreed on, and do not use them; messages that are compressed are
     * an error here. A server MUST NOT mask (RFC 6455 5.1). */
    if (one->header[0] & 0x70 || one->header[1] & 0x80 || !minimal) {
        fail(it, one, LOAD_FRAME, one->header[0]);
        return 0;
    }
    one->in_payload = 1;
    if (opcode <= OPCODE_BINARY) {
        return begin_data(it, one, opcode);
    }
    if (opcode < OPCODE_CLOSE || opcode > OPCODE_PONG || !(one->header[0] & 0x80) ||
        one->payload_left > LARGEST_CONTROL) {
        fail(it, one, LOAD_FRAME, one->header[0]);
        return 0;
    }
    one->control_size = 0;
    return 1;
}

static int64_t close_code(const load_connection *one) {
    return one->control_size < 2 ? 1005 : (int64_t)one->control[0] << 8 | one->control[1];
}

/* A control frame is whole. */
static void end_control(load_generator *it, load_connection *one) {
    switch (one->header[0] & 0x0F) {
    case OPCODE_PING:
        /* RFC 6455 5.5.3 lets us answer the latest only: a server that never reads does not fill our memory. */
        if (one->state == OPEN && one->unsent_size - one->unsent_at < MOST_UNSENT_PONGS) {
            it->report.pings++;
            send_control(it, one, OPCODE_PONG, one->control, one->control_size);
        }
        break;
    case OPCODE_CLOSE:
        if (one->state == OPEN) {
            fail(it, one, LOAD_CLOSED, close_code(one));
        } else if (close_code(one) != 1000) {
            fail(it, one, LOAD_CLOSE_CODE, close_code(one));
        } else {
            one->state = CLOSED;
        }
        break;
    default:
        break; /* a Pong that nobody asked for is allowed (RFC 6455 5.5.3) */
    }
}

/* --- Answers --- */

/* Whether these octets stand in the answer where it has come to. */
static int is_right(const load_generator *it, const load_connection *one, const uint8_t *data, size_t size) {
    const size_t stamped = it->size < STAMP ? it->size : STAMP;
    size_t at = (size_t)one->answer_at;
    if (at < stamped) {
        const size_t here = size < stamped - at ? size : stamped - at;
        if (memcmp(one->stamp + STAMP - stamped + at, data, here) != 0) {
            return 0;
        }
        at += here;
        data += here;
        size -= here;
    }
    return size == 0 || memcmp(it->pattern + at, data, size) == 0;
}

static void end_answer(load_generator *it, load_connection *one) {
    if (one->answer_at < it->size) {
        fail(it, one, LOAD_LENGTH, (int64_t)one->answer_at);
        return;
    }
    record_latency(&it->report, it->now - one->sent_at[one->next_in % it->in_flight]);
    it->report.messages++;
    one->next_in++;
    one->deadline = under_way(one) == 0 ? 0 : it->now + it->options.timeout;
    if (under_way(one) == 0 && one->to_send == 0) {
        done(it, one);
    }
}

/* Part of a payload, not beyond its end. */
static void take_payload(load_generator *it, load_connection *one, const uint8_t *data, size_t size) {
    const uint8_t opcode = one->header[0] & 0x0F;
    one->payload_left -= size;
    if (opcode >= OPCODE_CLOSE) {
        if (size > 0) { /* LARGEST_CONTROL at most: judge_header has seen to it */
            memcpy(one->control + one->control_size, data, size);
            one->control_size = (uint8_t)(one->control_size + size);
        }
    } else if (one->state == OPEN) {
        if (!is_right(it, one, data, size)) {
            fail(it, one, LOAD_PAYLOAD, (int64_t)one->answer_at);
            return;
        }
        one->answer_at += size;
    }
    if (one->payload_left > 0) {
        return;
    }
    one->in_payload = 0;
    one->header_size = 0;
    if (opcode >= OPCODE_CLOSE) {
        end_control(it, one);
    } else if (one->state == OPEN && !one->in_message) {
        end_answer(it, one);
    }
}

/* What has come, in any pieces. */
static void take_frames(load_generator *it, load_connection *one, const uint8_t *data, size_t size) {
    const uint8_t *end = data + size;
    while (one->fd >= 0 && one->state != CLOSED) {
        if (!one->in_payload) {
            while (one->header_size < 2 || one->header_size < header_need(one->header)) {
                if (data == end) {
                    return;
                }
                one->header[one->header_size++] = *data++;
            }
            if (!judge_header(it, one)) {
                return;
            }
        } else if (data == end) {
            return;
        }
        const size_t here = (size_t)(end - data);
        const size_t part = one->payload_left < here ? (size_t)one->payload_left : here;
        take_payload(it, one, data, part);
        data += part;
    }
}

/* --- What can be read --- */

static void take_head(load_generator *it, load_connection *one, const uint8_t *data, size_t size) {
    const size_t room = LARGEST_HEAD - one->head_size;
    const size_t before = one->head_size;
    const size_t part = size < room ? size : room;
    memcpy(one->head + before, data, part);
    one->head_size += part;
    const size_t head_size = head_end(one->head, one->head_size);
    if (it->phase == REFUSED) { /* the end of a long body is not kept */
        if (head_size != 0 && status_of(one->head, head_size) == 101) {
            fail(it, one, LOAD_STATUS, 101);
        }
        return;
    }
    if (head_size == 0) {
        if (one->head_size == LARGEST_HEAD) {
            fail(it, one, LOAD_HANDSHAKE, (int64_t)one->head_size);
        }
        return;
    }
    if (judge_upgrade(it, one, head_size)) {
        free(one->head);
        one->head = NULL;
        one->head_size = 0;
        take_frames(it, one, data + (head_size - before), size - (head_size - before));
    }
}

static void end_of_stream(load_generator *it, load_connection *one, int error) {
    if (one->state == HANDSHAKE && it->phase == REFUSED && error == 0) {
        judge_refusal(it, one);
    } else if (one->state == CLOSED && error == 0) {
        record_handshake(it, one);
        it->report.messages++;
        drop(it, one);
    } else {
        fail(it, one, LOAD_ENDED, error);
    }
}

void ready_to_read(load_generator *it, load_connection *one) {
    const ssize_t size = recv(one->fd, it->input, READ_SIZE, 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    it->now = clock_now();
    if (size <= 0) {
        end_of_stream(it, one, size == 0 ? 0 : errno);
        return;
    }
    it->report.bytes_received += (uint64_t)size;
    if (one->state == HANDSHAKE) {
        take_head(it, one, it->input, (size_t)size);
    } else {
        take_frames(it, one, it->input, (size_t)size);
    }
    if (one->fd >= 0 && it->phase == EXCHANGING && one->state == OPEN && one->due) {
        send_messages(it, one);
    }
}
