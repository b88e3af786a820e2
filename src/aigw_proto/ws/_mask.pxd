from libc.stdint cimport uint64_t


cdef uint64_t mask_octets(
    char* target, const char* source, Py_ssize_t size, const char* key, Py_ssize_t turn
) noexcept nogil

cpdef bytes apply_mask(bytes data, bytes key, Py_ssize_t offset=*)
cpdef bytes unmask_payload(bytes buffer, Py_ssize_t start, Py_ssize_t end)
cpdef bytes slice_octets(bytes buffer, Py_ssize_t start, Py_ssize_t end)
cpdef bytes unmask_slice(bytes buffer, Py_ssize_t start, Py_ssize_t end, bytes key, Py_ssize_t offset)
