cimport cython


cdef Py_ssize_t _PORTION_BYTES


cdef class Gauge:
    cdef Py_ssize_t _backlog
    cdef Py_ssize_t _high
    cdef Py_ssize_t _low
    cdef readonly Py_ssize_t queued
    cdef public bint shut

    @cython.locals(level=Py_ssize_t)
    cpdef add(self, Py_ssize_t count)

    cpdef hand_over(self)

    @cython.locals(shrank=bint, level=Py_ssize_t)
    cpdef bint report(self, Py_ssize_t unsent) except -1


cdef class Portions:
    cdef object _waiting
    cdef bytes _front
    cdef Py_ssize_t _offset

    cpdef append(self, bytes data)

    @cython.locals(start=Py_ssize_t, portion=bytes)
    cpdef bytes take(self)

    cpdef clear(self)
