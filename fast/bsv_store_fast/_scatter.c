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

/* Whether a buffer has one dimension and this format in native byte order. */
static int is_format(const Py_buffer *view, char expected)
{
    const char *format = view->format;
    if (view->ndim != 1 || format == NULL) return 0;
    /* NumPy marks arrays that are not aligned with "=" or "^". */
    if (*format == '@' || *format == '=' || *format == '^') format++;
    return format[0] == expected && format[1] == 0;
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
    if (!is_format(&part->total, 'd') || !is_format(&part->index, 'I') || !is_format(&part->values, 'f')
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
    if (size > INT32_MAX) {
        for (Py_ssize_t i = 0; i < count; i++) {
            const uint64_t place = index_at(index, i);
            if (place < first || place - first >= size) return 0;
        }
        return 1;
    }
    if (first > UINT32_MAX) return count == 0;
    /* A place is outside if and only if the sign bit of place or of last - place is set, even after wrapping around.
       Without a branch, the compiler processes several indices at once. */
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
    unsigned long long first;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "O!K:add_parts", &PyList_Type, &items, &first)) return NULL;
    const Py_ssize_t count = PyList_Size(items);
    Part *parts = PyMem_Calloc(count > 0 ? (size_t)count : 1, sizeof(Part));
    if (parts == NULL) return PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < count; i++) {
        if (fill(&parts[i], PyList_GetItem(items, i)) < 0) {
            release(parts, count);
            return NULL;
        }
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
        const char *format = views[i].format;
        const int fits = i == INDEX    ? views[i].itemsize == 8 && (!strcmp(format, "l") || !strcmp(format, "q"))
                         : i == LISTED ? is_format(&views[i], 'I')
                                       : is_format(&views[i], 'd');
        if (!fits || views[i].ndim != 1 || (uintptr_t)views[i].buf % (i == LISTED ? 4 : 8) != 0) {
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
    }
    if ((views[CENTER].buf == NULL) != (views[SPREAD].buf == NULL) || (views[LOW].buf == NULL) != (views[HIGH].buf == NULL)) {
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
