cdef class Patience:
    cdef object _deadline
    cdef bint _is_loose
    cdef dict _seconds
    cdef object _wait

    cpdef stop(self)
    cpdef expire(self, now)
