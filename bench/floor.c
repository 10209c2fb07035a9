//go:build ignore

// The floor of P1 and P2: the least a program can do that answers sshd from the
// account's key file. It reads the file and prints it, and checks nothing.
#include <fcntl.h>
#include <unistd.h>

int main(void) {
	char buf[64 << 10];
	int fd = open(KEY_FILE, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 1;
	ssize_t n = read(fd, buf, sizeof buf);
	return n < 0 || write(1, buf, n) != n;
}
