cimport cython

from ._mask cimport slice_octets, unmask_payload, unmask_slice
from ._payload cimport Collection, slice_text, unmask_text


cdef int _CONTROL
cdef int _WHOLE
cdef int _FIRST
cdef int _MIDDLE
cdef int _LAST
cdef bytes _BETWEEN_TABLE
cdef bytes _BETWEEN_COMPRESSED_TABLE
cdef bytes _WITHIN_TABLE
cdef int _FIN
cdef int _COMPRESSED
cdef Py_ssize_t _ENOUGH_BYTES
cdef Py_ssize_t _LONGEST


cdef class FrameDecoder:
    cdef unsigned char _mask_bit
    cdef bytes _between
    cdef bytes _kinds
    cdef Py_ssize_t _max_frame_bytes
    cdef Py_ssize_t _max_message_bytes
    cdef Py_ssize_t _max_fragments
    cdef Py_ssize_t _piece_bytes
    cdef Py_ssize_t _gathered_bytes
    cdef Py_ssize_t _least_header_bytes
    cdef Py_ssize_t _most_bytes
    cdef object _chunks
    cdef bytes _buffer
    cdef Py_ssize_t _position
    cdef int _message_head
    cdef Py_ssize_t _message_bytes
    cdef Py_ssize_t _fragments
    cdef int _kind
    cdef bint _ends
    cdef bytes _key
    cdef Py_ssize_t _offset
    cdef Py_ssize_t _remaining
    cdef Collection _collection
    cdef bint _collects
    cdef bint _within_frame
    cdef int _text_head
    cdef readonly int head
    cdef readonly bint whole
    cdef readonly bint collecting
    cdef readonly bint first
    cdef readonly bint last

    cpdef feed(self, bytes data)
    cpdef discard(self)

    @cython.locals(
        buffer=bytes, size=Py_ssize_t, position=Py_ssize_t, start=Py_ssize_t, end=Py_ssize_t, head=int, kind=int, length=Py_ssize_t
    )
    cpdef decode(self)

    @cython.locals(buffer=bytes, end=Py_ssize_t, key=bytes)
    cdef _take_fragment(self, int kind, int head, Py_ssize_t length, Py_ssize_t start)

    @cython.locals(buffer=bytes, position=Py_ssize_t, start=Py_ssize_t, head=int, kind=int, length=Py_ssize_t)
    cdef bint _enter_frame(self) except -1

    @cython.locals(buffer=bytes, end=Py_ssize_t, at=Py_ssize_t, length=Py_ssize_t)
    cdef Py_ssize_t _long_length(self, int head, Py_ssize_t form, Py_ssize_t start) except -2

    @cython.locals(allowed=Py_ssize_t)
    cdef int _check_limits(self, int kind, int head, Py_ssize_t length) except -1

    cdef _enter_message(self, int kind, int head, Py_ssize_t length)
    cdef bint _next_read(self) except -1

    @cython.locals(start=Py_ssize_t, end=Py_ssize_t)
    cdef _continue_frame(self)

    @cython.locals(head=int)
    cdef _finish_collection(self)

    @cython.locals(buffer=bytes, piece=bytes, position=Py_ssize_t, size=Py_ssize_t, end=Py_ssize_t)
    cdef bytes _next_piece(self)

    @cython.locals(
        buffer=bytes, gathered=Collection, most=Py_ssize_t, least=Py_ssize_t, end=Py_ssize_t, size=Py_ssize_t
    )
    cdef bint _gather(self, Py_ssize_t position) except -1

    @cython.locals(rest=bytes, size=Py_ssize_t, parts=list)
    cdef bint _wait(self) except -1
