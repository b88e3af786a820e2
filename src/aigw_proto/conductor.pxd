cimport cython

from ._transfer cimport BytesSent, SendBytes


cdef int _TURNS_PER_CALL


cdef class Turns:
    cdef object _engine
    cdef object _ports
    cdef object _clock
    cdef object _queue
    cdef bint _running
    cdef bint _ended
    cdef object _armed
    cdef set _backlogged
    cdef Py_ssize_t _next_link

    cpdef feed(self, event)

    @cython.locals(turns=int)
    cdef _run(self, event)

    @cython.locals(effects=list)
    cdef _turn(self, event)
    cdef _send(self, SendBytes effect)
    cdef _perform(self, effect)
    cdef _report(self, link, Py_ssize_t backlog)
    cdef _forget(self, link)
