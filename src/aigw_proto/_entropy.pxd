cimport cython


cdef Py_ssize_t _BLOCK_BYTES


cdef class Entropy:
    cdef object _source
    cdef Py_ssize_t _offset
    cdef readonly bytes block

    @cython.locals(start=Py_ssize_t)
    cpdef bytes take(self, Py_ssize_t count)

    @cython.locals(start=Py_ssize_t)
    cpdef Py_ssize_t draw(self, Py_ssize_t count) except -1
