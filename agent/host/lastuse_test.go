package host

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/authz/wire"
)

const (
	usedPrint = "SHA256:fe85JkIjo8VPe+XqXJGH5Mau1EMFdK1OdKvJUFicyA8"
	acceptedA = "Accepted publickey for alice from 192.0.2.1 port 50022 ssh2: ED25519 " + usedPrint
)

// TestLoginIn: of all that sshd logs, and of what others put into it, a login is only
// what sshd prints of one.
func TestLoginIn(t *testing.T) {
	at := time.Date(2026, 11, 22, 4, 0, 0, 5, time.UTC)
	for message, want := range map[string]string{
		acceptedA: "alice " + usedPrint,
		"Accepted publickey for a-1_b from 2001:db8::1 port 1 ssh2: RSA-CERT " + usedPrint + " ID x y (serial 0) CA RSA SHA256:zzz": "a-1_b " + usedPrint,
		"Accepted publickey for alice from UNKNOWN port 22 ssh2: RSA MD5:00:11":                                                     "alice ",
		"Accepted password for alice from 192.0.2.1 port 50022 ssh2":                                                                "alice ",
		"Accepted keyboard-interactive/pam for alice from 192.0.2.1 port 50022 ssh2":                                                "alice ",
		"Accepted gssapi-with-mic for alice from 192.0.2.1 port 50022 ssh2: alice@EXAMPLE":                                          "alice ",
		"Partial publickey for alice from 192.0.2.1 port 50022 ssh2: ED25519 " + usedPrint:                                          "",
		"Failed password for alice from 192.0.2.1 port 50022 ssh2":                                                                  "",
		"Invalid user " + acceptedA: "",
		" " + acceptedA:             "",
		"Accepted publickey for root from 192.0.2.1 port 50022 ssh2: ED25519 " + usedPrint:   "", // reserved: never ours
		"Accepted publickey for ../x from 192.0.2.1 port 50022 ssh2: ED25519 " + usedPrint:   "",
		"Accepted publickey for alice from a b port 50022 ssh2: ED25519 " + usedPrint:        "",
		"Accepted publickey for alice\nbob from 192.0.2.1 port 1 ssh2: ED25519 " + usedPrint: "",
	} {
		u, ok := loginIn(message, at, true)
		got := ""
		if ok {
			got = u.Name + " " + u.Fingerprint
		}
		if got != want || ok && (u.At != "2026-11-22T04:00:00Z" || !u.Proved) {
			t.Errorf("%q gives %+v, want %q", message, u, want)
		}
	}
}

// TestJournalLogins: what counts is who journald says wrote an entry. What a user logs
// himself, under whatever name, and what a program of root's rights writes that he
// started under sshd's name, is none (T-U13 in part).
func TestJournalLogins(t *testing.T) {
	entry := func(cursor, exe, uid, message string) string {
		return `{"__CURSOR":"` + cursor + `","__REALTIME_TIMESTAMP":"1795321800000001","_EXE":` + exe + `,"_UID":` + uid +
			`,"SYSLOG_IDENTIFIER":"sshd","MESSAGE":` + message + "}\n"
	}
	said := `"` + acceptedA + `"`
	text := entry("c1", `"/usr/sbin/sshd"`, `"0"`, said) +
		entry("c2", `"/usr/lib/openssh/sshd-session (deleted)"`, `"0"`, strings.Replace(said, "alice", "bob", 1)) +
		entry("c3", `"/usr/bin/logger"`, `"0"`, strings.Replace(said, "alice", "carol", 1)) +
		entry("c4", `"/usr/sbin/sshd"`, `"1001"`, strings.Replace(said, "alice", "carol", 1)) +
		entry("c5", `"/tmp/sshd"`, `"0"`, strings.Replace(said, "alice", "carol", 1)) +
		entry("c6", `["/usr/sbin/sshd","/tmp/x"]`, `"0"`, strings.Replace(said, "alice", "carol", 1)) +
		entry("c7", `"/usr/sbin/sshd"`, `"0"`, `[65,66]`) +
		entry("c8", `"/usr/sbin/sshd"`, `"0"`, `null`) +
		`{"__CURSOR":"c9","__REALTIME_TIMESTAMP":"1795321800000001","_UID":"0","MESSAGE":` + said + "}\n" +
		"no JSON\n" + strings.TrimSuffix(entry("cut", `"/usr/sbin/sshd"`, `"0"`, said), "}\n")
	uses, cursor, entries := journalLogins(text)
	want := []wire.Use{
		{Name: "alice", Fingerprint: usedPrint, At: "2026-11-22T04:30:00Z", Proved: true},
		{Name: "bob", Fingerprint: usedPrint, At: "2026-11-22T04:30:00Z", Proved: true},
	}
	if diff := cmp.Diff(want, uses); diff != "" || cursor != "c9" || entries != 9 {
		t.Errorf("behind %q, %d entries (-want +got):\n%s", cursor, entries, diff)
	}
}

func TestLogLine(t *testing.T) {
	now := time.Date(2026, 1, 3, 12, 0, 0, 0, time.FixedZone("", 3600))
	for line, want := range map[string]string{
		"2026-01-02T03:04:05.678901+01:00 web-1 sshd[12]: said":  "2026-01-02T02:04:05Z said",
		"2026-01-02T03:04:05+01:00 web-1 sshd-session[12]: said": "2026-01-02T02:04:05Z said",
		"Jan  2 03:04:05 web-1 sshd[12]: said: so\n":             "2026-01-02T02:04:05Z said: so",
		"Jan  4 03:04:05 web-1 sshd[12]: said":                   "2026-01-04T02:04:05Z said", // a clock a little ahead
		"Dec 31 23:30:00 web-1 sshd[12]: said":                   "2025-12-31T22:30:00Z said",
		"Dec 31 23:30:00 web-1 sshd[12] said":                    "",
		"Dec 31 23:30:00 web-1 sudo[12]: said":                   "",
		"Dec 31 23:30:00 web-1 sshd[x]: said":                    "",
		"Dec 31 23:30:00 web-1 sshd: said":                       "",
		"Dec 31 23:30:00":                                        "",
		"yesterday web-1 sshd[12]: said":                         "",
		"":                                                       "",
	} {
		at, message, ok := logLine(line, now)
		got := ""
		if ok {
			got = wire.FormatTime(at) + " " + message
		}
		if got != want {
			t.Errorf("%q gives %q, want %q", line, got, want)
		}
	}
}

func TestParseLogMark(t *testing.T) {
	if m := (logMark{7, 9}); parseLogMark(m.String()) != m {
		t.Errorf("%s reads as %+v", m, parseLogMark(m.String()))
	}
	for _, s := range []string{"", "file", "file 1", "file 1 -1", "file x 1", "journal 1 2", "1 2"} {
		if got := parseLogMark(s); s != "1 2" && got != (logMark{}) {
			t.Errorf("%q reads as %+v", s, got)
		}
	}
}

func FuzzLogLine(f *testing.F) {
	f.Add("Jan  2 03:04:05 web-1 sshd[12]: " + acceptedA)
	f.Fuzz(func(t *testing.T, line string) {
		at, message, ok := logLine(line, time.Date(2026, 1, 3, 12, 0, 0, 0, time.UTC))
		if u, is := loginIn(message, at, false); ok && is && strings.ContainsAny(u.Name+u.Fingerprint+u.At, " \n\"") {
			t.Errorf("%q gives %+v", line, u)
		}
	})
}
