/* A disk that fails on demand. The dynamic linker puts this in front of the C library (LD_PRELOAD), and it acts on
 * files below the folder that DISK_FOLDER names. What goes wrong stands in the file that DISK_FAULTS names, which is
 * read at every call, one fault a line:
 *
 *     CALL FAULT [once]     CALL is open, write, ftruncate, unlink, sync (of a file) or syncdir
 *
 * A fault is the name of an error below; `hold`, which keeps the call waiting for as long as the line is there; or, of
 * a write, `short`: every other call is interrupted, and the others take half of what they are given. With `once` an
 * error comes once for each time that the file is written anew, which a line `# NUMBER` tells from the time before.
 * Each fault that struck adds its line to the file of the same name with `.struck` behind.
 *
 * A sync that fails has lost what it was to write, as on Linux: the pages count as clean, are forgotten sooner or
 * later, and what is then read is what the disk has, here zeros. The next sync finds nothing to do and succeeds.
 *
 * fallocate is not in here: the hub asks the kernel for that without the C library. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define FILES_MAX 65536

/* By descriptor. `opened` is 0 for a file that is none of ours, or 1 more than the bytes that it had when it was opened,
 * which no sync loses. What was written behind those and is not synced lies between `from` and `to`. */
static struct { _Atomic long long opened, from, to; } files[FILES_MAX];

static const struct { const char *name; int error; } ERRORS[] = {
    {"EIO", EIO}, {"ENOSPC", ENOSPC}, {"EROFS", EROFS}, {"EDQUOT", EDQUOT},
};

static void put(int fd, const void *bytes, size_t count) {
    if (syscall(SYS_write, fd, bytes, count) < 0) abort();
}

/* Finds the fault of a call, whose words it gives; false when there is none. */
static int find(const char *call, char *fault, char *how) {
    static char seen[256], text[256];
    static atomic_flag lock = ATOMIC_FLAG_INIT, has_struck;
    const char *path = getenv("DISK_FAULTS");
    int found = 0;
    fault[0] = 0;
    while (atomic_flag_test_and_set(&lock)) {}
    int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0) : -1;
    if (fd >= 0) {
        ssize_t count = syscall(SYS_read, fd, text, sizeof text - 1);
        syscall(SYS_close, fd);
        text[count < 0 ? 0 : count] = 0;
        if (strcmp(text, seen)) {
            strcpy(seen, text);
            atomic_flag_clear(&has_struck);
        }
        char *rest, line[64], name[16];
        for (char *at = strtok_r(text, "\n", &rest); at && !found; at = strtok_r(NULL, "\n", &rest)) {
            how[0] = 0;
            found = sscanf(at, "%15s %15s %15s", name, fault, how) >= 2 && !strcmp(name, call);
            if (found && !strcmp(how, "once")) found = !atomic_flag_test_and_set(&has_struck);
        }
        if (found) {
            char struck[4096];
            snprintf(struck, sizeof struck, "%s.struck", path);
            int log = (int)syscall(SYS_openat, AT_FDCWD, struck, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
            put(log, line, (size_t)snprintf(line, sizeof line, "%s %s\n", call, fault));
            syscall(SYS_close, log);
        }
    }
    atomic_flag_clear(&lock);
    return found;
}

/* Whether a call has to fail, with errno set; waits while it is held. The fault may also be `short`. */
static int fails(const char *call, char *fault) {
    char how[16];
    const struct timespec moment = {0, 1000000};
    while (find(call, fault, how)) {
        if (strcmp(fault, "hold")) {
            for (size_t i = 0; i < sizeof ERRORS / sizeof *ERRORS; i++) {
                if (!strcmp(fault, ERRORS[i].name)) return errno = ERRORS[i].error, 1;
            }
            return 0;
        }
        nanosleep(&moment, NULL);
    }
    fault[0] = 0;
    return 0;
}

static int is_ours(const char *path) {
    const char *folder = getenv("DISK_FOLDER");
    return folder && !strncmp(path, folder, strlen(folder));
}

/* Whether a descriptor that was opened without the C library leads to a file of ours. */
static int leads_here(int fd) {
    char name[32], path[4096];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(name, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = 0;
    return is_ours(path);
}

static int is_tracked(int fd) { return fd >= 0 && fd < FILES_MAX && files[fd].opened > 0; }

static long long size(int fd) {
    struct stat stat;
    return fstat(fd, &stat) ? 0 : stat.st_size;
}

int open64(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    char fault[16];
    int ours = is_ours(path);
    if (ours && (flags & (O_WRONLY | O_RDWR)) && fails("open", fault)) return -1;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_LARGEFILE, mode);
    if (fd >= 0 && fd < FILES_MAX) {
        files[fd].opened = ours ? 1 + size(fd) : 0;
        files[fd].from = files[fd].to = 0;
    }
    return fd;
}

int close(int fd) {
    if (fd >= 0 && fd < FILES_MAX) files[fd].opened = 0;
    return (int)syscall(SYS_close, fd);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    static int turn;
    if (is_tracked(fd)) {
        char fault[16];
        if (fails("write", fault)) return -1;
        if (!strcmp(fault, "short")) {
            if (turn++ % 2) return errno = EINTR, -1;
            count = (count + 1) / 2;
        }
    }
    ssize_t written = syscall(SYS_pwrite64, fd, bytes, count, at);
    if (written > 0 && is_tracked(fd) && at >= files[fd].opened - 1) {
        if (!files[fd].to || at < files[fd].from) files[fd].from = at;
        if (at + written > files[fd].to) files[fd].to = at + written;
    }
    return written;
}

int ftruncate64(int fd, off64_t length) {
    if (is_tracked(fd)) {
        char fault[16];
        if (fails("ftruncate", fault)) return -1;
        if (files[fd].opened > length + 1) files[fd].opened = length + 1;
        if (files[fd].to > length) files[fd].to = length;
    }
    return (int)syscall(SYS_ftruncate, fd, length);
}

int unlink(const char *path) {
    char fault[16];
    if (is_ours(path) && fails("unlink", fault)) return -1;
    return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

static int sync_of(int fd, int number) {
    struct stat stat;
    char fault[16];
    if (!is_tracked(fd) && !leads_here(fd)) return (int)syscall(number, fd);
    int is_folder = !fstat(fd, &stat) && S_ISDIR(stat.st_mode);
    int error = fails(is_folder ? "syncdir" : "sync", fault) ? errno : 0;
    for (long long at = files[fd].from; error && at < files[fd].to; at++) {
        if (syscall(SYS_pwrite64, fd, "", 1, at) < 0) abort();
    }
    files[fd].to = 0;
    return error ? (errno = error, -1) : (int)syscall(number, fd);
}

int fdatasync(int fd) { return sync_of(fd, SYS_fdatasync); }
int fsync(int fd) { return sync_of(fd, SYS_fsync); }
