cdef object _NOTHING
