from ..http._events cimport BodyPiece
from ._answer cimport AnswerStream, StreamItem


cdef int _REQUEST_TIMEOUT


cdef class Exchange:
    cdef bytearray _body
    cdef object _connection
    cdef object _core
    cdef object _fault
    cdef object _form
    cdef bint _forward_done
    cdef object _gathered
    cdef AnswerStream _stream
    cdef readonly object head

    cpdef pause_if_full(self)

    cpdef pull(self, now)

    cpdef drop(self, now)
    cdef _on_event(self, connection, event, now)
    cdef _on_response(self, connection, response)
    cdef _next_item(self, AnswerStream stream)
    cdef _on_piece(self, bytes data)
    cdef _on_end(self, connection, now)
    cdef _choose_form(self, bint complete)
    cdef _forget_body(self)
