cimport cython


cdef Py_ssize_t _BLOCK_BYTES


cdef class Entropy:
    cdef object _source
    cdef bytes _block
    cdef Py_ssize_t _offset

    @cython.locals(end=Py_ssize_t, piece=bytes)
    cpdef bytes take(self, Py_ssize_t count)
    cpdef bytes mask_key(self)
