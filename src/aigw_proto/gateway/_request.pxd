from ._answer cimport StreamItem


cdef int _CLIENT_CLOSED_REQUEST
