cimport cython


@cython.freelist(32)
@cython.no_gc
cdef class BodyPiece:
    cdef readonly bytes data
