"""Frames as they are sent (RFC 6455 section 5.2): the same functions as in `_encoder.py`, each octet written once."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.string cimport memcpy

from ._mask cimport mask_octets


cdef Py_ssize_t header_bytes(Py_ssize_t length) noexcept:
    return 2 if length <= 125 else 4 if length <= 0xFFFF else 10


cdef char* write_header(char* octets, int head, int mask_bit, Py_ssize_t length) noexcept:
    """Write a header without the key; return where it ends."""
    cdef int shift
    octets[0] = <char> head
    if length <= 125:
        octets[1] = <char> (mask_bit | length)
        return octets + 2
    if length <= 0xFFFF:
        octets[1] = <char> (mask_bit | 126)
        octets[2] = <char> (length >> 8)
        octets[3] = <char> length
        return octets + 4
    octets[1] = <char> (mask_bit | 127)
    for shift in range(8):
        octets[2 + shift] = <char> (length >> (56 - 8 * shift))
    return octets + 10


cpdef bytes encode_header(int head, Py_ssize_t length):
    """Return the header of an unmasked frame with `length` bytes of payload."""
    cdef char[10] octets
    return PyBytes_FromStringAndSize(octets, write_header(octets, head, 0, length) - octets)


cpdef bytes encode_frame(int head, bytes payload):
    """Return a whole frame that is not masked."""
    cdef Py_ssize_t length = len(payload)
    cdef bytes frame = PyBytes_FromStringAndSize(NULL, header_bytes(length) + length)
    memcpy(write_header(PyBytes_AS_STRING(frame), head, 0, length), PyBytes_AS_STRING(payload), length)
    return frame


cpdef bytes encode_masked(int head, bytes payload, bytes keys, Py_ssize_t at):
    """Return a whole frame, its payload masked with the four octets of `keys` from `at` on (section 5.3)."""
    cdef Py_ssize_t length = len(payload)
    if at < 0 or at > len(keys) - 4:
        raise IndexError("no key of four octets there")
    cdef const char* key = PyBytes_AS_STRING(keys) + at
    cdef bytes frame = PyBytes_FromStringAndSize(NULL, header_bytes(length) + 4 + length)
    cdef char* octets = write_header(PyBytes_AS_STRING(frame), head, 0x80, length)
    memcpy(octets, key, 4)
    mask_octets(octets + 4, PyBytes_AS_STRING(payload), length, key, 0)
    return frame
