cdef class BytesReceived:
    cdef readonly object link
    cdef readonly bytes data


cdef class BytesSent:
    cdef readonly object link
    cdef readonly Py_ssize_t unsent


cdef class SendBytes:
    cdef readonly object link
    cdef readonly object chunks
