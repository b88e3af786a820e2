"""Payloads as a caller wants them; the same functions as in `_payload.py`, with as few passes over octets as possible.

A text that is ASCII, which most are, is unmasked into the string that the caller gets: strings of ASCII are stored as
octets, and the kernel that unmasks sees in passing whether they are. When they are not, the string is never shown to
anybody; its memory is what the text is decoded from.
"""

from cpython.bytes cimport PyBytes_AS_STRING, _PyBytes_Resize
from cpython.ref cimport Py_CLEAR, Py_DECREF, Py_XDECREF, PyObject
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint64_t

from ._mask cimport mask_octets

from codecs import utf_8_decode

from .._errors import CloseCode
from ._violation import Violation

cdef extern from "Python.h":
    str PyUnicode_New(Py_ssize_t size, Py_UCS4 largest)
    str PyUnicode_DecodeUTF8Stateful(const char* data, Py_ssize_t size, const char* errors, Py_ssize_t* used)
    # The same functions on objects that nobody else knows, whose memory may therefore move.
    PyObject* new_string "PyUnicode_New"(Py_ssize_t size, Py_UCS4 largest) except NULL
    PyObject* new_bytes "PyBytes_FromStringAndSize"(const char* data, Py_ssize_t size) except NULL
    int resize_string "PyUnicode_Resize"(PyObject** text, Py_ssize_t size) except -1
    char* string_data "PyUnicode_DATA"(PyObject* text) noexcept
    char* bytes_data "PyBytes_AS_STRING"(PyObject* data) noexcept

cdef uint64_t NOT_ASCII = 0x8080808080808080
cdef char[4] NO_KEY = [0, 0, 0, 0]


cpdef bytes check_text(bytes data, bint last):
    """Check a part of a text that begins with a character; return the octets of one that it ends within."""
    cdef const char* octets = PyBytes_AS_STRING(data)
    cdef Py_ssize_t size = len(data)
    if last:
        decode_octets(octets, size)
        return b""
    return data[check_octets(octets, size):]


cpdef str decode_text(bytes data):
    """Decode a complete text. Raises Violation (1007) when it is not UTF-8."""
    return decode_octets(PyBytes_AS_STRING(data), len(data))


cpdef str slice_text(bytes buffer, Py_ssize_t start, Py_ssize_t end):
    """Decode the text in `buffer[start:end]`. Raises Violation (1007)."""
    if start < 0 or end < start or end > len(buffer):
        raise IndexError("no such slice")
    return read_text(PyBytes_AS_STRING(buffer) + start, end - start, NO_KEY)


cpdef str unmask_text(bytes buffer, Py_ssize_t start, Py_ssize_t end):
    """Decode the text in `buffer[start:end]`, masked with the key that stands before it. Raises Violation (1007)."""
    if start < 4 or end < start or end > len(buffer):
        raise IndexError("no payload with its key there")
    cdef const char* octets = PyBytes_AS_STRING(buffer)
    return read_text(octets + start, end - start, octets + start - 4)


cdef str read_text(const char* source, Py_ssize_t size, const char* key):
    if not size:
        return ""
    cdef str text = PyUnicode_New(size, 127)
    cdef char* octets = string_data(<PyObject*> text)
    if mask_octets(octets, source, size, key, 0) & NOT_ASCII:
        return decode_octets(octets, size)
    return text


cdef str decode_octets(const char* octets, Py_ssize_t size):
    try:
        return PyUnicode_DecodeUTF8(octets, size, NULL)
    except UnicodeDecodeError as error:
        raise invalid_text(error.reason) from None


cdef Py_ssize_t check_octets(const char* octets, Py_ssize_t size) except -1:
    """Check a part of a text; return how much of it are whole characters."""
    cdef Py_ssize_t used = 0
    try:
        PyUnicode_DecodeUTF8Stateful(octets, size, NULL, &used)
    except UnicodeDecodeError as error:
        raise invalid_text(error.reason) from None
    # Python waits for the third octet of a surrogate before it refuses it, for the sake of error handlers.
    if size - used > 1 and <unsigned char> octets[used] == 0xED and <unsigned char> octets[used + 1] >= 0xA0:
        raise invalid_text("surrogate")
    return used


cdef invalid_text(str reason):
    return Violation(CloseCode.INVALID_PAYLOAD_DATA, f"text is not UTF-8: {reason}")


cdef class Collection:
    """Puts together what comes in parts. `size` is that of what was added, in bytes.

    Parts are unmasked into one object of the kind that the caller gets. Memory follows what has come, not what a header
    announces: at most four times as much is taken in advance.
    """

    # _octets is that object, a str or bytes; _checked counts the octets of a text that are known to be characters, once
    # it is known not to be ASCII.

    def __cinit__(self):
        self._is_ascii = True

    def __dealloc__(self):
        Py_XDECREF(self._octets)

    cpdef begin(self, bint is_text):
        """Forget what was added and collect a text, which is checked, or octets."""
        self.discard()
        self._is_text = is_text

    cpdef add(
        self,
        bytes buffer,
        Py_ssize_t start,
        Py_ssize_t end,
        bytes key,
        Py_ssize_t offset,
        Py_ssize_t coming,
        bint ends,
    ):
        """Add `buffer[start:end]`: octets from `offset` on that are masked with `key`, or for an empty key are not.

        That many bytes are `coming` next, and with `ends` they are the last. Raises Violation (1007) for a part of a
        text that cannot belong to one; the end of a text is left to `text()`.
        """
        cdef Py_ssize_t before = self.size
        cdef Py_ssize_t size = before + end - start
        if start < 0 or end < start or end > len(buffer) or coming < 0 or (key and len(key) != 4):
            raise IndexError("no such slice, or no key of four octets")
        if end == start:
            return
        if size > self._capacity:
            # Behind the end of a fragment there is no telling how much comes; then as much again is taken.
            self._resize(size + min(coming if ends else max(coming, size), 3 * size))
        cdef uint64_t seen = mask_octets(
            self._data() + before,
            PyBytes_AS_STRING(buffer) + start,
            end - start,
            PyBytes_AS_STRING(key) if key else NO_KEY,
            offset & 3,
        )
        self.size = size
        if not self._is_text:
            return
        if seen & NOT_ASCII:
            if self._is_ascii:
                self._is_ascii = False
                self._checked = before
        elif self._is_ascii or self._checked == before:
            self._checked = size
            return
        if coming or not ends:
            self._checked += check_octets(self._data() + self._checked, size - self._checked)

    cpdef str text(self):
        """Move out what was collected, as a text. Raises Violation (1007) when it is not UTF-8."""
        cdef str whole = ""
        if self._is_text and self._is_ascii:
            whole = <str> self._exact() if self.size else ""
        elif self.size:
            whole = decode_octets(self._data(), self.size)
        self.discard()
        return whole

    cpdef bytes octets(self):
        """Move out what was collected."""
        cdef bytes whole = b""
        if self._is_text:
            whole = self._data()[:self.size] if self.size else b""
        elif self.size:
            whole = <bytes> self._exact()
        self.discard()
        return whole

    cpdef discard(self):
        """Forget what was added."""
        Py_CLEAR(self._octets)
        self._is_ascii = True
        self._checked = 0
        self._capacity = 0
        self.size = 0

    cdef char* _data(self) noexcept:
        return string_data(self._octets) if self._is_text else bytes_data(self._octets)

    cdef PyObject* _exact(self) except NULL:
        """Return what was collected without what was taken in advance."""
        if self.size < self._capacity:
            self._resize(self.size)
        return self._octets

    cdef int _resize(self, Py_ssize_t capacity) except -1:
        try:
            if self._octets is NULL:
                self._octets = new_string(capacity, 127) if self._is_text else new_bytes(NULL, capacity)
            elif self._is_text:
                resize_string(&self._octets, capacity)
            else:
                _PyBytes_Resize(&self._octets, capacity)
        except MemoryError:
            self.discard()
            raise
        self._capacity = capacity
        return 0
