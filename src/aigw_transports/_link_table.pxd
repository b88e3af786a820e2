cdef class LinkTable:
    cdef readonly dict _links
