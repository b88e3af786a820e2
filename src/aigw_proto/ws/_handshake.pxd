cdef int _MAX_PORT
