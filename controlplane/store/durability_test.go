package store_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"latchkey/controlplane/store"
)

// childEnv names the database for the child process of TestStore_Kill.
const childEnv = "LATCHKEY_TEST_WRITE_TO"

func TestMain(m *testing.M) {
	if step := os.Getenv(stopEnv); step != "" {
		os.Exit(stoppedChild(step, os.Getenv(dirEnv)))
	}
	if path := os.Getenv(childEnv); path != "" {
		fmt.Fprintln(os.Stderr, writeForEver(path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeForEver adds users from four goroutines and prints the number of each once
// the store has acknowledged it.
func writeForEver(path string) error {
	ctx := context.Background()
	s, err := store.Open(ctx, path)
	if err != nil {
		return err
	}
	var start int
	err = s.Read(ctx, func(v store.View) error {
		head, err := v.AuditHead(ctx)
		start = int(head.Size) * 10 // beyond every number used before
		return err
	})
	if err != nil {
		return err
	}
	fault := make(chan error)
	for worker := range 4 {
		go func() {
			for n := start + worker; ; n += 4 {
				err := s.Write(ctx, entry(strconv.Itoa(n)), func(tx *store.Tx) error {
					return tx.SetMeta(ctx, store.MetaKey(strconv.Itoa(n)), "x")
				})
				if err != nil {
					fault <- err
				}
				fmt.Println(n) // one write(2), so a line is whole or absent
			}
		}()
	}
	return <-fault
}

// A process killed while it writes loses nothing that it had acknowledged, and
// leaves every change with its audit row or neither (requirements R130, R136 in part).
func TestStore_Kill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "latchkey.db")
	acknowledged := map[string]bool{}
	for cycle := range 6 {
		killAfter(t, path, 20+cycle*17, acknowledged)
		s, err := store.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		mustRead(t, s, func(ctx context.Context, v store.View) error {
			head, err := v.VerifyAudit(ctx)
			if err != nil {
				return err
			}
			entries, err := v.Audit(ctx, 0, int(head.Size))
			logged := map[string]bool{}
			for _, e := range entries {
				logged[e.Action] = true
				if _, err := v.Meta(ctx, store.MetaKey(e.Action)); err != nil {
					t.Errorf("change %s has an audit row and is not there: %v", e.Action, err)
				}
			}
			for n := range acknowledged {
				if !logged[n] {
					t.Errorf("change %s was acknowledged and is not in the log", n)
				}
			}
			return err
		})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var rows, changes int
	db := raw(t, path)
	if err := db.QueryRow(`SELECT (SELECT count(*) FROM audit), (SELECT count(*) FROM meta)`).Scan(&rows, &changes); err != nil {
		t.Fatal(err)
	}
	if rows != changes || rows < len(acknowledged) {
		t.Errorf("%d audit rows, %d changes, %d acknowledged", rows, changes, len(acknowledged))
	}
}

// killAfter runs a child that writes, and kills it after so many acknowledgements.
func killAfter(t *testing.T, path string, count int, acknowledged map[string]bool) {
	t.Helper()
	child := exec.Command(must(os.Executable()))
	child.Env = append(os.Environ(), childEnv+"="+path)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for seen := 0; lines.Scan(); seen++ {
		acknowledged[lines.Text()] = true
		if seen == count {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := child.Wait(); err == nil || child.ProcessState.Exited() {
		t.Fatalf("child ended by itself: %v", err)
	}
}
