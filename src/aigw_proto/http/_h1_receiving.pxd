cimport cython

from ._chunked cimport ChunkedBody
from ._events cimport BodyPiece
from ._inbox cimport Inbox


cdef Py_ssize_t _PIECE_BYTES
cdef int _MAX_INTERIM_RESPONSES
cdef int _FIRST_PRINTABLE


cdef class ReceivingHalf:
    cdef ChunkedBody _chunked
    cdef bint _close_after
    cdef object _due
    cdef bint _end_is_owed
    cdef bint _eof
    cdef bint _failed
    cdef object _h11
    cdef bytes _unseen
    cdef object _untold
    cdef bint _untold_end
    cdef Inbox _inbox
    cdef int _interim_count
    cdef bint _is_server
    cdef object _left
    cdef object _limits
    cdef bytes _method
    cdef object _now
    cdef bint _now_is_old
    cdef object _patience
    cdef bint _peer_is_old
    cdef object _phase
    cdef bint _received_any
    cdef object _received_body_bytes
    cdef bint _upgrade_asked

    cpdef receive_data(self, bytes data, now)
    cpdef next_event(self)
    cdef _machine(self)
    cdef _our_state(self)
    cdef _read(self)
    cdef _read_idle(self)
    cdef _read_head(self)
    cdef _take_request(self)
    cdef _begin_request(self, request)
    cdef _take_response(self)
    cdef _start_body(self, length)
    cdef _read_length(self)
    cdef _read_until_close(self)

    @cython.locals(body=ChunkedBody, piece=bytes)
    cdef _read_chunked(self)

    cdef _need_body(self)
    cdef _finish_received(self)
    cdef _read_done(self)
    cdef _fail_body(self)
    cdef _fail(self, status, reason)
    cdef _end(self, event)
    cdef _restart(self)
    cdef _set_time(self, now)
