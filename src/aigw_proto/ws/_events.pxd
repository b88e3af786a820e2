cimport cython


@cython.freelist(32)
cdef class TextMessage:
    cdef readonly str data


@cython.freelist(32)
cdef class BinaryMessage:
    cdef readonly bytes data


@cython.freelist(32)
@cython.no_gc
cdef class MessagePiece:
    cdef readonly object opcode
    cdef readonly bytes data
    cdef readonly bint started
    cdef readonly bint finished


cdef class Ping:
    cdef readonly bytes data


cdef class Pong:
    cdef readonly bytes data


cdef class CloseReceived:
    cdef readonly object code
    cdef readonly str reason


cdef class Closed:
    cdef readonly object code
    cdef readonly str reason
    cdef readonly bint clean


cdef class Failed:
    cdef readonly object code
    cdef readonly str reason
