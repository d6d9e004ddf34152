/* Loaded before libc: makes the n-th change of the disk under one folder fail, as a full or broken disk would.
 *
 * Counted are open (to write), write, pwrite, fsync, ftruncate, rename, mkdir, unlink, rmdir and chmod of anything
 * whose path lies under the folder. faults_arm(n, error, sticky) lets the n-th from now on fail; sticky: also all
 * after it. A write that fails with ENOSPC writes the first half of its bytes when it is the first to fail, as a
 * filling disk does. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static char root[4096];
static long countdown = -1, seen = 0;
static int failing = 0, sticky = 0, error = 0;

void faults_root(const char *path) { snprintf(root, sizeof root, "%s", path); }
void faults_arm(long n, int number, int stay) { countdown = n; error = number; sticky = stay; failing = 0; seen = 0; }
void faults_disarm(void) { countdown = -1; failing = 0; }
long faults_seen(void) { return seen; }
int faults_fired(void) { return failing; }

static int under(const char *path) { return root[0] && path && strncmp(path, root, strlen(root)) == 0; }

static int of(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return under(path);
}

/* 0: go on; 1: fail now for the first time; 2: fail again */
static int due(int concerned) {
    if (!concerned || countdown < 0) return 0;
    seen++;
    if (failing) return sticky ? 2 : 0;
    if (countdown-- > 0) return 0;
    countdown = 0;
    failing = 1;
    return 1;
}

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define FAIL_IF(concerned) do { if (due(concerned)) { errno = error; return -1; } } while (0)

ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    int fails = due(of(fd));
    if (fails == 1 && error == ENOSPC && size > 1) return real(fd, data, size / 2);
    if (fails) { errno = error; return -1; }
    return real(fd, data, size);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { REAL(pwrite); FAIL_IF(of(fd)); return real(fd, data, size, at); }
int fsync(int fd) { REAL(fsync); FAIL_IF(of(fd)); return real(fd); }
int ftruncate(int fd, off_t size) { REAL(ftruncate); FAIL_IF(of(fd)); return real(fd, size); }
int rename(const char *from, const char *to) { REAL(rename); FAIL_IF(under(to)); return real(from, to); }
int mkdir(const char *path, mode_t mode) { REAL(mkdir); FAIL_IF(under(path)); return real(path, mode); }
int unlink(const char *path) { REAL(unlink); FAIL_IF(under(path)); return real(path); }
int rmdir(const char *path) { REAL(rmdir); FAIL_IF(under(path)); return real(path); }
int chmod(const char *path, mode_t mode) { REAL(chmod); FAIL_IF(under(path)); return real(path, mode); }

static int opened(int (*real)(const char *, int, ...), const char *path, int flags, mode_t mode) {
    FAIL_IF(under(path) && (flags & (O_WRONLY | O_RDWR | O_CREAT)));
    return real(path, flags, mode);
}
int open(const char *path, int flags, ...) {
    REAL(open); va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest);
    return opened(real, path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    REAL(open64); va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest);
    return opened(real, path, flags, mode);
}
