cimport cython


cdef class Inbox:
    cdef object _chunks
    cdef bytes _front
    cdef Py_ssize_t _offset
    cdef bytearray _partial

    cpdef append(self, bytes data)
    cpdef clear(self)

    @cython.locals(front=bytes, start=Py_ssize_t, piece=bytes)
    cpdef bytes take(self, Py_ssize_t limit)

    @cython.locals(front=bytes, start=Py_ssize_t, searched=Py_ssize_t, partial=bytearray, piece=bytes)
    cpdef take_until(self, end, Py_ssize_t limit)

    @cython.locals(start=Py_ssize_t, end=Py_ssize_t)
    cpdef take_line(self, Py_ssize_t limit)

    cdef bint _advance(self) except -1
