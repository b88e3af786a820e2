cimport cython


@cython.freelist(32)
cdef class BytesReceived:
    cdef readonly object link
    cdef readonly bytes data


@cython.freelist(32)
cdef class BytesSent:
    cdef readonly object link
    cdef readonly Py_ssize_t unsent


@cython.freelist(32)
cdef class SendBytes:
    cdef readonly object link
    cdef readonly object chunks
