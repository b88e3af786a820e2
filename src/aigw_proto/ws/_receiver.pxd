cimport cython

from ._assembly cimport Assembly
from ._codec cimport FrameDecoder
from ._events cimport BinaryMessage, CloseReceived, MessagePiece, Ping, Pong, TextMessage
from ._payload cimport decode_text


cdef Py_ssize_t _UNLIMITED
cdef int _TEXT_FRAME
cdef int _BINARY_FRAME
cdef int _CLOSE_FRAME
cdef int _PING_FRAME
cdef int _COMPRESSED
cdef object _TEXT
cdef object _BINARY


cdef class ReceivingHalf:
    cpdef feed(self, bytes data)
    cpdef next(self)
    cpdef discard(self)


cdef class Receiver(ReceivingHalf):
    cdef FrameDecoder _decoder
    cdef Assembly _assembly
    cdef object _inflater
    cdef bint _assembles
    cdef bint _relays

    cpdef feed(self, bytes data)

    @cython.locals(decoder=FrameDecoder, head=int)
    cpdef next(self)

    cpdef discard(self)
    cdef _translate(self, int head, bytes payload)
