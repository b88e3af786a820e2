cimport cython


cdef class TlsSession:
    cdef object _incoming
    cdef object _outgoing
    cdef object _object
    cdef bytes _decrypted_early
    cdef bint _ended

    cpdef bytes outgoing(self)

    @cython.locals(taken=Py_ssize_t)
    cpdef encrypt(self, bytes data)
    cpdef decrypt(self, Py_ssize_t most=*)

    @cython.locals(parts=list, part=bytes)
    cdef _decrypt(self, Py_ssize_t most)
