package cache_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/agent/cache"
	"latchkey/agent/plan"
	"latchkey/agent/safefile"
	"latchkey/authz"
	"latchkey/authz/wire"
)

// TestMain lets the test binary be another process that takes a lock.
func TestMain(m *testing.M) {
	if path := os.Getenv("LATCHKEY_TEST_LOCK"); path != "" {
		release, err := open(path).LockRun()
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("locked")
		_, _ = os.Stdin.Read(make([]byte, 1)) // until the test is done
		_ = release()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(path string) *cache.Dir {
	l := plan.Linux()
	l.AgentDir, l.RevokedDir = path, filepath.Join(filepath.Dir(path), "revoked")
	l.ArchivedDir = filepath.Join(filepath.Dir(path), "archived")
	l.Freeze = freezeFile(path)
	return cache.Open(l, safefile.Writer{})
}

// newDir returns a folder that was made, and where it is. It needs root, whose
// the files must be.
func newDir(t *testing.T) (*cache.Dir, string) {
	t.Helper()
	if os.Getuid() != 0 {
		if os.Getenv("LATCHKEY_NO_SKIP") != "" {
			t.Fatal("needs root")
		}
		t.Skip("needs root")
	}
	above := t.TempDir()
	must(t, os.Chmod(above, 0o755))
	path := filepath.Join(above, "latchkey", "agent")
	dir := open(path)
	must(t, dir.Make())
	return dir, path
}

func name(t *testing.T, s string) authz.Username {
	t.Helper()
	var u authz.Username
	must(t, u.UnmarshalText([]byte(s)))
	return u
}

// filled is one of everything that is stored.
type filled struct {
	identity cache.Identity
	ledger   plan.Ledger
	seen     cache.Seen
	status   cache.Status
	bundle   []byte
	trial    cache.Trial
}

func fill(t *testing.T, dir *cache.Dir) filled {
	t.Helper()
	instance, err := authz.ParseInstanceID("33333333-3333-4333-8333-333333333333")
	must(t, err)
	stack, err := authz.ParseStackID("11111111-1111-4111-8111-111111111111")
	must(t, err)
	user, err := authz.ParseUserID("00020001-0000-4000-8000-000000000000")
	must(t, err)
	f := filled{
		identity: cache.Identity{Server: "https://cp.example:8443", Instance: instance, Stack: stack, StackName: "one <&>", ControlPlane: "cp-1",
			Keys: []string{"cp-1+2e0b4a63+AUaXyo8j3gBx4j0eEfkZfXG7Qi1Ib8Yk2IYAbCeKIkgm"}},
		ledger: plan.NewLedger(), seen: cache.Seen{Epoch: 2, Serial: 7}, bundle: []byte("sealed\n"),
		trial: cache.Trial{Agent: "1", Bundle: "ab", Working: true, Crashes: []cache.Crash{{"00", 1}, {"ab", 2}}, Good: "cd", Quarantined: "ef"},
		status: cache.Status{Pass: "2026-11-22T12:00:00Z", Trouble: "wrong \"server\"\n",
			Report: wire.Report{Epoch: 2, Serial: 7, Steps: []wire.Result{{What: "x", Error: "y"}}, Refused: []wire.Result{}}},
	}
	f.identity.SetKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32)))
	f.identity.SetPin(wire.Pin{1, 2, 3})
	f.ledger.Accounts[name(t, "alice")] = plan.Owned{User: user, UID: 20001, State: plan.Present}
	f.ledger.Groups["latchkey"] = true
	f.ledger.HookUser, f.ledger.SSHD = true, true
	must(t, errors.Join(dir.SaveIdentity(f.identity), dir.SaveLedger(f.ledger), dir.SaveBundle(f.bundle, f.seen), dir.SaveStatus(f.status),
		dir.SaveTrial(f.trial), dir.SaveGoodBundle(f.bundle)))
	return f
}

// text prints anything for comparison: names and ids have no fields to compare.
func text(v any) string { return fmt.Sprintf("%+v", v) }

func TestRoundTrip(t *testing.T) {
	dir, path := newDir(t)
	want := fill(t, dir)
	for what, got := range map[string]func() (any, any, error){
		"identity": func() (any, any, error) { v, err := dir.Identity(); return v, want.identity, err },
		"ledger":   func() (any, any, error) { v, err := dir.Ledger(); return v, want.ledger, err },
		"seen":     func() (any, any, error) { v, err := dir.Seen(); return v, want.seen, err },
		"status":   func() (any, any, error) { v, err := dir.Status(); return v, want.status, err },
		"bundle":   func() (any, any, error) { v, err := dir.Bundle(); return v, want.bundle, err },
		"good":     func() (any, any, error) { v, err := dir.GoodBundle(); return v, want.bundle, err },
		"trial":    func() (any, any, error) { v, err := dir.Trial(); return v, want.trial, err },
	} {
		t.Run(what, func(t *testing.T) {
			v, want, err := got()
			if diff := cmp.Diff(text(want), text(v)); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
	key, err := want.identity.Key()
	if err != nil || !bytes.Equal(key.Seed(), bytes.Repeat([]byte{7}, 32)) {
		t.Errorf("Key: %v", err)
	}
	if pin, err := want.identity.ServerPin(); err != nil || pin != (wire.Pin{1, 2, 3}) {
		t.Errorf("ServerPin = %v, %v", pin, err)
	}
	// A second start finds the folder as it left it.
	must(t, open(path).Make())
	if seen, err := open(path).Seen(); err != nil || seen != want.seen {
		t.Errorf("after another start: %+v, %v", seen, err)
	}
}

// TestEmpty: before anything was stored there is nothing, which is not an error
// where nothing is what a new machine has.
func TestEmpty(t *testing.T) {
	dir, _ := newDir(t)
	if l, err := dir.Ledger(); err != nil || l.Accounts == nil || l.Groups == nil || len(l.Accounts)+len(l.Groups) != 0 || l.Sudoers || l.SSHD {
		t.Errorf("Ledger = %+v, %v", l, err)
	}
	if s, err := dir.Seen(); err != nil || s != (cache.Seen{}) {
		t.Errorf("Seen = %+v, %v", s, err)
	}
	if trial, err := dir.Trial(); err != nil || cmp.Diff(trial, cache.Trial{}) != "" {
		t.Errorf("Trial = %+v, %v", trial, err)
	}
	for what, err := range map[string]error{
		"Identity": second(dir.Identity()), "Bundle": second(dir.Bundle()), "Status": second(dir.Status()), "GoodBundle": second(dir.GoodBundle()),
	} {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestUnsafe: a file that others could have put there is not read and not written
// over.
func TestUnsafe(t *testing.T) {
	for situation, c := range map[string]struct {
		damage func(t *testing.T, at string)
		want   error
	}{
		"folder":      {func(t *testing.T, at string) { must(t, os.Mkdir(at, 0o700)) }, safefile.ErrNotRegular},
		"fifo":        {func(t *testing.T, at string) { must(t, syscall.Mkfifo(at, 0o600)) }, safefile.ErrNotRegular},
		"link":        {func(t *testing.T, at string) { must(t, os.Symlink("/etc/passwd", at)) }, safefile.ErrNotRegular},
		"second-name": {func(t *testing.T, at string) { must(t, os.WriteFile(at, nil, 0o600)); must(t, os.Link(at, at+"2")) }, safefile.ErrNames},
		"open-folder": {func(t *testing.T, at string) { must(t, os.Chmod(filepath.Dir(at), 0o777)) }, safefile.ErrUnsafe},
		"too-long": {func(t *testing.T, at string) {
			must(t, os.WriteFile(at, nil, 0o600))
			must(t, os.Truncate(at, 1<<40))
		}, safefile.ErrTooLong},
	} {
		t.Run(situation, func(t *testing.T) {
			dir, path := newDir(t)
			want := fill(t, dir)
			for _, file := range []string{"identity.json", "ledger.json", "seen.json", "status.json", "bundle", "bundle.good", "trial.json"} {
				must(t, os.Remove(filepath.Join(path, file)))
				c.damage(t, filepath.Join(path, file))
			}
			for what, err := range map[string]error{
				"Identity": second(dir.Identity()), "Ledger": second(dir.Ledger()), "Seen": second(dir.Seen()), "Status": second(dir.Status()),
				"Bundle": second(dir.Bundle()), "GoodBundle": second(dir.GoodBundle()), "Trial": second(dir.Trial()),
			} {
				if !errors.Is(err, c.want) {
					t.Errorf("%s: %v, want %v", what, err, c.want)
				}
			}
			if err := dir.SaveLedger(want.ledger); !errors.Is(err, c.want) && c.want != safefile.ErrTooLong {
				t.Errorf("SaveLedger: %v, want %v", err, c.want)
			}
		})
	}
}

// TestModes holds R37, R43 and R93 in part: the folder and its files are root's alone,
// whatever the umask.
func TestModes(t *testing.T) {
	for _, umask := range []int{0, 0o022, 0o077, 0o777} {
		t.Run(fmt.Sprintf("umask-%03o", umask), func(t *testing.T) {
			old := syscall.Umask(umask)
			defer syscall.Umask(old)
			dir, path := newDir(t)
			fill(t, dir)
			release, err := dir.Lock()
			must(t, err)
			defer release()
			var got []string
			must(t, filepath.WalkDir(filepath.Dir(path), func(at string, e fs.DirEntry, err error) error {
				must(t, err)
				info, err := e.Info()
				must(t, err)
				st := info.Sys().(*syscall.Stat_t)
				got = append(got, fmt.Sprintf("%s %s %d:%d", info.Mode(), strings.TrimPrefix(at, filepath.Dir(filepath.Dir(path))), st.Uid, st.Gid))
				return nil
			}))
			want := []string{
				"drwx--x--x /latchkey 0:0", "drwx------ /latchkey/agent 0:0", "-rw------- /latchkey/agent/bundle 0:0",
				"-rw------- /latchkey/agent/bundle.good 0:0",
				"-rw------- /latchkey/agent/identity.json 0:0", "-rw------- /latchkey/agent/ledger.json 0:0",
				"-rw------- /latchkey/agent/pass.lock 0:0", "-rw------- /latchkey/agent/seen.json 0:0", "-rw------- /latchkey/agent/status.json 0:0",
				"-rw------- /latchkey/agent/trial.json 0:0",
			}
			if umask == 0o777 { // a lock's file is empty, and its mode does not matter
				got = slices.DeleteFunc(got, func(s string) bool { return strings.Contains(s, "lock") })
				want = slices.DeleteFunc(want, func(s string) bool { return strings.Contains(s, "lock") })
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
}

// TestLockRun holds R47 and T-L11 in part: a second agent is refused, in this process
// or another.
func TestLockRun(t *testing.T) {
	dir, path := newDir(t)
	release, err := dir.LockRun()
	must(t, err)
	if _, err := open(path).LockRun(); !errors.Is(err, safefile.ErrLocked) {
		t.Errorf("a second one: %v", err)
	}
	pass, err := dir.Lock() // the agent that runs, or a command beside it, may pass
	must(t, err)
	must(t, errors.Join(pass(), release()))

	other := exec.CommandContext(t.Context(), os.Args[0])
	other.Env = append(os.Environ(), "LATCHKEY_TEST_LOCK="+path)
	stdin, err := other.StdinPipe()
	must(t, err)
	stdout, err := other.StdoutPipe()
	must(t, err)
	must(t, other.Start())
	line := make([]byte, 64)
	n, err := stdout.Read(line)
	must(t, err)
	if string(line[:n]) != "locked\n" {
		t.Fatalf("the other process says %q", line[:n])
	}
	if _, err := dir.LockRun(); !errors.Is(err, safefile.ErrLocked) {
		t.Errorf("beside another process: %v", err)
	}
	must(t, other.Process.Kill())
	_ = other.Wait() // it was killed
	stdin.Close()
	release, err = dir.LockRun()
	if err != nil {
		t.Errorf("after the other process was killed: %v", err)
	} else {
		must(t, release())
	}
}

// TestForget: nothing is left, also of what a killed process had begun; and what
// is not ours is not thrown away.
func TestForget(t *testing.T) {
	dir, path := newDir(t)
	fill(t, dir)
	must(t, os.WriteFile(filepath.Join(path, ".latchkey.00112233445566778899aabbccddeeff.new"), []byte("half"), 0o600))
	for range 2 { // the locks are held by who forgets
		release, err := dir.Lock()
		if err == nil {
			defer release()
		}
		must(t, dir.Forget())
		if _, err := os.Lstat(filepath.Dir(path)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the folder is still there: %v", err)
		}
	}

	dir, path = newDir(t)
	fill(t, dir)
	must(t, os.WriteFile(filepath.Join(path, "notes-of-the-administrator"), nil, 0o600))
	if err := dir.Forget(); !errors.Is(err, safefile.ErrNotEmpty) {
		t.Errorf("with a foreign file: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(path, "notes-of-the-administrator")); err != nil {
		t.Errorf("the foreign file: %v", err)
	}

	for _, name := range []string{"revoked", "archived"} {
		dir, path = newDir(t)
		fill(t, dir)
		kept := filepath.Join(filepath.Dir(path), name)
		must(t, os.Mkdir(kept, 0o700))
		must(t, dir.Forget())
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the folder is still there: %v", err)
		}
		if _, err := os.Lstat(kept); err != nil {
			t.Errorf("what was taken from users: %v", err)
		}
	}
}
