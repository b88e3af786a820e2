cimport cython

from .._entropy cimport Entropy
from ._encoder cimport encode_frame, encode_header, encode_masked


cdef int _FIN
cdef int _COMPRESSED
cdef int _CLOSE
cdef int _PONG
cdef int _TEXT_FRAME
cdef int _BINARY_FRAME
cdef object _TEXT
cdef object _BINARY
cdef Py_ssize_t _JOIN_BYTES


cdef class SendingHalf:
    cpdef message(self, opcode, bytes payload)
    cpdef text_chunks(self, chunks)
    cpdef piece(self, opcode, bytes data, bint finished)
    cpdef control(self, opcode, bytes payload)
    cpdef answer_ping(self, bytes payload)
    cpdef close(self, bytes payload)
    cpdef list take(self)


cdef class Sender(SendingHalf):
    cdef Entropy _entropy
    cdef object _deflater
    cdef Py_ssize_t _max_control_bytes
    cdef list _output
    cdef object _opcode
    cdef Py_ssize_t _control_bytes
    cdef bytes _latest_ping

    @cython.locals(head=int)
    cpdef message(self, opcode, bytes payload)
    @cython.locals(length=Py_ssize_t, chunk=bytes)
    cpdef text_chunks(self, chunks)
    @cython.locals(head=int)
    cpdef piece(self, opcode, bytes data, bint finished)
    cpdef control(self, opcode, bytes payload)
    cpdef answer_ping(self, bytes payload)
    cpdef close(self, bytes payload)
    @cython.locals(entropy=Entropy, at=Py_ssize_t)
    cpdef frame(self, int head, bytes payload)
    @cython.locals(output=list)
    cpdef list take(self)
