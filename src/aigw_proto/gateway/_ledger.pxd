from ..ws._events cimport MessagePiece
from ._core cimport Core
from ._observer cimport Observer


cdef object _CLIENT


cdef class Ledger:
    cdef object _accepted_at
    cdef object _answered_at
    cdef dict _closes
    cdef Core _core
    cdef Observer _observer
    cdef object _peer
    cdef object _secrets
    cdef dict _sent
    cdef object _started_at
    cdef object _status
    cdef object _subprotocol
    cdef Py_ssize_t _turns
    cdef object _upgrade
    cdef bint _watching
    cdef readonly object closed_by
    cdef readonly object error
    cdef readonly object log_id

    cdef _observe(self, now)
    cpdef bint piece(self, side, MessagePiece piece, now) except -1
    cdef _write(self, turn, now)
    cdef _turn(self, turn, now)
    cdef _session(self, now)
    cdef _maybe(self, text)
