cpdef bytes encode_header(int head, Py_ssize_t length)
cpdef bytes encode_frame(int head, bytes payload)
cpdef bytes encode_masked(int head, bytes payload, bytes keys, Py_ssize_t at)
