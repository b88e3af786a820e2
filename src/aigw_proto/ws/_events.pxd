cimport cython


cdef class TextMessage:
    cdef readonly str data


cdef class BinaryMessage:
    cdef readonly bytes data


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
