package main

import (
	"errors"
	"syscall"

	"latchkey/agent/hook"
	"latchkey/authz/name"
)

// keyFolder is where the agent keeps the key files. A constant: what may be
// moved by a flag or the environment may be moved by somebody else.
const keyFolder = "/var/lib/latchkey/authorized_keys"

// Reasons for not reading a key file.
var (
	errNotRegular = errors.New("key file is not a regular file with one name")
	errWritable   = errors.New("key file may be written by others than root")
	errLong       = errors.New("key file is longer than 65536 bytes")
)

func readKeys(user name.Username) ([]byte, error) {
	return readFile(keyFolder+"/"+user.String(), 0)
}

// readFile returns the content of a regular file that only owner may write.
// System calls, not os.ReadFile: os would hand the descriptor to its poller,
// which costs the hook four more calls, and O_NONBLOCK makes a fifo in the
// file's place answer at once instead of hanging (requirement R39).
func readFile(path string, owner uint32) ([]byte, error) {
	fd, err := open(path)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(fd)
	var st syscall.Stat_t
	if err := syscall.Fstat(fd, &st); err != nil {
		return nil, err
	}
	switch {
	// No name at all is the agent replacing the file at this moment: what we
	// hold is whole, and was the truth when sshd asked.
	case st.Mode&syscall.S_IFMT != syscall.S_IFREG || st.Nlink > 1:
		return nil, errNotRegular
	case st.Uid != owner || st.Mode&0o022 != 0:
		return nil, errWritable
	case st.Size > hook.MaxFile:
		return nil, errLong
	}
	return readAll(fd, int(st.Size))
}

func open(path string) (int, error) {
	const flags = syscall.O_RDONLY | syscall.O_NOFOLLOW | syscall.O_NONBLOCK | syscall.O_CLOEXEC | syscall.O_NOCTTY
	for {
		fd, err := syscall.Open(path, flags, 0)
		switch err {
		case nil:
			return fd, nil
		case syscall.EINTR:
		case syscall.ENOENT:
			return -1, errNoFile
		case syscall.ELOOP, syscall.ENXIO: // a symbolic link, a socket
			return -1, errNotRegular
		default:
			return -1, err
		}
	}
}

// readAll reads to the end of the file, which is to come after size bytes.
func readAll(fd, size int) ([]byte, error) {
	b := make([]byte, size+1) // one more, to see the end
	n := 0
	for n < len(b) {
		m, err := syscall.Read(fd, b[n:])
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return nil, err
		case m == 0:
			return b[:n], nil
		default:
			n += m
		}
	}
	return nil, errLong
}
