package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestInject proves the tool by a program that writes in place, and that such a one is
// caught: what it leaves behind is neither the old file nor the new one.
func TestInject(t *testing.T) {
	t.Parallel()
	need(t)
	const old, next = "old content\n", "new content\n"
	tee, err := filepath.EvalSymlinks("/usr/bin/tee")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	file := dir + "/file"
	for _, test := range []struct {
		fault   fault
		hit     bool
		code    int
		content string
		writes  int
	}{
		{fault{}, false, 0, next, 1},
		{fault{at: site{"write", file, 2}, kind: "EIO"}, false, 0, next, 1},
		{fault{at: site{"write", file, 1}, kind: "EIO"}, true, 1, "", 1},
		{fault{at: site{"write", file, 1}, kind: "ENOSPC"}, true, 1, "", 1},
		{fault{at: site{"write", file, 1}, kind: full}, true, 1, "", 1},
		{fault{at: site{"write", file, 1}, kind: short}, true, 0, next, 2},
		{fault{at: site{"write", file, 1}, kind: kill}, true, -1, "", 1},
		{fault{at: site{"write", file, 1}, kind: stop}, true, -1, next, 1},
		{fault{at: site{"create", file, 1}, kind: "EMFILE"}, true, 1, old, 0},
		{fault{at: site{"create", file, 1}, kind: "EROFS"}, true, 1, old, 0},
	} {
		if err := os.WriteFile(file, []byte(old), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), tee, file)
		cmd.Stdin = strings.NewReader(next)
		r := inject(t, cmd, tee, test.fault)
		content, err := os.ReadFile(file)
		writes := slices.DeleteFunc(r.sites, func(s site) bool { return s.call != "write" || s.path != file })
		if err != nil || r.hit != test.hit || r.code != test.code || string(content) != test.content || len(writes) != test.writes {
			t.Errorf("%v: met is %v, status %d, file %q, %d writes, %s", test.fault, r.hit, r.code, content, len(writes), r.errs)
		}
		if says, fails := errnos[test.fault.kind]; fails && r.hit && !strings.Contains(strings.ToLower(r.errs), says.Error()) {
			t.Errorf("%v: it says %q, want %q", test.fault, r.errs, says.Error())
		}
	}
}
