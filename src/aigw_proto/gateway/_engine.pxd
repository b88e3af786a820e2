cimport cython

from .._transfer cimport BytesReceived, BytesSent
from ._core cimport Core
from ._turn cimport Actor


cdef int _QUANTA_PER_TURN
cdef int _DEADLINES_PER_TURN


cdef class GatewayEngine:
    cdef readonly Core _core
    cdef readonly bint _drained
    cdef bint _grace_ended
    cdef Py_ssize_t _late
    cdef object _now
    cdef object _shutdown_at
    cdef Py_ssize_t _turn_bytes

    @cython.locals(quanta=int, core=Core, owner=Actor)
    cpdef handle(self, event, now)

    cpdef handle_timeout(self, now)
    cpdef next_timeout(self)
    cpdef poll(self)
    cdef _begin(self, now)
    cdef int _quanta_after(self, event) except -1
    cdef _accept(self, event, now)
    cdef _act(self, event, now)

    @cython.locals(core=Core, worker=Actor, sender=Actor)
    cdef _finish(self, now, int quanta)

    cdef _shut_down(self, grace_seconds, now)
    cdef _guard(self, owner, action, now)
