cimport cython

from ..ws._events cimport MessagePiece


cdef object _TEXT


cdef class Observer:
    cdef readonly object _reader
    cdef object _bill
    cdef object _asked_at
    cdef object _turn_ended_at
    cdef tuple _before
    cdef object _counted_by
    cdef object _status
    cdef object _session_id
    cdef readonly object model
    cdef readonly Py_ssize_t client_messages
    cdef readonly Py_ssize_t client_bytes
    cdef readonly Py_ssize_t provider_messages
    cdef readonly Py_ssize_t provider_bytes
    cdef readonly Py_ssize_t turns

    cpdef client_piece(self, MessagePiece piece, now)

    @cython.locals(data=bytes)
    cpdef provider_piece(self, MessagePiece piece, now)

    cdef _learn_model(self, bytes data)
    cdef _note(self, report, now)
    cdef _end(self, report, now)
