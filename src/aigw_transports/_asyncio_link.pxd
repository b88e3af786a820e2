cimport cython

from ._backlog cimport Backlog


cdef Py_ssize_t _JOIN_BYTES
cdef Py_ssize_t _SLICE_BYTES


cdef class LinkState:
    cdef readonly object link
    cdef public object birth
    cdef readonly bint closing
    cdef public object withdraw
    cdef object _home
    cdef object _feed
    cdef object _buffer
    cdef Py_ssize_t _full_bytes
    cdef readonly object _transport
    cdef Backlog _backlog
    cdef bint _blocked
    cdef Py_ssize_t _handed_bytes
    cdef Py_ssize_t _reported_bytes
    cdef bint _ending
    cdef bint _paused
    cdef bint _resting
    cdef bint _told_end
    cdef bint _lost
    cdef object _timer

    @cython.locals(size=Py_ssize_t, chunk=bytes)
    cpdef send(self, list chunks)
    cpdef buffer_updated(self, Py_ssize_t nbytes)
    cpdef data_received(self, bytes data)
    cdef _receive(self, bytes data)
    cdef _rest(self)
    cdef _pump(self)
    cdef _send_eof(self)
    cdef Py_ssize_t _unsent_bytes(self) except -1
    cdef _tell_end(self, bint clean)
    cdef _tell_unsent(self, Py_ssize_t unsent)
    cdef _tell(self, event)
