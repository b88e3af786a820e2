cimport cython

from .._transfer cimport SendBytes


cdef Py_ssize_t _STALE_KEPT
cdef int _QUANTA_OF_NEWCOMERS


cdef class Turn:
    cdef list _effects
    cdef Py_ssize_t _polled
    cdef dict _sends
    cdef set _not_reading
    cdef dict _reading_changes
    cdef readonly Py_ssize_t sent_bytes

    cpdef bint is_drained(self) except -1
    cpdef emit(self, effect)

    @cython.locals(count=Py_ssize_t, chunk=bytes, pending=SendBytes)
    cpdef Py_ssize_t send(self, link, list chunks) except -1

    cpdef set_reading(self, link, bint enabled)
    cpdef end_sending(self, link)
    cpdef close(self, link, how)
    cpdef finish(self)

    @cython.locals(effects=list)
    cpdef poll(self)


cdef class Actor:
    cdef public bint queued
    cdef public object scheduled

    cpdef next_timeout(self)
    cpdef receive_data(self, bytes data, now)
    cpdef hand_over(self)
    cpdef work(self, now)


cdef class Deadlines:
    cdef readonly list _heap
    cdef Py_ssize_t _count
    cdef Py_ssize_t _stale

    cpdef touch(self, Actor owner)
    cpdef forget(self, Actor owner)
    cpdef earliest(self)

    @cython.locals(owner=Actor)
    cpdef pop_due(self, now)

    cdef _supersede(self, Actor owner)


cdef class Rota:
    cdef object _fresh
    cdef object _worn
    cdef int _quanta
    cdef Actor _at_work
    cdef readonly Py_ssize_t waiting

    cpdef add(self, Actor worker, bint again=*)

    @cython.locals(worker=Actor)
    cpdef Actor take(self)

    cpdef rest(self)
