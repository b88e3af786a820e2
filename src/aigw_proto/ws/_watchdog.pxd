cimport cython


cdef object _LISTENING
cdef object _PINGED
cdef object _CLOSE_SENT


cdef class Watchdog:
    cdef object _interval
    cdef object _pong_timeout
    cdef object _close_timeout
    cdef object _now
    cdef object _mode
    cdef readonly object deadline

    cpdef heard(self, now)
    cpdef listen(self, now, bint enabled)
    cpdef close_sent(self, now)
    cpdef stop(self)
    cpdef expire(self, now, bint unread)
