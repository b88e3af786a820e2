cimport cython

from ._inbox cimport Inbox


cdef Py_ssize_t _MAX_LINE_BYTES
cdef Py_ssize_t _MAX_TRAILER_BYTES
cdef object _SIZE_LINE


cdef class ChunkedBody:
    cdef Inbox _inbox
    cdef object _left
    cdef bint _footer
    cdef bint _trailing
    cdef list _trailers
    cdef Py_ssize_t _trailer_bytes

    @cython.locals(piece=bytes)
    cpdef bytes take(self, Py_ssize_t limit)
    cpdef take_trailers(self)
    cdef bint _start_chunk(self) except -1
