# cython: language_level=3
"""One upgraded connection."""

from libc.stdint cimport uint8_t, uint64_t

from framewarden.engine._inspector cimport Inspector
from framewarden.session._session cimport Link, Session

ctypedef unsigned char flag     # one byte, where a bint takes four


cdef class Connection(Link):
    cdef object __weakref__
    cdef public object wheel_slot
    cdef public Py_ssize_t charged      # what the budget has been told
    cdef readonly Inspector inspector
    cdef readonly Session session       # None when all is over
    cdef object context
    cdef object transport
    cdef object limits
    cdef object budget
    cdef object now                     # the loop's clock
    cdef bytearray buffer               # the server's, for everything that comes in
    cdef object ending                  # None until we close
    cdef object work                    # messages for a handler that takes time; None until it does
    cdef object outbox                  # messages for a peer that does not read; None until it does not
    cdef list waiting                   # events that are handled when the peer reads again; None: none
    cdef Py_ssize_t waiting_bytes
    cdef list waiters                   # futures of wait_drained; None: nobody waits
    cdef object peer                    # made when somebody asks
    cdef int descriptor                 # of the socket, for writing past the transport; -1: only through it
    # Times of the loop's clock; NEVER: not now.
    cdef double last_received
    cdef double expires
    cdef double close_by
    cdef double ping_sent
    cdef double full_since              # reading has been paused since then, because the handler is behind
    cdef double frame_since
    cdef double message_since
    cdef double stall_since             # the peer has taken nothing since then
    cdef uint64_t frame_at              # offsets of the frame and the message that these times belong to
    cdef uint64_t message_at
    cdef uint64_t given                 # bytes that the transport was given to write
    cdef uint64_t empty_at              # given, when nothing of it waited last
    cdef uint64_t taken                 # and how many of them had left, when it was last looked at
    cdef flag finished      # nothing may be written any more
    cdef flag gone          # the transport is
    cdef flag told          # on_close has been called
    cdef flag working       # the handler is awaited
    cdef flag held          # our Close waits for it
    cdef flag stalled       # the peer does not read what we write
    cdef flag streaming     # a message is sent in fragments
    cdef flag yielding      # the others have their turn before more is read
    cdef flag postponed     # turns of ours that passed because memory is short
    cdef flag reading
    cdef flag called        # by the transport, with bytes that have come in
    cdef flag flooded       # the memory budget has ended it
    cdef flag flushes       # a subclass has a flush() of its own
    cdef flag direct        # nothing waits in the transport: the socket may be written to

    cdef int take(self, const uint8_t *data, size_t size) except -1
    cdef int handle(self, list events) except -1
    cdef bint has_more(self) noexcept
    cdef int keep_bytes(self, const uint8_t *data, size_t size) except -1
    cdef int keep_events(self, list events) except -1
    cdef list take_waiting(self)
    cdef bint may_wait(self, size_t size) except -1
    cdef int hold_close(self) except -1
    cdef int release_close(self) except -1
    cdef int call(self, object hook, tuple arguments) except -1
    cdef int give_time(self, object awaitable, object size) except -1
    cdef int note_unfinished(self) except -1
    cdef int yield_turn(self) except -1
    cdef int set_reading(self) except -1
    cdef int write(self, list buffers) except -1
    cdef bint may_write(self) except -1
    cdef int flush_now(self) except -1
    cdef int write_out(self) except -1
    cdef int write_rest(self, list buffers, ssize_t sent) except -1
    cdef int block(self) except -1
    cdef int move(self) except -1
    cdef int wake_waiters(self) except -1
    cdef int charge(self) except -1
    cdef int closing(self, object state) except -1
    cdef int finish(self) except -1
    cdef int tell_close(self) except -1
    cdef int leave(self) except -1
    cdef int give_up(self, str rule) except -1
    cdef size_t unsent(self) except? 0
    cdef double next_deadline(self, double now) except? -1
    cdef double pong_deadline(self) except? -1
    cdef str overdue(self, double now)
    cdef str behind(self, double now)
