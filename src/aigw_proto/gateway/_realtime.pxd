cimport cython

from ..ws._connection cimport WSConnection
from ..ws._events cimport MessagePiece
from ._core cimport Core
from ._ledger cimport Ledger
from ._leg cimport Leg
from ._turn cimport Actor


cdef int _QUANTUM
cdef Py_ssize_t _BYTES_OF_ONE_COST
cdef Py_ssize_t _BYTES_OF_ONE_COST_DEFLATED
cdef int _TURN_COST
cdef Py_ssize_t _FLUSH_BYTES
cdef object _OPENING
cdef object _OPEN
cdef object _NEED_DATA


cdef class Realtime(Actor):
    cdef Leg _client
    cdef Leg _provider
    cdef object _idle_seconds
    cdef object _last_message_at
    cdef Py_ssize_t _max_message_bytes
    cdef object _opening
    cdef object _state
    cdef object _timers
    cdef readonly Core core
    cdef readonly Ledger ledger
    cdef readonly object peer
    cdef readonly object upgrade

    cdef _open(self, now)
    cdef _refuse(self, refusal, now)
    cdef _abandon(self, now)

    @cython.locals(client=Leg, provider=Leg)
    cpdef work(self, now)

    @cython.locals(ws=WSConnection, target=WSConnection, cost=Py_ssize_t, waiting=Py_ssize_t, price=Py_ssize_t, piece=MessagePiece)
    cdef _pump(self, Leg source, Leg sink, now)

    @cython.locals(size=Py_ssize_t, whole=Py_ssize_t, cost=Py_ssize_t)
    cdef Py_ssize_t _admit(self, Leg source, Leg sink, MessagePiece piece, now) except -1

    cdef _on_event(self, Leg source, Leg sink, event, now)
    cdef _on_close(self, Leg source, Leg sink, event, now)
    cdef _on_closed(self, Leg source, Leg sink, event, now)
    cdef _on_failed(self, Leg source, Leg sink, event, now)
    cdef _gone(self, Leg sink, reason, now)
    cdef _send_close(self, Leg leg, code, reason, now)
    cdef _answer(self, Leg leg, now)
    cdef _end(self, code, reason, now)
    cdef _closing(self)
    cpdef next_timeout(self)
    cpdef handle_timeout(self, now)
    cdef _move(self, trigger)


cdef _state(Leg leg)
cdef bint _takes(Leg sink) except -1
