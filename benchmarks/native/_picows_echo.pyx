# cython: language_level=3
"""picows' echo server as fast as it can be written: compiled, and the payload is never made an object that is kept."""

from picows.picows cimport WSFrame, WSListener, WSMsgType, WSTransport


cdef class Echo(WSListener):
    """Sends every frame back, as the example in picows' README does."""

    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame):
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        elif frame.msg_type == WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        else:
            transport.send(frame.msg_type, frame.get_payload_as_memoryview())
