package host

import (
	"encoding/json"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"latchkey/authz/name"
	"latchkey/authz/wire"
)

// When keys were used is read from what sshd logs, since the login hook writes nothing
// (requirement R59). sshd must log at level INFO, which is its default. Only lines that
// sshd itself wrote may count: whoever has an account can log any text.

// accepted is sshd's line about a login that it let in (auth.c, auth_log). With
// FingerprintHash md5 there is no fingerprint that we could compare.
var accepted = regexp.MustCompile(
	`^Accepted [a-z/-]{1,64} for ([a-z0-9_-]{1,32}) from [^ ]{1,64} port [0-9]{1,5} ssh2` +
		`(?:: (?:[A-Za-z0-9-]{1,64} (SHA256:[A-Za-z0-9+/]{43})(?: .*)?|.*))?$`)

// loginIn reads sshd's message about a login; every other one is none.
func loginIn(message string, at time.Time, proved bool) (wire.Use, bool) {
	found := accepted.FindStringSubmatch(message)
	if found == nil {
		return wire.Use{}, false
	}
	user, err := name.ParseUsername(found[1])
	if err != nil {
		return wire.Use{}, false
	}
	return wire.Use{Name: user.String(), Fingerprint: found[2], At: wire.FormatTime(at), Proved: proved}, true
}

// journalEntry is an entry of the journal as journalctl prints it. The fields that begin
// with _ are journald's own word and nobody else's (systemd.journal-fields(7)). A field
// that is no plain text is something else than text.
type journalEntry struct {
	Cursor  string `json:"__CURSOR"`
	Micros  string `json:"__REALTIME_TIMESTAMP"`
	Message any    `json:"MESSAGE"`
	Program any    `json:"_EXE"`
	UID     any    `json:"_UID"`
}

// journalLogins reads journalctl's JSON, an entry a line, and says how many entries
// there are and where the last stands. A line that was cut off is not read.
func journalLogins(text string) (uses []wire.Use, cursor string, entries int) {
	for line := range strings.Lines(text) {
		var e journalEntry
		if !strings.HasSuffix(line, "\n") || json.Unmarshal([]byte(line), &e) != nil {
			continue
		}
		entries++
		cursor = e.Cursor
		micros, err := strconv.ParseInt(e.Micros, 10, 64)
		message, isText := e.Message.(string)
		if err != nil || !isText || !sshdProgram(e.Program) || e.UID != "0" {
			continue
		}
		if u, ok := loginIn(message, time.UnixMicro(micros), true); ok {
			uses = append(uses, u)
		}
	}
	return uses, cursor, entries
}

// sshdProgram reports whether a program is the system's sshd: where it lies none but
// root puts files. Its mere name proves nothing, since anybody can start a program of
// root's rights by a link of his own. sshd-session is what sessions run since OpenSSH
// 9.8.
func sshdProgram(program any) bool {
	file, _ := program.(string)
	file = strings.TrimSuffix(file, " (deleted)") // it was upgraded meanwhile
	base := path.Base(file)
	return strings.HasPrefix(file, "/usr/") && (base == "sshd" || base == "sshd-session")
}

// logLine takes a line of a log file apart: when, and what sshd said. The old form of
// time, of RFC 3164, has no year: it is the last one in which that instant is not to
// come.
func logLine(line string, now time.Time) (at time.Time, message string, ok bool) {
	line = strings.TrimRight(line, "\r\n")
	stamp, rest, _ := strings.Cut(line, " ")
	at, err := time.Parse(time.RFC3339, stamp)
	if err != nil && len(line) > len(time.Stamp) {
		rest = strings.TrimPrefix(line[len(time.Stamp):], " ")
		at, err = time.ParseInLocation(time.Stamp, line[:len(time.Stamp)], now.Location())
		at = at.AddDate(now.Year(), 0, 0)
		if at.After(now.Add(24 * time.Hour)) {
			at = at.AddDate(-1, 0, 0)
		}
	}
	if err != nil {
		return time.Time{}, "", false
	}
	_, rest, _ = strings.Cut(rest, " ") // the host's name
	tag, message, found := strings.Cut(rest, "]: ")
	program, pid, _ := strings.Cut(tag, "[")
	if _, err := strconv.ParseUint(pid, 10, 32); err != nil || program != "sshd" && program != "sshd-session" {
		return time.Time{}, "", false
	}
	return at, message, found
}

// logMark is how far a log file was read.
type logMark struct {
	inode  uint64
	offset int64
}

// The beginnings of a mark: of the journal's with its cursor, of a file's with inode
// and offset.
const (
	journalMark = "journal "
	fileMark    = "file "
)

func (m logMark) String() string {
	return fileMark + strconv.FormatUint(m.inode, 10) + " " + strconv.FormatInt(m.offset, 10)
}

// parseLogMark returns the zero mark, the beginning, for all else.
func parseLogMark(s string) logMark {
	rest, _ := strings.CutPrefix(s, fileMark)
	first, second, _ := strings.Cut(rest, " ")
	inode, err := strconv.ParseUint(first, 10, 64)
	offset, err2 := strconv.ParseInt(second, 10, 64)
	if err != nil || err2 != nil || offset < 0 {
		return logMark{}
	}
	return logMark{inode, offset}
}
