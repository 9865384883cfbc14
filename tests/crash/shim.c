// Counts the calls by which a process changes the folder CRASH_ROOT, and makes the n-th of them die, tear or fail.
//
// Loaded with LD_PRELOAD: the dynamic linker, and dlsym as ctypes uses it, find these functions before the C library's.
// What does not go through such a symbol cannot be seen: raw system calls, io_uring, stores into mapped memory, and
// what the C library calls within itself (fwrite, mkstemp, posix_fallocate). Not watched are msync, truncate, symlink,
// chown, setxattr and ioctl (FICLONE). The process dies, not the machine: its page cache survives, synced or not.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum mode { OFF, COUNT, KILL, KILL_AFTER, TORN, TORN_HALF, TORN_ALL_BUT_1, SHORT, REFUSE };
enum verdict { GO_ON, DO_NOT, DIE_AFTER };
enum { NAMES_MOST = 1 << 16 };
static const struct { const char *text; enum mode mode; int error; } MODES[] = {
    {"count", COUNT, 0}, {"kill", KILL, 0}, {"killafter", KILL_AFTER, 0}, {"torn-half", TORN_HALF, 0},
    {"torn-allbut1", TORN_ALL_BUT_1, 0}, {"short", SHORT, 0}, {"eio", REFUSE, EIO}, {"enospc", REFUSE, ENOSPC},
    {"edquot", REFUSE, EDQUOT}, {"eintr", REFUSE, EINTR}};

// Shared with all forks: a parent reads what its killed child counted, and children are counted with their parent.
static struct {
    enum mode mode;
    int error;
    size_t torn_bytes;
    long at, count;
    const char *fired, *names[NAMES_MOST];
    char path[PATH_MAX];
} *shared;
static char root[PATH_MAX];
static __thread char touched[PATH_MAX];

// One line a process, appended: those that a program starts inherit its environment, and end whenever they end.
__attribute__((destructor)) static void report(void) {
    const char *file = getenv("CRASH_COUNT_FILE");
    int fd = file && shared ? open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666) : -1;
    if (fd < 0) return;
    dprintf(fd, "%d %ld %s %s\n", getpid(), shared->count, shared->fired ? shared->fired : "-", shared->path);
}

static void die(void) { report(); kill(getpid(), SIGKILL); for (;;) pause(); }

// Counts a call; size, where the call writes bytes, is cut to what the fault lets through.
static enum verdict arrive(const char *name, size_t *size) {
    long number = __atomic_add_fetch(&shared->count, 1, __ATOMIC_SEQ_CST);
    enum mode mode = shared->mode;
    if (number <= NAMES_MOST) shared->names[number - 1] = name;
    // A rename cannot be short: a fault that does nothing must not count as one that was survived.
    if (number != shared->at || mode <= COUNT || (mode == SHORT && !size)) return GO_ON;
    shared->fired = name;
    strcpy(shared->path, touched);
    if (mode == REFUSE) return errno = shared->error, DO_NOT;
    if (mode == KILL || (mode != KILL_AFTER && !size)) die();
    if (mode == TORN) *size = MIN(*size, shared->torn_bytes);
    if (mode == TORN_HALF || (mode == SHORT && *size > 1)) *size /= 2;
    if (mode == TORN_ALL_BUT_1 && *size) --*size;
    return mode == SHORT ? GO_ON : DIE_AFTER;
}

static bool is_inside(const char *path) {
    size_t length = strlen(root);
    if (strncmp(path, root, length) || (path[length] && path[length] != '/')) return false;
    strcpy(touched, path);
    return true;
}

static bool by_fd(int fd) {
    char link[64], path[PATH_MAX] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    return readlink(link, path, sizeof path - 1) > 0 && is_inside(path);
}

// The folder is resolved, the last name is not: it may not exist yet, and most calls act on a link itself.
static bool by_path(int folder, const char *path) {
    char joined[PATH_MAX], whole[PATH_MAX];
    if (!path || !*path) return by_fd(folder);
    if (*path == '/') snprintf(joined, sizeof joined, "%s", path);
    else if (folder == AT_FDCWD) snprintf(joined, sizeof joined, "./%s", path);
    else snprintf(joined, sizeof joined, "/proc/self/fd/%d/%s", folder, path);
    for (size_t end = strlen(joined); end > 1 && joined[end - 1] == '/';) joined[--end] = 0;
    char *name = strrchr(joined, '/');
    *name++ = 0;
    if (!realpath(*joined ? joined : "/", whole)) return false;
    size_t length = whole[1] ? strlen(whole) : 0;
    snprintf(whole + length, sizeof whole - length, "/%s", name);
    return is_inside(whole);
}

static bool creates(int flags) { return flags & (O_CREAT | O_TRUNC) || (flags & O_TMPFILE) == O_TMPFILE; }

// Fills `cut` with the first `most` bytes of a vector; returns how many there are.
static size_t cut_to(size_t most, struct iovec *cut, const struct iovec *vector, int count) {
    size_t bytes = 0;
    for (int i = 0; i < count && i < IOV_MAX; bytes += cut[i++].iov_len)
        cut[i] = (struct iovec){vector[i].iov_base, MIN(vector[i].iov_len, most - bytes)};
    return bytes;
}

// `inside` is not evaluated while nothing is armed; an argument may use `size`, which arrive() has cut by then.
#define PASS(type, name, parameters, arguments, inside, size) \
    static type(*next) parameters; \
    if (!next) next = (type(*) parameters)dlsym(RTLD_NEXT, #name); \
    enum verdict verdict = shared && shared->mode != OFF && (inside) ? arrive(#name, size) : GO_ON; \
    type result = verdict == DO_NOT ? -1 : next arguments; \
    if (verdict == DIE_AFTER) die(); \
    return result;
#define CALL(name, inside, arguments, ...) \
    int name(__VA_ARGS__) { PASS(int, name, (__VA_ARGS__), arguments, inside, NULL) }
#define WRITE(name, fd, arguments, ...) \
    ssize_t name(__VA_ARGS__) { PASS(ssize_t, name, (__VA_ARGS__), arguments, by_fd(fd), &size) }
#define VECTOR(name, arguments, ...) ssize_t name(__VA_ARGS__) { \
    struct iovec cut[IOV_MAX]; \
    size_t size = cut_to(SIZE_MAX, cut, vector, count); \
    PASS(ssize_t, name, (__VA_ARGS__), arguments, by_fd(fd), &size) }
#define CUT (cut_to(size, cut, vector, count), cut)
#define OPEN(name, folder, arguments, ...) int name(__VA_ARGS__, ...) { \
    mode_t mode = 0; \
    if (creates(flags)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); } \
    PASS(int, name, (__VA_ARGS__, ...), arguments, creates(flags) && by_path(folder, path), NULL) }
#define TWIN(twin, name) extern __typeof__(name) twin __attribute__((alias(#name), copy(name)));
_Static_assert(sizeof(off_t) == 8, "a function and its 64-bit twin must be the same one");
typedef const char *text;
typedef const struct timespec times[2];  // an array, as the headers declare it

OPEN(open, AT_FDCWD, (path, flags, mode), text path, int flags)
OPEN(openat, at, (at, path, flags, mode), int at, text path, int flags)
WRITE(write, fd, (fd, bytes, size), int fd, const void *bytes, size_t size)
WRITE(pwrite, fd, (fd, bytes, size, at), int fd, const void *bytes, size_t size, off_t at)
WRITE(copy_file_range, to, (from, in, to, out, size, flags),
      int from, off_t *in, int to, off_t *out, size_t size, unsigned flags)
WRITE(sendfile, to, (to, from, in, size), int to, int from, off_t *in, size_t size)
VECTOR(writev, (fd, CUT, count), int fd, const struct iovec *vector, int count)
VECTOR(pwritev, (fd, CUT, count, at), int fd, const struct iovec *vector, int count, off_t at)
VECTOR(pwritev2, (fd, CUT, count, at, flags), int fd, const struct iovec *vector, int count, off_t at, int flags)
CALL(ftruncate, by_fd(fd), (fd, size), int fd, off_t size)
CALL(fallocate, by_fd(fd), (fd, mode, at, size), int fd, int mode, off_t at, off_t size)
CALL(fsync, by_fd(fd), (fd), int fd)
CALL(fdatasync, by_fd(fd), (fd), int fd)
CALL(syncfs, by_fd(fd), (fd), int fd)
CALL(sync_file_range, by_fd(fd), (fd, at, size, flags), int fd, off_t at, off_t size, unsigned flags)
CALL(rename, by_path(AT_FDCWD, new) || by_path(AT_FDCWD, old), (old, new), text old, text new)
#define EITHER by_path(to, new) || by_path(from, old)
CALL(renameat, EITHER, (from, old, to, new), int from, text old, int to, text new)
CALL(renameat2, EITHER, (from, old, to, new, flags), int from, text old, int to, text new, unsigned flags)
CALL(link, by_path(AT_FDCWD, new), (old, new), text old, text new)
CALL(linkat, by_path(to, new), (from, old, to, new, flags), int from, text old, int to, text new, int flags)
CALL(unlink, by_path(AT_FDCWD, path), (path), text path)
CALL(unlinkat, by_path(at, path), (at, path, flags), int at, text path, int flags)
CALL(mkdir, by_path(AT_FDCWD, path), (path, mode), text path, mode_t mode)
CALL(mkdirat, by_path(at, path), (at, path, mode), int at, text path, mode_t mode)
CALL(rmdir, by_path(AT_FDCWD, path), (path), text path)
CALL(chmod, by_path(AT_FDCWD, path), (path, mode), text path, mode_t mode)
CALL(fchmod, by_fd(fd), (fd, mode), int fd, mode_t mode)
CALL(fchmodat, by_path(at, path), (at, path, mode, flags), int at, text path, mode_t mode, int flags)
CALL(futimens, by_fd(fd), (fd, both), int fd, times both)
CALL(utimensat, by_path(at, path), (at, path, both, flags), int at, text path, times both, int flags)
TWIN(open64, open) TWIN(__open_2, open) TWIN(__open64_2, open) TWIN(openat64, openat) TWIN(__openat_2, openat)
TWIN(__openat64_2, openat) TWIN(pwrite64, pwrite) TWIN(sendfile64, sendfile) TWIN(pwritev64, pwritev)
TWIN(pwritev64v2, pwritev2) TWIN(ftruncate64, ftruncate) TWIN(fallocate64, fallocate)

// A forked child ends by this one, which runs no destructor.
void _exit(int status) { report(); ((void (*)(int))dlsym(RTLD_NEXT, "_exit"))(status); __builtin_unreachable(); }

text crash_name(long nth) { return nth > 0 && nth <= shared->count && nth <= NAMES_MOST ? shared->names[nth - 1] : ""; }
text crash_last_name(void) { return shared->fired ? shared->fired : ""; }
text crash_last_path(void) { return shared->path; }
long crash_count(void) { return shared->count; }
void crash_disarm(void) { shared->mode = OFF; }

// Arms from the next call on: the nth, from 1, has the fault; 0 only counts. Returns -1 for a mode that does not exist.
int crash_arm(const char *mode, long nth) {
    crash_disarm();
    shared->at = nth, shared->count = 0, shared->fired = NULL, *shared->path = 0;
    enum mode found = sscanf(mode, "torn:%zu", &shared->torn_bytes) == 1 ? TORN : OFF;
    for (size_t i = 0; i < sizeof MODES / sizeof *MODES; i++)
        if (!strcmp(mode, MODES[i].text)) found = MODES[i].mode, shared->error = MODES[i].error;
    return (shared->mode = found) == OFF ? -1 : 0;
}

__attribute__((constructor)) static void start(void) {
    const char *folder = getenv("CRASH_ROOT"), *mode = getenv("CRASH_MODE"), *nth = getenv("CRASH_AT");
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    // Without its fault a test would pass, so nothing runs.
    if (shared == MAP_FAILED || !folder || !realpath(folder, root)) abort();
    if (mode && crash_arm(mode, nth ? atol(nth) : 0)) abort();
}
