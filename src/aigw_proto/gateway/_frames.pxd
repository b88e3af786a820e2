from ..envelopes._print cimport StreamPrinter


cdef int _FIRST_ERROR
cdef int _STRICT_STATUS


cdef class RequestFrames:
    cdef object _event_id
    cdef object _gateway
    cdef object _log_id
    cdef StreamPrinter _printer
    cdef object _send
    cdef readonly Py_ssize_t count

    cpdef item(self, bytes payload, bytes event)
    cdef _emit(self, list chunks)
