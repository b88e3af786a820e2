cdef int _QUANTUM
cdef int _PORTION_COST
cdef int _MESSAGE_COST
cdef int _BYTES_OF_ONE_COST
