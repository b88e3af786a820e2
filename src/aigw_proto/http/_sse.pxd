cimport cython


cdef unsigned char _LINE_FEED
cdef unsigned char _SPACE
cdef Py_ssize_t _MAX_RETRY_DIGITS


@cython.freelist(32)
cdef class ServerSentEvent:
    cdef readonly bytes data
    cdef readonly bytes event
    cdef readonly object event_id
    cdef readonly object retry_milliseconds


cdef class SseDecoder:
    cdef Py_ssize_t _max_line_bytes
    cdef Py_ssize_t _max_event_bytes
    cdef Py_ssize_t _short_line_bytes
    cdef bint _deliver_unterminated
    cdef object _chunks
    cdef bytes _buffer
    cdef Py_ssize_t _position
    cdef bytearray _partial
    cdef bytes _start
    cdef bint _after_cr
    cdef bint _eof
    cdef bint _failed
    cdef bytes _data
    cdef bytearray _more_data
    cdef bytes _event
    cdef bytes _event_id
    cdef object _retry

    cpdef receive_data(self, bytes data, now)

    @cython.locals(buffer=bytes, start=Py_ssize_t, end=Py_ssize_t)
    cpdef next_event(self)

    @cython.locals(rest=Py_ssize_t, chunk=bytes)
    cdef _open_chunk(self)

    cdef _end_of_input(self)
    cdef _read_line(self, bytes line)

    @cython.locals(name=bytes, value=bytes)
    cdef _read_field(self, bytes line)

    @cython.locals(total=Py_ssize_t)
    cdef _add_data(self, bytes value)

    cdef _dispatch(self)

    @cython.locals(data=bytes)
    cdef ServerSentEvent _make_event(self)

    cdef _fail_line(self)
    cdef _fail(self, str reason)
