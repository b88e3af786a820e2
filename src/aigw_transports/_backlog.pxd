cimport cython


cdef class Backlog:
    cdef object _chunks
    cdef Py_ssize_t _offset
    cdef readonly Py_ssize_t size_bytes

    @cython.locals(chunk=bytes)
    cpdef extend(self, list chunks)
    cpdef clear(self)
    @cython.locals(first=bytes)
    cpdef bytes next_block(self)
    @cython.locals(first=bytes)
    cdef bytes _cut(self)
    @cython.locals(parts=list, room=Py_ssize_t, first=bytes)
    cdef bytes _join(self)
