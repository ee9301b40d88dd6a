/* Add values at listed positions of arrays: the inner loops of averages, compiled.

   The arrays are Python buffers, so that neither NumPy's headers nor its version matter, and the functions are those
   of the stable ABI of Python 3.11. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <stdint.h>
#include <string.h>

typedef struct {
    Py_buffer total, index, values;
    double divisor;
    int held; /* number of buffers to release */
} Part;

static void release(Part *parts, Py_ssize_t count)
{
    for (Py_ssize_t i = 0; i < count; i++) {
        if (parts[i].held > 0) PyBuffer_Release(&parts[i].total);
        if (parts[i].held > 1) PyBuffer_Release(&parts[i].index);
        if (parts[i].held > 2) PyBuffer_Release(&parts[i].values);
    }
    PyMem_Free(parts);
}

/* Whether a buffer has one dimension, one of these formats in native byte order, and elements of this size. */
static int is_format(const Py_buffer *view, const char *expected, Py_ssize_t itemsize)
{
    const char *format = view->format;
    if (view->ndim != 1 || view->itemsize != itemsize || format == NULL) return 0;
    /* NumPy marks arrays that are not aligned with "=" or "^". */
    if (*format == '@' || *format == '=' || *format == '^') format++;
    return *format != 0 && strchr(expected, *format) != NULL && format[1] == 0;
}

/* The formats of these types: of several with the same size, NumPy prefers another one on each system. */
static const char *const OF_UINT32 = "IL", *const OF_INT64 = "lq";

/* Whether two buffers share memory: an index that is changed by adding would no longer be the one that was checked. */
static int overlap(const Py_buffer *one, const Py_buffer *other)
{
    const uintptr_t start = (uintptr_t)one->buf, start_of_other = (uintptr_t)other->buf;
    return start < start_of_other + (size_t)other->len && start_of_other < start + (size_t)one->len;
}

/* Fill one part from a tuple (total, index, values, divisor); 0 on success, -1 with an exception. */
static int fill(Part *part, PyObject *item)
{
    PyObject *total, *index, *values;
    const int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT;
    if (!PyTuple_Check(item)) {
        PyErr_SetString(PyExc_TypeError, "a part must be a tuple (total, index, values, divisor)");
        return -1;
    }
    if (!PyArg_ParseTuple(item, "OOOd;a part must be (total, index, values, divisor)", &total, &index, &values,
                          &part->divisor))
        return -1;
    if (PyObject_GetBuffer(total, &part->total, flags | PyBUF_WRITABLE) < 0) return -1;
    part->held = 1;
    if (PyObject_GetBuffer(index, &part->index, flags) < 0) return -1;
    part->held = 2;
    if (PyObject_GetBuffer(values, &part->values, flags) < 0) return -1;
    part->held = 3;
    if (!is_format(&part->total, "d", 8) || !is_format(&part->index, OF_UINT32, 4) || !is_format(&part->values, "f", 4)
        || (uintptr_t)part->total.buf % sizeof(double) != 0) {
        PyErr_SetString(PyExc_TypeError,
                        "arrays must have one dimension: total float64 and aligned, index uint32, values float32");
        return -1;
    }
    if (part->index.len != part->values.len) {
        PyErr_Format(PyExc_IndexError, "%zd indices for %zd values", part->index.len / 4, part->values.len / 4);
        return -1;
    }
    return 0;
}

/* Arrays in the image of a file need not be aligned; memcpy becomes one instruction. */
static inline uint32_t index_at(const char *index, Py_ssize_t i)
{
    uint32_t place;
    memcpy(&place, index + 4 * i, 4);
    return place;
}

static inline float value_at(const char *values, Py_ssize_t i)
{
    float value;
    memcpy(&value, values + 4 * i, 4);
    return value;
}

/* Whether all indices are in [first, first + size). */
static int is_inside(const char *index, Py_ssize_t count, uint64_t first, uint64_t size)
{
    if (size > INT32_MAX || first > INT32_MAX) {
        for (Py_ssize_t i = 0; i < count; i++) {
            const uint64_t place = index_at(index, i);
            if (place < first || place - first >= size) return 0;
        }
        return 1;
    }
    /* Since size and first are below 2^31, a place is outside if and only if the sign bit of place or of last - place is
       set, even after wrapping around. Without a branch, the compiler processes several indices at once. */
    const uint32_t start = (uint32_t)first, last = (uint32_t)size - 1;
    uint32_t signs = size == 0 ? UINT32_MAX : 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        const uint32_t place = index_at(index, i) - start;
        signs |= place | (last - place);
    }
    return count == 0 || (signs & 0x80000000u) == 0;
}

static void add(double *total, const char *index, const char *values, Py_ssize_t count, uint64_t first, double divisor)
{
    for (Py_ssize_t i = 0; i < count; i++) total[index_at(index, i) - first] += (double)value_at(values, i) / divisor;
}

static PyObject *add_parts(PyObject *self, PyObject *arguments)
{
    PyObject *items;
    Py_ssize_t start;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "O!n:add_parts", &PyList_Type, &items, &start)) return NULL;
    if (start < 0) {
        PyErr_Format(PyExc_IndexError, "first must not be negative, got %zd", start);
        return NULL;
    }
    const uint64_t first = (uint64_t)start;
    /* The list may be changed while the parts are read. */
    PyObject *kept = PyList_AsTuple(items);
    if (kept == NULL) return NULL;
    const Py_ssize_t count = PyTuple_Size(kept);
    Part *parts = PyMem_Calloc(count > 0 ? (size_t)count : 1, sizeof(Part));
    if (parts == NULL) {
        Py_DECREF(kept);
        return PyErr_NoMemory();
    }
    int failed = 0;
    for (Py_ssize_t i = 0; i < count && !failed; i++) failed = fill(&parts[i], PyTuple_GetItem(kept, i)) < 0;
    Py_DECREF(kept);
    for (Py_ssize_t i = 0; i < count && !failed; i++) {
        if (i > 0 && parts[i].total.buf == parts[i - 1].total.buf) continue;
        for (Py_ssize_t j = 0; j < count && !failed; j++) {
            if (!overlap(&parts[i].total, &parts[j].index)) continue;
            PyErr_SetString(PyExc_ValueError, "total and index must not share memory");
            failed = 1;
        }
    }
    if (failed) {
        release(parts, count);
        return NULL;
    }
    Py_ssize_t outside = -1;
    Py_BEGIN_ALLOW_THREADS
    /* All are checked before the first is added. */
    for (Py_ssize_t i = 0; i < count && outside < 0; i++) {
        const Part *part = &parts[i];
        if (!is_inside(part->index.buf, part->index.len / 4, first, (uint64_t)part->total.len / 8)) outside = i;
    }
    for (Py_ssize_t i = 0; i < count && outside < 0; i++) {
        const Part *part = &parts[i];
        add(part->total.buf, part->index.buf, part->values.buf, part->index.len / 4, first, part->divisor);
    }
    Py_END_ALLOW_THREADS
    if (outside >= 0)
        PyErr_Format(PyExc_IndexError, "an index is outside the %zd voxels", parts[outside].total.len / 8);
    release(parts, count);
    if (outside >= 0) return NULL;
    Py_RETURN_NONE;
}

/* -- moments ------------------------------------------------------------------------------------------------------- */

enum { INDEX, VALUES, TOTAL, LISTED, CENTER, SPREAD, LOW, HIGH, ARRAYS };

static const char *const names[ARRAYS] = {"index", "values", "total", "listed", "center", "spread", "low", "high"};

/* Fill views of the arrays, with a NULL buffer for None; 0 on success, -1 with an exception. */
static int get_arrays(PyObject *const *objects, Py_buffer *views)
{
    for (int i = 0; i < ARRAYS; i++) {
        views[i].buf = NULL;
        views[i].obj = NULL;
    }
    for (int i = 0; i < ARRAYS; i++) {
        if (i >= CENTER && objects[i] == Py_None) continue;
        if (PyObject_GetBuffer(objects[i], &views[i], PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (i >= TOTAL ? PyBUF_WRITABLE : 0)) < 0)
            return -1;
        const int fits = i == INDEX    ? is_format(&views[i], OF_INT64, 8)
                         : i == LISTED ? is_format(&views[i], OF_UINT32, 4)
                                       : is_format(&views[i], "d", 8);
        if (!fits || (uintptr_t)views[i].buf % (i == LISTED ? 4 : 8) != 0) {
            PyErr_Format(PyExc_TypeError, "%s must be an aligned array of one dimension of %s", names[i],
                         i == INDEX ? "int64" : i == LISTED ? "uint32" : "float64");
            return -1;
        }
        const Py_ssize_t count = views[i].len / views[i].itemsize;
        const int like = i == VALUES ? INDEX : TOTAL;
        if (i != INDEX && i != TOTAL && count != views[like].len / 8) {
            PyErr_Format(PyExc_IndexError, "%s has %zd elements, and %s has %zd", names[i], count, names[like],
                         views[like].len / 8);
            return -1;
        }
        if (i >= TOTAL && overlap(&views[INDEX], &views[i])) {
            PyErr_Format(PyExc_ValueError, "%s and index must not share memory", names[i]);
            return -1;
        }
    }
    if ((views[CENTER].obj == NULL) != (views[SPREAD].obj == NULL) || (views[LOW].obj == NULL) != (views[HIGH].obj == NULL)) {
        PyErr_SetString(PyExc_TypeError, "center and spread, and low and high, must be given together");
        return -1;
    }
    return 0;
}

/* Welford (1962, doi:10.1080/00401706.1962.10490022), in the order of operations of bsv-store's NumPy version. */
static void update(const Py_buffer *views)
{
    const int64_t *index = views[INDEX].buf;
    const double *values = views[VALUES].buf;
    double *total = views[TOTAL].buf, *center = views[CENTER].buf, *spread = views[SPREAD].buf;
    double *low = views[LOW].buf, *high = views[HIGH].buf;
    uint32_t *listed = views[LISTED].buf;
    const Py_ssize_t count = views[INDEX].len / 8;
    for (Py_ssize_t i = 0; i < count; i++) {
        const int64_t place = index[i];
        const double value = values[i];
        total[place] += value;
        listed[place] += 1;
        if (center != NULL) {
            const double k = listed[place];
            double deviation = value - center[place];
            center[place] += deviation / k;
            deviation *= deviation;
            deviation *= (k - 1) / k;
            spread[place] = deviation + spread[place];
        }
        if (low != NULL) {
            low[place] = value < low[place] ? value : low[place];
            high[place] = value > high[place] ? value : high[place];
        }
    }
}

static PyObject *add_moments(PyObject *self, PyObject *arguments)
{
    PyObject *objects[ARRAYS];
    Py_buffer views[ARRAYS];
    int outside = 0;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "OOOOOOOO:add_moments", &objects[0], &objects[1], &objects[2], &objects[3],
                          &objects[4], &objects[5], &objects[6], &objects[7]))
        return NULL;
    const int failed = get_arrays(objects, views) < 0;
    if (!failed) {
        const int64_t *index = views[INDEX].buf;
        const Py_ssize_t count = views[INDEX].len / 8, size = views[TOTAL].len / 8;
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t i = 0; i < count; i++) outside |= index[i] < 0 || index[i] >= size;
        if (!outside) update(views);
        Py_END_ALLOW_THREADS
        if (outside) PyErr_Format(PyExc_IndexError, "an index is outside the %zd voxels", size);
    }
    for (int i = 0; i < ARRAYS; i++)
        if (views[i].obj != NULL) PyBuffer_Release(&views[i]);
    if (failed || outside) return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"add_parts", add_parts, METH_VARARGS,
     "add_parts(parts, first)\n--\n\nAdd values / divisor, in float64, to total[index - first], part after part."},
    {"add_moments", add_moments, METH_VARARGS,
     "add_moments(index, values, total, listed, center, spread, low, high)\n--\n\n"
     "Add values to the sums, counts, centers, squared deviations and extremes at index."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_scatter", "The inner loops of averages, compiled.", 0, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__scatter(void)
{
    return PyModule_Create(&module);
}
