cpdef bytes apply_mask(bytes data, bytes key, Py_ssize_t offset=*)
cpdef bytes unmask_payload(bytes buffer, Py_ssize_t start, Py_ssize_t end)
cpdef bytes unmask_slice(bytes buffer, Py_ssize_t start, Py_ssize_t end, bytes key, Py_ssize_t offset)
cpdef bytes join_masked(bytes header, bytes payload, bytes key)
