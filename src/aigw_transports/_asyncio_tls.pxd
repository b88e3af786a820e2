from ._asyncio_link cimport LinkState


cdef class SecureState:
    cdef object _home
    cdef object _session
    cdef object _make_link
    cdef object _failed
    cdef LinkState _link
    cdef object _transport
    cdef bint _over
    cdef bint _closing
    cdef bint _peer_ended
    cdef bint _blocked
    cdef bint _paused
    cdef bint _resting
    cdef bint _held
    cdef object _timer

    cpdef buffer_updated(self, Py_ssize_t nbytes)
    cdef _advance(self)
    cdef _decrypt(self, LinkState link)
    cdef _notify(self)
    cdef _flush(self)
    cdef _update_reading(self)
