"""Masking of frame payloads (RFC 6455 section 5.3), 32 octets at a time; the same functions as in `_mask.py`.

Here, in `_payload.pyx` and in `_encoder.pyx` is all code of the package that handles pointers. Every function checks its
bounds before it takes one.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

IMPLEMENTATION = "compiled"


cdef uint64_t mask_octets(
    char* target, const char* source, Py_ssize_t size, const char* key, Py_ssize_t turn
) noexcept nogil:
    """Write `size` octets of `source` to `target`, masked with `key` from its octet `turn` on.

    Return what was written in words of eight octets, all or-ed: it has a high bit unless all of it is ASCII.
    """
    cdef char octets[8]
    cdef uint64_t mask, first, second, third, fourth
    cdef uint64_t seen_first = 0, seen_second = 0, seen_third = 0, seen_fourth = 0
    cdef Py_ssize_t at
    for at in range(8):
        octets[at] = key[(turn + at) & 3]
    memcpy(&mask, octets, 8)
    # Words are moved by memcpy, which is allowed at any address and costs no call. Compilers make wide registers of four
    # of them. All are read before any is written, or the processor waits where a read and a write are a page apart.
    for at in range(0, size - 31, 32):
        memcpy(&first, source + at, 8)
        memcpy(&second, source + at + 8, 8)
        memcpy(&third, source + at + 16, 8)
        memcpy(&fourth, source + at + 24, 8)
        first ^= mask
        second ^= mask
        third ^= mask
        fourth ^= mask
        seen_first |= first
        seen_second |= second
        seen_third |= third
        seen_fourth |= fourth
        memcpy(target + at, &first, 8)
        memcpy(target + at + 8, &second, 8)
        memcpy(target + at + 16, &third, 8)
        memcpy(target + at + 24, &fourth, 8)
    for at in range(size & ~31, size - 7, 8):
        memcpy(&first, source + at, 8)
        first ^= mask
        seen_first |= first
        memcpy(target + at, &first, 8)
    for at in range(size & ~7, size):
        target[at] = source[at] ^ octets[at & 7]
        seen_first |= <unsigned char> target[at]
    return seen_first | seen_second | seen_third | seen_fourth


cpdef bytes apply_mask(bytes data, bytes key, Py_ssize_t offset=0):
    """Return `data` masked or unmasked with the four octets of `key`, from position `offset` of the payload on."""
    return unmask_slice(data, 0, len(data), key, offset)


cpdef bytes unmask_payload(bytes buffer, Py_ssize_t start, Py_ssize_t end):
    """Return `buffer[start:end]` unmasked with the key that stands before it, as in a frame."""
    if start < 4 or end < start or end > len(buffer):
        raise IndexError("no payload with its key there")
    cdef bytes payload = PyBytes_FromStringAndSize(NULL, end - start)
    cdef const char* octets = PyBytes_AS_STRING(buffer)
    mask_octets(PyBytes_AS_STRING(payload), octets + start, end - start, octets + start - 4, 0)
    return payload


cpdef bytes slice_octets(bytes buffer, Py_ssize_t start, Py_ssize_t end):
    """Return `buffer[start:end]`."""
    if start < 0 or end < start or end > len(buffer):
        raise IndexError("no such slice")
    if end - start == len(buffer):
        return buffer
    return PyBytes_FromStringAndSize(PyBytes_AS_STRING(buffer) + start, end - start)


cpdef bytes unmask_slice(bytes buffer, Py_ssize_t start, Py_ssize_t end, bytes key, Py_ssize_t offset):
    """Return `buffer[start:end]`, which is at `offset` of its payload, unmasked with `key`."""
    if start < 0 or end < start or end > len(buffer) or len(key) != 4:
        raise IndexError("no such slice, or no key of four octets")
    cdef bytes payload = PyBytes_FromStringAndSize(NULL, end - start)
    mask_octets(
        PyBytes_AS_STRING(payload), PyBytes_AS_STRING(buffer) + start, end - start, PyBytes_AS_STRING(key), offset & 3
    )
    return payload
