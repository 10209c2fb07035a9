// The runtime, which looks up the machine's CPU limit when it begins, need not hold its
// files open, nor watch it: this program is over in a millisecond.
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command latchkey-keys is the login hook: sshd runs it as AuthorizedKeysCommand
// for every key a client offers, and takes the lines it prints for the account's
// authorized_keys.
//
// It is a program of its own, and a small one, because a large program out of
// the page cache shows in a login. It reads one file and writes once: no network,
// no lock, no log, no configuration, no environment (requirements R59 to R64). It runs
// no other program but one, where root has asked for that: the AuthorizedKeysCommand
// that ours has displaced takes its place when it does not know a key. Whatever is
// wrong, it prints nothing and ends non-zero; sshd then goes by its other key sources
// alone.
package main

import (
	"errors"
	"io"
	"os"
	"time"

	"latchkey/agent/hook"
	"latchkey/authz/name"
)

// Exit statuses.
const (
	exitAnswered = 0 // also with no lines: no such key is an answer
	exitFault    = 1
	exitUsage    = 2
)

const usage = `usage: latchkey-keys USER UID TYPE KEY [FINGERPRINT]

Prints the authorized_keys lines of USER that hold exactly this key.
sshd runs it:

    AuthorizedKeysCommand /usr/bin/latchkey-keys %u %U %t %k %f
    AuthorizedKeysCommandUser latchkey-keys

example: latchkey-keys alice 20001 $(cut -d' ' -f1,2 id_ed25519.pub)

exit status: 0 answered (no lines: not that key), 1 fault, 2 usage
`

// version is set when a release is built: -ldflags "-X main.version=1.2.3".
var version = "devel"

// errNoFile says that an account has no key file, which is how every account
// that is not ours looks.
var errNoFile = errors.New("account has no key file")

// readFunc returns the whole content of an account's key file, or errNoFile. It
// vouches for the file: regular, and written by root alone.
type readFunc func(name.Username) ([]byte, error)

func main() {
	err := armDeadline()
	if err == nil {
		err = dropGroups()
	}
	if err != nil {
		os.Exit(fault(os.Stderr, err, exitFault))
	}
	os.Exit(run(os.Args[1:], readKeys, becomeDisplaced, os.Stdout, os.Stderr))
}

// missFunc does what is to be done about a key that is not in the account's file. It
// returns nil when that is nothing.
type missFunc func(hook.Request) error

// run answers one question of sshd and returns the exit status. Nothing is
// written to stdout before the whole output is known, and then it is one write.
func run(args []string, read readFunc, miss missFunc, stdout, stderr io.Writer) int {
	if len(args) == 1 {
		switch args[0] {
		case "-h", "--help":
			return write(stdout, stderr, []byte(usage))
		case "--version":
			return write(stdout, stderr, []byte("latchkey-keys "+version+"\n"))
		}
	}
	request, err := hook.ParseRequest(args)
	if err != nil {
		fault(stderr, err, exitUsage)
		io.WriteString(stderr, "hint: latchkey-keys --help\n")
		return exitUsage
	}
	file, err := read(request.User())
	if err == errNoFile {
		return exitAnswered
	}
	if err != nil {
		return fault(stderr, err, exitFault)
	}
	out, err := request.Answer(file, time.Now())
	if err == nil && len(out) == 0 {
		err = miss(request)
	}
	if err != nil {
		return fault(stderr, err, exitFault)
	}
	return write(stdout, stderr, out)
}

// write puts all of b out at once; no bytes are no write. sshd refuses the key
// when the status is not 0, so a torn output is never half an answer.
func write(stdout, stderr io.Writer, b []byte) int {
	if len(b) == 0 {
		return exitAnswered
	}
	if _, err := stdout.Write(b); err != nil {
		return fault(stderr, err, exitFault)
	}
	return exitAnswered
}

// fault prints one fact and returns the status.
func fault(stderr io.Writer, err error, status int) int {
	io.WriteString(stderr, "latchkey-keys: "+err.Error()+"\n")
	return status
}
