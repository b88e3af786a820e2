from cpython.ref cimport PyObject


cpdef bytes check_text(bytes data, bint last)
cpdef str decode_text(bytes data)
cpdef str slice_text(bytes buffer, Py_ssize_t start, Py_ssize_t end)
cpdef str unmask_text(bytes buffer, Py_ssize_t start, Py_ssize_t end)


cdef class Collection:
    cdef PyObject* _octets
    cdef Py_ssize_t _capacity
    cdef Py_ssize_t _checked
    cdef bint _is_text
    cdef bint _is_ascii
    cdef readonly Py_ssize_t size

    cpdef begin(self, bint is_text)
    cpdef add(
        self,
        bytes buffer,
        Py_ssize_t start,
        Py_ssize_t end,
        bytes key,
        Py_ssize_t offset,
        Py_ssize_t coming,
        bint ends,
    )
    cpdef str text(self)
    cpdef bytes octets(self)
    cpdef discard(self)
    cdef char* _data(self) noexcept
    cdef PyObject* _exact(self) except NULL
    cdef int _resize(self, Py_ssize_t capacity) except -1
