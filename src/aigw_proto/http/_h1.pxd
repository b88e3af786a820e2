from ._h1_receiving cimport ReceivingHalf


cdef Py_ssize_t _JOIN_BYTES


cdef class H1Connection(ReceivingHalf):
    cdef list _output
    cdef object _send_left

    cpdef list data_to_send(self)
    cdef bint _request_is_empty(self) except -1
    cdef _take_empty_end(self, bint owed)
