package host

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"latchkey/authz/wire"
)

// What is read of the log at a time. Strangers fill it; what is left is read the next
// time.
const (
	journalLines  = 2000 // of one journalctl; they fit into what is kept of a program's output
	journalRounds = 25
	logBytes      = 16 << 20
	logsTime      = 30 * time.Second
)

// Logins returns the logins that sshd accepted since the mark, oldest first, and the
// mark after them; an empty mark reads what is newest. They are read from the journal,
// or where there is none from sshd's log file, whose lines prove nothing: Use.Proved.
func (h *Host) Logins(ctx context.Context, mark string) ([]wire.Use, string, error) {
	ctx, cancel := context.WithTimeout(ctx, logsTime)
	defer cancel()
	if !journalThere() {
		return h.loginsInFile(mark, time.Now())
	}
	cursor, _ := strings.CutPrefix(mark, journalMark)
	if cursor == mark {
		cursor = ""
	}
	uses, next, err := h.loginsInJournal(ctx, cursor)
	if cursor != "" && exitCode(err) > 0 { // a cursor that this journal does not know
		uses, next, err = h.loginsInJournal(ctx, "")
	}
	if err != nil || next == "" {
		return nil, mark, err
	}
	return uses, journalMark + next, nil
}

// journalThere reports whether journald runs here and keeps anything.
func journalThere() bool {
	if _, err := toolPath("journalctl"); err != nil {
		return false
	}
	if _, err := os.Lstat("/run/systemd/journal/socket"); err != nil {
		return false
	}
	_, kept := os.Lstat("/var/log/journal")
	_, volatile := os.Lstat("/run/log/journal")
	return kept == nil || volatile == nil
}

// loginsInJournal reads on from the cursor, empty for the newest, and returns the one
// behind what it read; that is empty when there is nothing.
func (h *Host) loginsInJournal(ctx context.Context, cursor string) (uses []wire.Use, next string, err error) {
	for range journalRounds {
		args := []string{"--quiet", "--no-pager", "--output=json", "--output-fields=MESSAGE,_EXE,_UID", "--lines=" + strconv.Itoa(journalLines)}
		if cursor != "" {
			args = append(args, "--after-cursor="+cursor)
		}
		text, err := h.run(ctx, "journalctl", append(args, "_UID=0", "_COMM=sshd", "_COMM=sshd-session")...)
		if err != nil {
			return nil, "", err
		}
		found, last, entries := journalLogins(text)
		uses = append(uses, found...)
		if entries == 0 {
			break
		}
		cursor = last
	}
	return uses, cursor, nil
}

// loginsInFile reads on in the log file, and first what was left of it when it was
// renamed.
func (h *Host) loginsInFile(mark string, now time.Time) ([]wire.Use, string, error) {
	from := parseLogMark(mark)
	for _, path := range h.Layout.AuthLogs {
		uses, to, err := readLog(path, from, now)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, mark, err
		}
		if from.inode != 0 && to.inode != from.inode {
			rest, was, err := readLog(path+".1", from, now)
			if err == nil && was.inode == from.inode {
				uses = append(rest, uses...)
			}
		}
		return uses, to.String(), nil
	}
	return nil, mark, nil
}

// readLog reads whole lines of a file from the mark on; in another file than the mark's
// from its beginning, or, without a mark, as much as is read at a time of its end.
func readLog(path string, from logMark, now time.Time) ([]wire.Use, logMark, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, logMark{}, err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, logMark{}, fmt.Errorf("look at %s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, logMark{}, fmt.Errorf("%s is not a plain file", path)
	}
	at := logMark{inode: st.Ino}
	switch {
	case from.inode == st.Ino && from.offset <= st.Size: // a smaller one was emptied
		at.offset = from.offset
	case from.inode == 0:
		at.offset = max(0, st.Size-logBytes)
	}
	var uses []wire.Use
	r := bufio.NewReaderSize(io.NewSectionReader(f, at.offset, logBytes), 64<<10)
	for {
		line, err := r.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return uses, at, nil // what has no end yet is read the next time
		}
		at.offset += int64(len(line))
		if when, message, ok := logLine(string(line), now); ok {
			if u, ok := loginIn(message, when, false); ok {
				uses = append(uses, u)
			}
		}
	}
}
