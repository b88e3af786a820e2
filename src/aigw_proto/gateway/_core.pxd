from .._entropy cimport Entropy
from ._turn cimport Actor, Deadlines, Rota, Turn


cdef class Core:
    cdef object _epoch
    cdef Py_ssize_t _next_link
    cdef readonly object config
    cdef readonly Turn turn
    cdef readonly Deadlines deadlines
    cdef readonly dict links
    cdef readonly dict sessions
    cdef readonly Rota runnable
    cdef readonly list senders
    cdef readonly Entropy entropy
    cdef readonly object pool
    cdef readonly object websocket_limits
    cdef public bint draining

    cpdef schedule(self, Actor worker, bint again=*)
