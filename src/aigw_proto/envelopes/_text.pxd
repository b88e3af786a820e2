cpdef bint is_json(bytes data) except -1
cdef bint _is_utf8(bytes data) except -1
