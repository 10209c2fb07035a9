package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/agent/plan"
)

// TestLoginsInFile: what is read of a log file is read once, also over a rotation, a
// line that is not yet whole and a file that was emptied; and it is not said to be
// proved.
func TestLoginsInFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "auth.log")
	h := &Host{Layout: plan.Layout{AuthLogs: []string{filepath.Join(dir, "none"), file}}}
	now := time.Now()
	line := func(user string) string {
		return now.UTC().Format(time.RFC3339) + " web-1 sshd[1]: " + strings.Replace(acceptedA, "alice", user, 1) + "\n"
	}
	add := func(text string) {
		f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		must(t, err)
		_, err = f.WriteString(text)
		must(t, errors.Join(err, f.Close()))
	}
	mark := ""
	for _, c := range []struct {
		name   string
		change func()
		want   string
	}{
		{"no-file", func() {}, ""},
		{"first", func() { add(line("alice") + "noise\n" + line("bob")) }, "alice bob"},
		{"nothing-new", func() {}, ""},
		{"half-a-line", func() { add(line("carol")[:40]) }, ""},
		{"the-other-half", func() { add(line("carol")[40:]) }, "carol"},
		{"a-line-without-end", func() { add(strings.Repeat("x", 200<<10) + "\n" + line("dave")) }, "dave"},
		{"rotated", func() { add(line("erin")); must(t, os.Rename(file, file+".1")); add(line("frank")) }, "erin frank"},
		{"rotated-twice", func() {
			add(line("lost"))
			must(t, os.Rename(file, file+".2"))
			add("x\n")
			must(t, os.Rename(file, file+".1"))
			add(line("grace"))
		}, "grace"},
		{"emptied", func() { must(t, os.Truncate(file, 0)) }, ""},
		{"after-that", func() { add(line("heidi")) }, "heidi"},
	} {
		c.change()
		uses, next, err := h.loginsInFile(mark, now)
		var got []string
		for _, u := range uses {
			got = append(got, u.Name)
			if u.Proved {
				t.Errorf("%s: %+v counts as proved", c.name, u)
			}
		}
		if strings.Join(got, " ") != c.want || err != nil {
			t.Errorf("%s: read %v, error %v, want %q", c.name, got, err, c.want)
		}
		mark = next
	}
	must(t, os.Remove(file))
	must(t, os.Symlink("/etc/passwd", file))
	if _, _, err := h.loginsInFile(mark, now); err == nil {
		t.Error("a link was followed")
	}
}

// TestLoginsInJournal: what is asked of journalctl, and that it is read to its end,
// once.
func TestLoginsInJournal(t *testing.T) {
	entries := map[string]string{"": "c1", "c1": "c2", "c2": ""}
	var asked []string
	h := &Host{Run: func(_ context.Context, _, tool string, args ...string) (string, error) {
		after, line := "", tool+" "+strings.Join(args, " ")
		for _, a := range args {
			if c, found := strings.CutPrefix(a, "--after-cursor="); found {
				after = c
			}
		}
		asked = append(asked, line)
		next, known := entries[after]
		switch {
		case !known:
			return "", &exitError{"journalctl", 1, "no such cursor"}
		case next == "":
			return "", nil
		}
		return `{"__CURSOR":"` + next + `","__REALTIME_TIMESTAMP":"1795321800000001","_EXE":"/usr/sbin/sshd","_UID":"0","MESSAGE":"` + acceptedA + `"}` + "\n", nil
	}}
	uses, next, err := h.loginsInJournal(t.Context(), "")
	if len(uses) != 2 || next != "c2" || err != nil {
		t.Errorf("read %v up to %q, error %v", uses, next, err)
	}
	const want = "journalctl --quiet --no-pager --output=json --output-fields=MESSAGE,_EXE,_UID --lines=2000 --after-cursor=c1 _UID=0 _COMM=sshd _COMM=sshd-session"
	if len(asked) != 3 || asked[1] != want {
		t.Errorf("asked %q, want %q", asked, want)
	}
	if _, _, err := h.loginsInJournal(t.Context(), "gone"); exitCode(err) != 1 {
		t.Errorf("with a cursor that is gone: %v", err)
	}
}
