cimport cython


cdef bytes _END


cdef class StreamPrinter:
    cdef bytes _event_key
    cdef bytes _start
    cdef bytes _plain
    cdef bint _strict
    cdef readonly dict _named

    cpdef list print(self, bytes response, bytes event=*)

    @cython.locals(prefix=bytes)
    cdef bytes _name(self, bytes event)
