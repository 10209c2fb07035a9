//go:build ignore

// launch FOLDER OVER ROUNDS warm|cold PROGRAM PROGRAM ARGUMENT...
//
// Mounts FOLDER over OVER where only its children see it. Then runs the two programs in turn with the same arguments and prints, for each
// run, the nanoseconds from just before vfork to just after the exit was seen.
// A program of its own, in C, so that starting a child costs next to nothing and
// nothing of it hides a difference.
//
// cold: before each run both program files are dropped from the page cache, and
// mincore(2) must agree that they are gone.
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { warm_up = 5 };

static long long now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

// resident returns how many pages of a file are in memory.
static size_t resident(int fd, size_t size) {
	size_t page = sysconf(_SC_PAGESIZE), pages = (size + page - 1) / page, count = 0;
	unsigned char in[pages];
	void *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED || mincore(map, size, in) != 0)
		err(1, "mincore");
	munmap(map, size);
	for (size_t i = 0; i < pages; i++)
		count += in[i] & 1;
	return count;
}

static void evict(const char *path) {
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0 || fsync(fd) != 0)
		err(1, "%s", path);
	// Somebody who looks at /proc may hold on to the last run for a moment.
	for (int try = 0; try < 1000; try++) {
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		if (resident(fd, st.st_size) == 0) {
			close(fd);
			return;
		}
		usleep(1000);
	}
	errx(1, "%s stays in memory; is it on a disk?", path);
}

static long long once(char *program, char **args, int out[2]) {
	char *env[] = {NULL}, buf[64 << 10];
	int status;
	args[0] = program;
	long long start = now();
	pid_t pid = vfork();
	if (pid == 0) {
		dup2(out[1], 1);
		execve(program, args, env);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		err(1, "%s", program);
	long long end = now();
	if (status != 0 || read(out[0], buf, sizeof buf) <= 0)
		errx(1, "%s: status %d, or no output", program, status);
	return end - start;
}

int main(int argc, char **argv) {
	int out[2];
	if (argc < 7 || pipe2(out, O_CLOEXEC | O_NONBLOCK) != 0)
		errx(2, "usage: launch FOLDER OVER ROUNDS warm|cold PROGRAM PROGRAM ARGUMENT...");
	if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount(argv[1], argv[2], NULL, MS_BIND, NULL) != 0)
		err(1, "mount over %s", argv[2]);
	int rounds = atoi(argv[3]), cold = strcmp(argv[4], "cold") == 0;
	char *programs[2] = {argv[5], argv[6]}, **args = argv + 6;
	for (int round = -warm_up; round < rounds; round++) {
		for (int i = 0; i < 2; i++) {
			if (cold) {
				evict(programs[0]);
				evict(programs[1]);
			}
			long long took = once(programs[i], args, out);
			if (round >= 0)
				printf("%d %lld\n", i, took);
		}
	}
	return fflush(stdout) != 0;
}
