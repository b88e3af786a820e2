cimport cython

from ..ws._connection cimport WSConnection
from ._core cimport Core
from ._flow cimport Gauge
from ._turn cimport Actor


cdef class Leg(Actor):
    cdef readonly Core core
    cdef readonly object side
    cdef readonly object link
    cdef public object handshake
    cdef public WSConnection ws
    cdef readonly Gauge gauge
    cdef public bint deflates
    cdef public bint unread
    cdef public Py_ssize_t message_bytes
    cdef public bint peer_ended
    cdef public bint broken
    cdef public bint lingering
    cdef public bint is_closed
    cdef object _session
    cdef object _timers
    cdef bint _reading
    cdef bint _deaf
    cdef bint _held

    @cython.locals(ws=WSConnection)
    cpdef receive_data(self, bytes data, now)

    @cython.locals(was_shut=bint, shrank=bint)
    cpdef sent(self, Py_ssize_t unsent, now)

    cpdef hold_back(self, now)
    cpdef all_read(self, now)

    @cython.locals(deaf=bint)
    cdef _listen(self, now)

    @cython.locals(chunks=list)
    cpdef flush(self)

    cpdef flush_pong(self)

    @cython.locals(was_shut=bint)
    cpdef hand_over(self)

    cdef _reopened(self)
    cpdef next_timeout(self)
    cpdef handle_timeout(self, now)
    cpdef linger(self, now)
    cpdef close(self, how, now)
    cdef _forget(self)
    cdef _break(self, now)
