cimport cython

from ._events cimport BinaryMessage, MessagePiece, TextMessage
from ._payload cimport Collection, check_text


cdef object _TEXT
cdef object _BINARY
cdef Py_ssize_t _UNLIMITED


cdef class Assembly:
    cdef bint _assembles
    cdef bint _relays
    cdef Py_ssize_t _max_message_bytes
    cdef Py_ssize_t _piece_bytes
    cdef object _inflater
    cdef object _opcode
    cdef bint _checks_text
    cdef bint _compressed
    cdef bint _fresh
    cdef bint _last
    cdef bytes _cut
    cdef Collection _collection
    cdef Py_ssize_t _message_bytes
    cdef bint _owes_event

    @cython.locals(text=bint)
    cpdef add(self, int head, bytes data, bint first, bint last)

    @cython.locals(limit=Py_ssize_t, data=bytes)
    cpdef more(self)

    cpdef discard(self)

    @cython.locals(started=bint)
    cdef _take(self, bytes data, bint last)

    @cython.locals(collection=Collection)
    cdef _collect(self, bytes data, bint last)
