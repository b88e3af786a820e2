cimport cython

from ._events cimport Closed, CloseReceived, Failed, MessagePiece, Ping
from ._receiver cimport ReceivingHalf
from ._sender cimport SendingHalf
from ._watchdog cimport Watchdog


cdef object _TEXT
cdef object _BINARY
cdef object _NEED_DATA


cdef class WSConnection:
    cdef object _role
    cdef readonly object state
    cdef readonly bint can_send
    cdef ReceivingHalf _receiver
    cdef SendingHalf _sender
    cdef bint _receiving
    cdef bint _unread
    cdef bint _eof
    cdef bint _defers_close
    cdef CloseReceived _peer_close
    cdef object _terminal
    cdef Watchdog _watchdog

    cpdef receive_data(self, bytes data, now)
    cpdef receive_eof(self, now)
    cpdef set_reading(self, bint enabled, now)
    cpdef next_event(self)
    cdef _receive_close(self, CloseReceived close)
    cdef _end_if_it_is_ours(self)
    cdef _next_terminal(self)
    cdef _end(self, trigger)
    cdef _give_up(self, code, reason)
    cdef _stop_receiving(self)
    cdef _move(self, trigger)
    cpdef send_text(self, data)
    cpdef send_binary(self, bytes data)
    cpdef send_text_chunks(self, chunks)
    cpdef relay_piece(self, MessagePiece piece)
    cpdef send_ping(self, bytes data=*)
    cpdef send_pong(self, bytes data=*)
    cpdef fail(self, code, reason)
    cpdef list data_to_send(self)
    cdef _check_open(self)
    cpdef next_timeout(self)
    cpdef handle_timeout(self, now)
    cdef _expire(self)
