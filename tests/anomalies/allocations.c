/* What Python allocates: how many blocks live, and one allocation, or all from one on, that fails on demand.
 *
 * CPython's own tests have the same in _testcapi. This one also says how many allocations there were and who had asked
 * for the one that failed, counts blocks under every allocator (sys.getallocatedblocks() is 0 with
 * PYTHONMALLOC=malloc), makes its calls from C, so that nothing but what is tested runs without memory, and is there
 * wherever the extensions can be compiled.
 */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <dlfcn.h>
#include <execinfo.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { DOMAINS = 3, DEPTH = 64 };

static const PyMemAllocatorDomain domains[DOMAINS] = {PYMEM_DOMAIN_RAW, PYMEM_DOMAIN_MEM, PYMEM_DOMAIN_OBJ};
static PyMemAllocatorEx originals[DOMAINS];
static int installed;
static _Atomic long live; /* atomic: raw allocations need no GIL */

static _Atomic int armed;
static long seen, refused, first, last;
static char asker[PATH_MAX]; /* the shared object that asked for the first one that was refused; "": Python code */

/* ---- Who asks */

/* Where a frame of the stack tells nothing: here, in the interpreter, in the C library, in AddressSanitizer. */
static int is_below(const void *base) {
    const void *const known[] = {(void *)is_below, (void *)PyObject_Call, (void *)getpid, (void *)malloc};
    Dl_info found;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (dladdr(known[i], &found) && found.dli_fbase == base)
            return 1;
    return 0;
}

/* The shared object of the innermost frame that tells something; nothing if it runs Python code. */
static void find_object(char *name) {
    void *frames[DEPTH];
    Dl_info found;
    int depth = backtrace(frames, DEPTH);
    name[0] = '\0';
    for (int i = 0; i < depth; i++) {
        if (!dladdr(frames[i], &found))
            continue;
        if (found.dli_sname != NULL && strcmp(found.dli_sname, "_PyEval_EvalFrameDefault") == 0)
            return;
        if (!is_below(found.dli_fbase)) {
            snprintf(name, PATH_MAX, "%s", found.dli_fname);
            return;
        }
    }
}

/* A crash says first which allocation had failed, who had asked for it, and who crashed. */
static void crashed(int number) {
    char line[2 * PATH_MAX + 100], where[PATH_MAX];
    armed = 0;
    find_object(where);
    snprintf(line, sizeof line,
             "{\"signal\": %d, \"first\": %ld, \"last\": %ld, \"asked\": \"%s\", \"crashed\": \"%s\"}\n", number, first,
             last, asker, where);
    if (write(STDOUT_FILENO, line, strlen(line)) < 0)
        _exit(2);
    signal(number, SIG_DFL);
    raise(number);
}

/* ---- The allocators */

static int refuse(void) {
    if (!armed)
        return 0;
    seen++;
    if (seen < first || seen > last)
        return 0;
    if (refused++ == 0)
        find_object(asker);
    return 1;
}

static void *counted(void *block) {
    if (block != NULL)
        live++;
    return block;
}

static void *hooked_malloc(void *context, size_t size) {
    PyMemAllocatorEx *original = context;
    return refuse() ? NULL : counted(original->malloc(original->ctx, size));
}

static void *hooked_calloc(void *context, size_t count, size_t size) {
    PyMemAllocatorEx *original = context;
    return refuse() ? NULL : counted(original->calloc(original->ctx, count, size));
}

static void *hooked_realloc(void *context, void *block, size_t size) {
    PyMemAllocatorEx *original = context;
    void *moved;
    if (refuse())
        return NULL;
    moved = original->realloc(original->ctx, block, size);
    return block == NULL ? counted(moved) : moved;
}

static void hooked_free(void *context, void *block) {
    PyMemAllocatorEx *original = context;
    if (block != NULL)
        live--;
    original->free(original->ctx, block);
}

static PyObject *install(PyObject *module, PyObject *unused) {
    void *frame;
    backtrace(&frame, 1); /* the first time it loads what it needs */
    for (int i = 0; i < DOMAINS && !installed; i++) {
        PyMemAllocatorEx hooked = {&originals[i], hooked_malloc, hooked_calloc, hooked_realloc, hooked_free};
        PyMem_GetAllocator(domains[i], &originals[i]);
        PyMem_SetAllocator(domains[i], &hooked);
    }
    installed = 1;
    Py_RETURN_NONE;
}

static PyObject *uninstall(PyObject *module, PyObject *unused) {
    for (int i = 0; i < DOMAINS && installed; i++)
        PyMem_SetAllocator(domains[i], &originals[i]);
    installed = 0;
    Py_RETURN_NONE;
}

static PyObject *report_crashes(PyObject *module, PyObject *unused) {
    static const int signals[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        signal(signals[i], crashed);
    Py_RETURN_NONE;
}

static PyObject *blocks(PyObject *module, PyObject *unused) {
    return PyLong_FromLong(live);
}

/* ---- Calls without memory */

/* Makes the calls until one raises; what they return goes into a list that is there already. Returns how many did. */
static Py_ssize_t make_calls(PyObject *calls, PyObject *results) {
    Py_ssize_t done;
    for (done = 0; done < PyList_GET_SIZE(calls); done++) {
        PyObject *call = PyList_GET_ITEM(calls, done);
        PyObject *result = PyObject_Call(PyTuple_GET_ITEM(call, 0), PyTuple_GET_ITEM(call, 1), NULL);
        if (result == NULL)
            break;
        Py_DECREF(PyList_GET_ITEM(results, done)); /* None */
        PyList_SET_ITEM(results, done, result);
    }
    return done;
}

static PyObject *run(PyObject *module, PyObject *arguments) {
    PyObject *calls, *results, *kind = NULL, *error = NULL, *traceback = NULL, *answer = NULL;
    long from, until;
    Py_ssize_t done;
    if (!PyArg_ParseTuple(arguments, "O!ll", &PyList_Type, &calls, &from, &until))
        return NULL;
    results = PyList_New(PyList_GET_SIZE(calls));
    if (results == NULL)
        return NULL;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(calls); i++) {
        Py_INCREF(Py_None);
        PyList_SET_ITEM(results, i, Py_None);
    }
    seen = refused = 0;
    first = from;
    last = until;
    asker[0] = '\0';
    armed = 1;
    done = make_calls(calls, results);
    armed = 0;
    PyErr_Fetch(&kind, &error, &traceback);
    if (kind != NULL)
        PyErr_NormalizeException(&kind, &error, &traceback);
    if (PyList_SetSlice(results, done, PY_SSIZE_T_MAX, NULL) == 0)
        answer = Py_BuildValue("OOlls", results, error != NULL ? error : Py_None, seen, refused, asker);
    Py_DECREF(results);
    Py_XDECREF(kind);
    Py_XDECREF(error);
    Py_XDECREF(traceback);
    return answer;
}

static PyMethodDef methods[] = {
    {"install", install, METH_NOARGS, "Count from now on."},
    {"uninstall", uninstall, METH_NOARGS, "Leave the allocators as they were."},
    {"report_crashes", report_crashes, METH_NOARGS, "Write a line of JSON to stdout before a crash ends the process."},
    {"blocks", blocks, METH_NOARGS, "Blocks that live, less those of before install()."},
    {"run", run, METH_VARARGS,
     "run(calls, first, last): make the calls, (function, arguments) each, while the allocations first to last, from 1\n"
     "on, fail. Returns what they returned until one raised, what it raised or None, how many allocations there were,\n"
     "how many were refused, and the shared object that had asked for the first of those, \"\" if it was Python code."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "allocations", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_allocations(void) {
    return PyModule_Create(&definition);
}
