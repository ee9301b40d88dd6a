/* Records the file operations of a process and its children below a folder, and makes one of them fail.
 *
 * Loaded with LD_PRELOAD, it stands between a program (Python, SQLite, HDF5) and the C library. tests/reliability/disk.py
 * compiles it, maps the same control file, and reads the log that follows it in the file. All operations below the
 * folder are made under one lock, so that the log has them in their order, also from threads and children.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* The kinds of calls that are counted, in the order of CALLS in disk.py. */
enum { OPEN, READ, WRITE, FSYNC, RENAME, UNLINK, MKDIR, LINK, TRUNCATE, CALLS };

/* The kinds of records, in the order of KINDS in disk.py. */
enum {
    R_CREATE, R_WRITE, R_TRUNCATE, R_SYNC, R_RENAME, R_LINK, R_UNLINK, R_MKDIR, R_RMDIR, R_MARK, R_CALL, R_OPEN,
    R_UNKNOWN
};

struct control {
    pthread_mutex_t lock;
    char padding[128 - sizeof(pthread_mutex_t)];
    uint32_t is_ready;
    uint32_t is_recording;
    uint32_t is_counting;
    uint32_t call;   /* which kind of call fails; CALLS for none */
    uint32_t number; /* which one of them, from 1 */
    uint32_t is_lasting; /* whether the later ones fail, too */
    uint32_t error;
    uint32_t failed; /* how many have failed */
    uint32_t counts[16];
    uint32_t is_tracing; /* whether the counted calls are recorded, too */
    uint32_t is_following; /* whether the opened files are recorded, and nothing else */
    uint64_t used;   /* bytes of the log */
    uint64_t size;
};
#define LOG 4096

struct record {
    uint32_t kind;
    uint32_t first, second, data; /* lengths of what follows */
    uint64_t inode;
    int64_t offset;
};

static struct control *control;
static char root[PATH_MAX];
static size_t root_length;
/* The path of the file of the last call of is_ours. */
static __thread char ours[PATH_MAX];

static void end(const char *why) {
    dprintf(2, "disk.c: %s\n", why);
    abort();
}

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real && !(real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name))) end(#name)

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("BSV_STORE_TEST_DISK"), *folder = getenv("BSV_STORE_TEST_DISK_ROOT");
    if (!path || !folder) return;
    int file = syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
    struct stat found;
    if (file < 0 || fstat(file, &found)) return;
    struct control *mapped = mmap(NULL, found.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    syscall(SYS_close, file);
    if (mapped == MAP_FAILED) return;
    if (!mapped->is_ready) {
        pthread_mutexattr_t kind;
        pthread_mutexattr_init(&kind);
        pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
        pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
        pthread_mutex_init(&mapped->lock, &kind);
        mapped->size = found.st_size - LOG;
        mapped->is_ready = 1;
    }
    snprintf(root, sizeof root, "%s/", folder);
    root_length = strlen(root);
    control = mapped;
}

/* -- paths ------------------------------------------------------------------------------------------------------- */

/* The root itself, too, which may be flushed. */
static int is_below(const char *path) {
    if (!root_length || strncmp(path, root, root_length - 1)) return 0;
    return !path[root_length - 1] || path[root_length - 1] == '/';
}

static int is_active(void) { return control && (control->is_recording || control->is_counting); }

static int name_of(int file, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return 1;
}

/* The absolute path, or an empty one if there is none. */
static const char *absolute(int folder, const char *path, char *buffer) {
    if (!path) return "";
    if (path[0] == '/') return path;
    char base[PATH_MAX];
    if (folder == AT_FDCWD) {
        if (syscall(SYS_getcwd, base, sizeof base) < 0) return "";
    } else if (!name_of(folder, base)) {
        return "";
    }
    if (snprintf(buffer, PATH_MAX, "%s/%s", base, path) >= PATH_MAX) return "";
    return buffer;
}

/* Whether a file descriptor is a file or folder below the root. */
static int is_ours(int file, struct stat *found) {
    if (!is_active() || fstat(file, found)) return 0;
    if (!S_ISREG(found->st_mode) && !S_ISDIR(found->st_mode)) return 0;
    return name_of(file, ours) && is_below(ours);
}

/* -- control ----------------------------------------------------------------------------------------------------- */

static void lock(void) {
    if (pthread_mutex_lock(&control->lock) == EOWNERDEAD) pthread_mutex_consistent(&control->lock);
}

static void unlock(void) {
    int kept = errno;
    pthread_mutex_unlock(&control->lock);
    errno = kept;
}

static void add(int kind, uint64_t inode, int64_t offset, const char *first, const char *second, const void *data,
                size_t length) {
    if (!control->is_recording && kind != R_CALL && kind != R_OPEN) return;
    int kept = errno;
    struct record record = {kind, first ? strlen(first) : 0, second ? strlen(second) : 0, length, inode, offset};
    size_t size = sizeof record + record.first + record.second + length;
    if (length > UINT32_MAX || control->used + size > control->size) end("the log is full");
    char *at = (char *)control + LOG + control->used;
    memcpy(at, &record, sizeof record);
    at += sizeof record;
    if (first) memcpy(at, first, record.first);
    at += record.first;
    if (second) memcpy(at, second, record.second);
    at += record.second;
    if (length) memcpy(at, data, length);
    control->used += size;
    errno = kept;
}

/* Records a counted call, with its path and the place in the program: the lines of Python, and the return addresses of
 * the C code below, such as SQLite. */
static void trace(int call, uint32_t number, const char *path) {
    static int file = -1;
    static char text[1 << 16], name[PATH_MAX];
    int kept = errno;
    /* `ours` changes while the stack is written. */
    snprintf(name, sizeof name, "%s", path);
    void *(*state_of)(void) = (void *(*)(void))dlsym(RTLD_DEFAULT, "PyGILState_GetThisThreadState");
    void (*dump)(int, void *) = (void (*)(int, void *))dlsym(RTLD_DEFAULT, "_Py_DumpTraceback");
    if (!state_of || !dump) end("no stack of Python");
    Dl_info python, found;
    if (!dladdr((void *)state_of, &python)) end("dladdr");
    if (file < 0) file = syscall(SYS_memfd_create, "stack", MFD_CLOEXEC);
    syscall(SYS_ftruncate, file, 0);
    syscall(SYS_lseek, file, 0, SEEK_SET);
    void *state = state_of();
    if (state) dump(file, state);
    ssize_t length = syscall(SYS_pread64, file, text, sizeof text - 1, 0);
    text[length < 0 ? 0 : length] = 0;
    void *frames[64];
    int count = backtrace(frames, 64), used = 0;
    while (used < count && !(dladdr(frames[used], &found) && found.dli_fbase == python.dli_fbase)) used++;
    add(R_CALL, call, number, name, text, frames, used * sizeof *frames);
    errno = kept;
}

/* Whether a write that is to fail writes a part instead: error 0. */
static int is_short(void) { return control->is_counting && control->error == 0; }

/* Counts a call; true if it is to fail, with errno set. */
static int fails(int call, const char *path) {
    if (!control->is_counting) return 0;
    uint32_t number = ++control->counts[call];
    if (control->is_tracing) trace(call, number, path);
    if (control->call != (uint32_t)call || number < control->number) return 0;
    if (number > control->number && !control->is_lasting) return 0;
    control->failed++;
    errno = control->error;
    return 1;
}

/* Called by the tests: a step of the job has returned. */
void bsv_store_test_mark(const char *name) {
    if (!control) return;
    lock();
    add(R_MARK, 0, 0, name, NULL, NULL, 0);
    unlock();
}

/* -- open, close ------------------------------------------------------------------------------------------------- */

/* Records an opened file, from which bytes may be read. */
static void follow(int file) {
    struct stat found;
    if (fstat(file, &found) || !S_ISREG(found.st_mode) || !name_of(file, ours) || !is_below(ours)) return;
    lock();
    add(R_OPEN, found.st_ino, 0, NULL, NULL, NULL, 0);
    unlock();
}

static int opened(int folder, const char *path, int flags, mode_t mode) {
    if (control && control->is_following) {
        int file = syscall(SYS_openat, folder, path, flags, mode);
        int kept = errno;
        if (file >= 0) follow(file);
        errno = kept;
        return file;
    }
    char buffer[PATH_MAX];
    const char *name = is_active() ? absolute(folder, path, buffer) : "";
    if (!is_below(name)) return syscall(SYS_openat, folder, path, flags, mode);
    lock();
    int file = -1;
    if (!fails(OPEN, name)) {
        struct stat before, after;
        int existed = !syscall(SYS_newfstatat, folder, path, &before, 0);
        file = syscall(SYS_openat, folder, path, flags, mode);
        if (file >= 0 && !fstat(file, &after)) {
            if ((flags & O_TMPFILE) == O_TMPFILE) add(R_UNKNOWN, 0, 0, "O_TMPFILE", name, NULL, 0);
            else if (!existed && (flags & O_CREAT)) add(R_CREATE, after.st_ino, after.st_mode, name, NULL, NULL, 0);
            else if ((flags & O_TRUNC) && existed && before.st_size) add(R_TRUNCATE, after.st_ino, 0, 0, 0, NULL, 0);
        }
    }
    unlock();
    return file;
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list list; \
        va_start(list, flags); \
        mode = va_arg(list, mode_t); \
        va_end(list); \
    }

int open(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE(flags) return opened(folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) { MODE(flags) return opened(folder, path, flags, mode); }
int __open_2(const char *path, int flags) { return opened(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return opened(AT_FDCWD, path, flags, 0); }
int __openat_2(int folder, const char *path, int flags) { return opened(folder, path, flags, 0); }
int __openat64_2(int folder, const char *path, int flags) { return opened(folder, path, flags, 0); }
int creat(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

static FILE *opened_stream(FILE *stream) {
    int kept = errno;
    if (stream && control && control->is_following) follow(fileno(stream));
    errno = kept;
    return stream;
}

FILE *fopen(const char *path, const char *mode) {
    REAL(fopen);
    return opened_stream(real(path, mode));
}
FILE *fopen64(const char *path, const char *mode) {
    REAL(fopen64);
    return opened_stream(real(path, mode));
}

/* The listing of a folder, which is counted as an open. */
DIR *opendir(const char *path) {
    REAL(opendir);
    char buffer[PATH_MAX];
    const char *name = control && control->is_counting ? absolute(AT_FDCWD, path, buffer) : "";
    if (!is_below(name)) return real(path);
    lock();
    DIR *folder = fails(OPEN, name) ? NULL : real(path);
    unlock();
    return folder;
}

/* -- reads, which are only counted -------------------------------------------------------------------------------- */

static int read_fails(int file) {
    struct stat found;
    if (!control || !control->is_counting || !is_ours(file, &found) || !S_ISREG(found.st_mode)) return 0;
    lock();
    int failed = fails(READ, ours);
    unlock();
    return failed;
}

ssize_t read(int file, void *data, size_t size) {
    return read_fails(file) ? -1 : syscall(SYS_read, file, data, size);
}
ssize_t pread(int file, void *data, size_t size, off_t at) {
    return read_fails(file) ? -1 : syscall(SYS_pread64, file, data, size, at);
}
ssize_t pread64(int file, void *data, size_t size, off64_t at) {
    return read_fails(file) ? -1 : syscall(SYS_pread64, file, data, size, at);
}

/* -- writes ------------------------------------------------------------------------------------------------------ */

/* What was written by a call that the kernel fed from elsewhere is read back. */
static void add_read_back(int file, const struct stat *found, off64_t at, ssize_t size) {
    char path[64], *data = malloc(size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    int again = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (!data || again < 0 || syscall(SYS_pread64, again, data, size, at) != size) end("cannot read back");
    syscall(SYS_close, again);
    add(R_WRITE, found->st_ino, at, NULL, NULL, data, size);
    free(data);
}

/* Where the next byte is written. */
static off64_t position(int file) {
    int flags = fcntl(file, F_GETFL);
    struct stat found;
    if (flags >= 0 && (flags & O_APPEND) && !fstat(file, &found)) return found.st_size;
    return syscall(SYS_lseek, file, 0, SEEK_CUR);
}

ssize_t write(int file, const void *data, size_t size) {
    struct stat found;
    if (!is_ours(file, &found)) return syscall(SYS_write, file, data, size);
    lock();
    ssize_t done = -1;
    int failed = fails(WRITE, ours);
    if (failed && is_short()) failed = 0, size = size > 1 ? size / 2 : size;
    if (!failed) {
        off64_t at = position(file);
        done = syscall(SYS_write, file, data, size);
        if (done > 0) add(R_WRITE, found.st_ino, at, NULL, NULL, data, done);
    }
    unlock();
    return done;
}

static ssize_t written_at(int file, const void *data, size_t size, off64_t at) {
    struct stat found;
    if (!is_ours(file, &found)) return syscall(SYS_pwrite64, file, data, size, at);
    lock();
    ssize_t done = -1;
    int failed = fails(WRITE, ours);
    if (failed && is_short()) failed = 0, size = size > 1 ? size / 2 : size;
    if (!failed) {
        done = syscall(SYS_pwrite64, file, data, size, at);
        if (done > 0) add(R_WRITE, found.st_ino, at, NULL, NULL, data, done);
    }
    unlock();
    return done;
}
ssize_t pwrite(int file, const void *data, size_t size, off_t at) { return written_at(file, data, size, at); }
ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) { return written_at(file, data, size, at); }

ssize_t writev(int file, const struct iovec *parts, int count) {
    struct stat found;
    if (!is_ours(file, &found)) return syscall(SYS_writev, file, parts, count);
    lock();
    ssize_t done = -1;
    if (!fails(WRITE, ours)) {
        off64_t at = position(file);
        done = syscall(SYS_writev, file, parts, count);
        if (done > 0) add_read_back(file, &found, at, done);
    }
    unlock();
    return done;
}

static ssize_t written_parts_at(int file, const struct iovec *parts, int count, off64_t at) {
    REAL(pwritev64);
    struct stat found;
    if (!is_ours(file, &found)) return real(file, parts, count, at);
    lock();
    ssize_t done = -1;
    if (!fails(WRITE, ours)) {
        done = real(file, parts, count, at);
        if (done > 0) add_read_back(file, &found, at, done);
    }
    unlock();
    return done;
}
ssize_t pwritev(int file, const struct iovec *parts, int count, off_t at) {
    return written_parts_at(file, parts, count, at);
}
ssize_t pwritev64(int file, const struct iovec *parts, int count, off64_t at) {
    return written_parts_at(file, parts, count, at);
}

static ssize_t sent(int to, int from, off64_t *at_from, size_t size) {
    REAL(sendfile64);
    struct stat found;
    if (!is_ours(to, &found)) return real(to, from, at_from, size);
    lock();
    ssize_t done = -1;
    if (!fails(WRITE, ours)) {
        off64_t at = position(to);
        done = real(to, from, at_from, size);
        if (done > 0) add_read_back(to, &found, at, done);
    }
    unlock();
    return done;
}
ssize_t sendfile(int to, int from, off_t *at_from, size_t size) { return sent(to, from, at_from, size); }
ssize_t sendfile64(int to, int from, off64_t *at_from, size_t size) { return sent(to, from, at_from, size); }

ssize_t copy_file_range(int from, off64_t *at_from, int to, off64_t *at_to, size_t size, unsigned flags) {
    REAL(copy_file_range);
    struct stat found;
    if (!is_ours(to, &found)) return real(from, at_from, to, at_to, size, flags);
    lock();
    ssize_t done = -1;
    if (!fails(WRITE, ours)) {
        off64_t at = at_to ? *at_to : position(to);
        done = real(from, at_from, to, at_to, size, flags);
        if (done > 0) add_read_back(to, &found, at, done);
    }
    unlock();
    return done;
}

/* A mapping that can change a file without a call. */
static void *mapped(void *at, size_t size, int access, int flags, int file, off64_t offset) {
    struct stat found;
    if (file >= 0 && (access & PROT_WRITE) && (flags & MAP_SHARED) && is_ours(file, &found)) {
        lock();
        add(R_UNKNOWN, 0, 0, "mmap", "", NULL, 0);
        unlock();
    }
    return (void *)syscall(SYS_mmap, at, size, access, flags, file, offset);
}
void *mmap(void *at, size_t size, int access, int flags, int file, off_t offset) {
    return mapped(at, size, access, flags, file, offset);
}
void *mmap64(void *at, size_t size, int access, int flags, int file, off64_t offset) {
    return mapped(at, size, access, flags, file, offset);
}

static int truncated(int file, off64_t size) {
    struct stat found;
    if (!is_ours(file, &found)) return syscall(SYS_ftruncate, file, size);
    lock();
    int done = -1;
    if (!fails(TRUNCATE, ours)) {
        done = syscall(SYS_ftruncate, file, size);
        if (!done) add(R_TRUNCATE, found.st_ino, size, NULL, NULL, NULL, 0);
    }
    unlock();
    return done;
}
int ftruncate(int file, off_t size) { return truncated(file, size); }
int ftruncate64(int file, off64_t size) { return truncated(file, size); }

static int path_truncated(const char *path, off64_t size) {
    int file = opened(AT_FDCWD, path, O_WRONLY, 0);
    if (file < 0) return -1;
    int done = truncated(file, size), kept = errno;
    syscall(SYS_close, file);
    errno = kept;
    return done;
}
int truncate(const char *path, off_t size) { return path_truncated(path, size); }
int truncate64(const char *path, off64_t size) { return path_truncated(path, size); }

static int allocated(int file, int mode, off64_t at, off64_t size) {
    struct stat found;
    if (!is_ours(file, &found)) return syscall(SYS_fallocate, file, mode, at, size);
    lock();
    int done = -1;
    if (!fails(WRITE, ours)) {
        done = syscall(SYS_fallocate, file, mode, at, size);
        if (!done && mode) add(R_UNKNOWN, 0, 0, "fallocate", "", NULL, 0);
        else if (!done && at + size > found.st_size) add(R_TRUNCATE, found.st_ino, at + size, NULL, NULL, NULL, 0);
    }
    unlock();
    return done;
}
int fallocate(int file, int mode, off_t at, off_t size) { return allocated(file, mode, at, size); }
int fallocate64(int file, int mode, off64_t at, off64_t size) { return allocated(file, mode, at, size); }
int posix_fallocate(int file, off_t at, off_t size) { return allocated(file, 0, at, size) ? errno : 0; }
int posix_fallocate64(int file, off64_t at, off64_t size) { return allocated(file, 0, at, size) ? errno : 0; }

/* -- flushes ----------------------------------------------------------------------------------------------------- */

static int flushed(int file, long call) {
    struct stat found;
    if (!is_ours(file, &found)) return syscall(call, file);
    lock();
    int done = -1;
    if (!fails(FSYNC, ours)) {
        done = syscall(call, file);
        if (!done) add(R_SYNC, found.st_ino, S_ISDIR(found.st_mode), NULL, NULL, NULL, 0);
    }
    unlock();
    return done;
}
int fsync(int file) { return flushed(file, SYS_fsync); }
int fdatasync(int file) { return flushed(file, SYS_fdatasync); }

/* -- names ------------------------------------------------------------------------------------------------------- */

static int renamed(int from, const char *old, int to, const char *new, unsigned flags) {
    char first[PATH_MAX], second[PATH_MAX];
    const char *source = is_active() ? absolute(from, old, first) : "";
    const char *target = is_active() ? absolute(to, new, second) : "";
    if (!is_below(source) && !is_below(target)) return syscall(SYS_renameat2, from, old, to, new, flags);
    lock();
    int done = -1;
    if (!fails(RENAME, target)) {
        struct stat found = {0};
        syscall(SYS_newfstatat, from, old, &found, AT_SYMLINK_NOFOLLOW);
        done = syscall(SYS_renameat2, from, old, to, new, flags);
        int is_plain = !(flags & ~RENAME_NOREPLACE) && is_below(source) && is_below(target);
        if (!done) add(is_plain ? R_RENAME : R_UNKNOWN, found.st_ino, 0, source, target, NULL, 0);
    }
    unlock();
    return done;
}
int rename(const char *old, const char *new) { return renamed(AT_FDCWD, old, AT_FDCWD, new, 0); }
int renameat(int from, const char *old, int to, const char *new) { return renamed(from, old, to, new, 0); }
int renameat2(int from, const char *old, int to, const char *new, unsigned flags) {
    return renamed(from, old, to, new, flags);
}

static int linked(int from, const char *old, int to, const char *new, int flags) {
    char first[PATH_MAX], second[PATH_MAX];
    const char *source = is_active() ? absolute(from, old, first) : "";
    const char *target = is_active() ? absolute(to, new, second) : "";
    if (!is_below(target)) return syscall(SYS_linkat, from, old, to, new, flags);
    lock();
    int done = -1;
    if (!fails(LINK, target)) {
        struct stat found = {0};
        done = syscall(SYS_linkat, from, old, to, new, flags);
        syscall(SYS_newfstatat, to, new, &found, AT_SYMLINK_NOFOLLOW);
        if (!done) add(is_below(source) ? R_LINK : R_UNKNOWN, found.st_ino, 0, source, target, NULL, 0);
    }
    unlock();
    return done;
}
int link(const char *old, const char *new) { return linked(AT_FDCWD, old, AT_FDCWD, new, 0); }
int linkat(int from, const char *old, int to, const char *new, int flags) { return linked(from, old, to, new, flags); }

static int symlinked(const char *content, int folder, const char *path) {
    char buffer[PATH_MAX];
    const char *name = is_active() ? absolute(folder, path, buffer) : "";
    int done = syscall(SYS_symlinkat, content, folder, path);
    if (!done && is_below(name)) {
        lock();
        add(R_UNKNOWN, 0, 0, "symlink", name, NULL, 0);
        unlock();
    }
    return done;
}
int symlink(const char *content, const char *path) { return symlinked(content, AT_FDCWD, path); }
int symlinkat(const char *content, int folder, const char *path) { return symlinked(content, folder, path); }

static int removed(int folder, const char *path, int flags) {
    char buffer[PATH_MAX];
    const char *name = is_active() ? absolute(folder, path, buffer) : "";
    if (!is_below(name)) return syscall(SYS_unlinkat, folder, path, flags);
    lock();
    int done = -1;
    if (!fails(UNLINK, name)) {
        struct stat found = {0};
        syscall(SYS_newfstatat, folder, path, &found, AT_SYMLINK_NOFOLLOW);
        done = syscall(SYS_unlinkat, folder, path, flags);
        if (!done) add(flags & AT_REMOVEDIR ? R_RMDIR : R_UNLINK, found.st_ino, 0, name, NULL, NULL, 0);
    }
    unlock();
    return done;
}
int unlink(const char *path) { return removed(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return removed(AT_FDCWD, path, AT_REMOVEDIR); }
int unlinkat(int folder, const char *path, int flags) { return removed(folder, path, flags); }
int remove(const char *path) {
    int done = removed(AT_FDCWD, path, 0);
    return done && errno == EISDIR ? removed(AT_FDCWD, path, AT_REMOVEDIR) : done;
}

static int made(int folder, const char *path, mode_t mode) {
    char buffer[PATH_MAX];
    const char *name = is_active() ? absolute(folder, path, buffer) : "";
    if (!is_below(name)) return syscall(SYS_mkdirat, folder, path, mode);
    lock();
    int done = -1;
    if (!fails(MKDIR, name)) {
        struct stat found = {0};
        done = syscall(SYS_mkdirat, folder, path, mode);
        syscall(SYS_newfstatat, folder, path, &found, AT_SYMLINK_NOFOLLOW);
        if (!done) add(R_MKDIR, found.st_ino, mode, name, NULL, NULL, 0);
    }
    unlock();
    return done;
}
int mkdir(const char *path, mode_t mode) { return made(AT_FDCWD, path, mode); }
int mkdirat(int folder, const char *path, mode_t mode) { return made(folder, path, mode); }
