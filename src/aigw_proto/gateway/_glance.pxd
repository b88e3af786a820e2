cdef Py_ssize_t _LAST_BYTES


cdef class Named:
    cdef object _key
    cdef object _last
    cdef tuple _mentions
    cdef frozenset _names
    cdef Py_ssize_t _offset
    cdef bytes _start

    cpdef bint whole(self, bytes data) except -1


cdef class Marked:
    cdef tuple _marks

    cpdef bint whole(self, bytes data) except -1
