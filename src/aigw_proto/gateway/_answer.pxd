cimport cython

from ..http._sse cimport ServerSentEvent


cdef bytes _DONE
cdef Py_ssize_t _PEEK_BYTES


@cython.freelist(32)
cdef class StreamItem:
    cdef readonly bytes payload
    cdef readonly bytes event
    cdef readonly Py_ssize_t size_bytes


cdef class AnswerStream:
    cdef object _decoder
    cdef bint _forward_done
    cdef object _now
    cdef readonly str event_key

    cpdef receive_data(self, bytes data)
    cpdef receive_eof(self)

    @cython.locals(data=bytes)
    cpdef next_item(self)


cdef bytes _payload(bytes data)
