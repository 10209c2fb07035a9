package main

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"latchkey/authz"
	"latchkey/controlplane/store"
	"latchkey/e2e/fleet"
	"latchkey/e2e/machine"
)

const (
	firstRounds = 3
	firstUsers  = 1000
	firstPort   = 8449
)

// firstApply measures P10: the first apply of many users with a key and a home each, by
// the agent's program in a root directory that has just joined, from its start to its
// end; it asks the control plane, makes everything and looks again. The floor is a loop
// of useradd -m in the same place, which makes accounts and homes and nothing else.
// It comes first, so ours has its accounts beside its own. Nobody gets sudo.
func firstApply(ctx context.Context) ([]Row, error) {
	row := Row{ID: "P10", What: fmt.Sprintf("first apply of %d users with keys and homes", firstUsers), Target: Target{Ratio: 1.0 / 50},
		Floor: "a loop of useradd -m"}
	f, err := newFirstField(ctx, firstUsers, firstPort)
	if err != nil {
		return nil, err
	}
	defer f.close()
	for i := range firstRounds {
		progress("P10", i, firstRounds)
		floor, ours, err := f.round(ctx, firstUsers)
		if err != nil {
			return nil, err
		}
		row.FloorTimes, row.Times = append(row.FloorTimes, floor), append(row.Times, ours)
	}
	progress("P10", firstRounds, firstRounds)
	return []Row{row}, nil
}

// firstField is a control plane with a stack of many users, and what machines are
// made of.
type firstField struct {
	dir      string
	programs fleet.Programs
	server   *fleet.Server
	tree     string
	users    int
	// The roots stay until the end: for minutes after many files are removed, ext4 is
	// slow to make new ones.
	roots []*diskRoot
}

func newFirstField(ctx context.Context, users, port int) (f *firstField, err error) {
	if err := machine.CanBoot(ctx); err != nil {
		return nil, err
	}
	f = &firstField{users: users}
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	if f.dir, err = os.MkdirTemp("", "latchkey-bench-"); err != nil {
		return f, err
	}
	if f.tree, err = machine.Tree(ctx, "bookworm", "", nil); err != nil {
		return f, err
	}
	if f.programs, err = fleet.Build(ctx, f.dir); err != nil {
		return f, err
	}
	if err = f.fill(ctx); err != nil {
		return f, err
	}
	f.server, err = fleet.Start(ctx, f.programs, filepath.Join(f.dir, "server"), machine.HostAddress, port)
	return f, err
}

// fill gives users their keys and lets them into the stack, in the data directory of
// the server, which does not run yet. One transaction does it: each action of the API
// would wait for the disk.
func (f *firstField) fill(ctx context.Context) error {
	g, err := newGranter(ctx, f.dir)
	if err != nil {
		return err
	}
	defer g.close()
	stack, err := authz.ParseStackID(g.stack)
	if err != nil {
		return err
	}
	return g.store.Write(ctx, store.Entry{At: time.Now(), Actor: "bench", Action: "latchkey:Fill"}, func(tx *store.Tx) error {
		for i := range f.users {
			if err := fillOne(ctx, tx, stack, i); err != nil {
				return err
			}
		}
		return tx.RaiseSerial(ctx, stack)
	})
}

func fillOne(ctx context.Context, tx *store.Tx, stack authz.StackID, i int) error {
	arn, err1 := authz.ParseARN(firstARN(i))
	id, err2 := authz.ParseUserID(fmt.Sprintf("00000000-0000-4000-8000-%012d", i))
	key, err3 := authz.ParseKey(firstKey(i), authz.KeyPolicy{})
	login, err4 := authz.DeriveUsername(arn)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return err
	}
	uid, err := tx.AllocateUID(ctx, id, login, lowestUID, authz.MaxUID)
	if err != nil {
		return err
	}
	p := authz.Profile{ID: id, ARN: arn, Username: login, UID: uid, Keys: []authz.Key{key}}
	if err := tx.InsertUser(ctx, p); err != nil {
		return err
	}
	return tx.SetPermission(ctx, authz.Permission{Stack: stack, User: id, Level: authz.LevelIAMOnly, AllowSSH: true})
}

func firstARN(i int) string { return "arn:aws:iam::000000000000:user/many" + strconv.Itoa(i) }

// lowestUID is the first that a control plane gives out by itself.
const lowestUID authz.UID = 20000

// firstKey makes a public key (RFC 8709) of which nobody needs the other half.
func firstKey(i int) string {
	const kind = "ssh-ed25519"
	seed := sha256.Sum256([]byte(strconv.Itoa(i)))
	public := ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey)
	blob := binary.BigEndian.AppendUint32(nil, uint32(len(kind)))
	blob = append(blob, kind...)
	blob = binary.BigEndian.AppendUint32(blob, uint32(len(public)))
	return kind + " " + base64.StdEncoding.EncodeToString(append(blob, public...))
}

func (f *firstField) close() {
	if f.server != nil {
		_ = f.server.Stop()
	}
	for _, r := range f.roots {
		if err := r.remove(); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
	}
	if f.dir != "" {
		_ = os.RemoveAll(f.dir)
	}
}

// round joins a new root directory and times both in it, the floor for a number of
// users.
func (f *firstField) round(ctx context.Context, loops int) (floor, ours time.Duration, err error) {
	r, err := newDiskRoot(ctx, f.tree)
	if err != nil {
		return 0, 0, err
	}
	f.roots = append(f.roots, r)
	if err := f.join(ctx, r); err != nil {
		return 0, 0, err
	}
	const loop = `for i in $(seq "$1"); do useradd -m "loop$i" || exit; done`
	if floor, err = r.time(ctx, "sh", "-c", loop, "sh", strconv.Itoa(loops)); err != nil {
		return 0, 0, err
	}
	if ours, err = r.time(ctx, "latchkey-agent", "apply"); err != nil {
		return 0, 0, err
	}
	return floor, ours, r.check(ctx, f.users)
}

func (f *firstField) join(ctx context.Context, r *diskRoot) error {
	for _, program := range []string{"latchkey-agent", "latchkey-keys"} {
		content, err := os.ReadFile(f.programs.Path(program))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(r.root, "usr/bin", program), content, 0o755); err != nil {
			return err
		}
	}
	token, err := f.server.CLI(ctx, "token", "create", "--stack", "bench")
	if err != nil {
		return err
	}
	_, err = r.run(ctx, token, "latchkey-agent", "enroll", "--server", f.server.URL, "--token-file", "-")
	return err
}

// diskRoot is a private root directory of which /etc, /home and our own folder are on
// a disk: the roots of package machine are in memory, where useradd waits for nothing.
type diskRoot struct {
	dir, root string
	mounts    []string // in the order in which they were made
}

func newDiskRoot(ctx context.Context, tree string) (r *diskRoot, err error) {
	r = &diskRoot{}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.remove())
		}
	}()
	if r.dir, err = os.MkdirTemp("/var/tmp", "latchkey-bench-"); err != nil {
		return r, err
	}
	r.root = filepath.Join(r.dir, "root")
	for _, dir := range []string{"root", "upper", "work", "home", "state"} {
		if err := os.Mkdir(filepath.Join(r.dir, dir), 0o755); err != nil {
			return r, err
		}
	}
	if err := errors.Join(os.Chmod(r.dir, 0o755), exec.CommandContext(ctx, "cp", "-a", tree+"/etc", r.dir).Run()); err != nil {
		return r, err
	}
	over := "lowerdir=" + tree + ",upperdir=" + r.dir + "/upper,workdir=" + r.dir + "/work"
	if err := r.mount("overlay", "", "overlay", 0, over); err != nil {
		return r, err
	}
	if err := os.MkdirAll(r.root+"/var/lib/latchkey", 0o711); err != nil {
		return r, err
	}
	for source, target := range map[string]string{r.dir + "/etc": "etc", r.dir + "/home": "home", r.dir + "/state": "var/lib/latchkey",
		"/dev": "dev", "/proc": "proc"} {
		if err := r.mount(source, target, "", syscall.MS_BIND, ""); err != nil {
			return r, err
		}
	}
	return r, nil
}

func (r *diskRoot) mount(source, target, kind string, flags uintptr, options string) error {
	at := filepath.Join(r.root, target)
	if err := syscall.Mount(source, at, kind, flags, options); err != nil {
		return fmt.Errorf("mount %s: %w", at, err)
	}
	r.mounts = append(r.mounts, at)
	return nil
}

// remove removes the root, and nothing of what is still mounted in it.
func (r *diskRoot) remove() error {
	for _, at := range slices.Backward(r.mounts) {
		if err := syscall.Unmount(at, 0); err != nil {
			return fmt.Errorf("unmount %s: %w", at, err)
		}
	}
	if r.dir == "" {
		return nil
	}
	return os.RemoveAll(r.dir)
}

// run runs a command in the root, with an input.
func (r *diskRoot) run(ctx context.Context, input string, argv ...string) (string, error) {
	var out, errs strings.Builder
	cmd := r.command(ctx, argv...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%v: %w: %s", argv, err, errs.String())
	}
	return out.String(), nil
}

// command is a command in the root.
func (r *diskRoot) command(ctx context.Context, argv ...string) *exec.Cmd {
	// env looks the program up in the root.
	cmd := exec.CommandContext(ctx, "/usr/bin/env", argv...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: r.root}
	cmd.Dir, cmd.Env = "/", []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C"}
	return cmd
}

func (r *diskRoot) time(ctx context.Context, argv ...string) (time.Duration, error) {
	began := time.Now()
	_, err := r.run(ctx, "", argv...)
	return time.Since(began), err
}

// check makes sure that what was timed did its work.
func (r *diskRoot) check(ctx context.Context, users int) error {
	const script = `getent passwd | grep -c ^many; ls /var/lib/latchkey/authorized_keys | grep -c ^many; ls -d /home/many*/.profile | wc -l; latchkey-agent plan >/dev/null; echo $?`
	out, err := r.run(ctx, "", "sh", "-c", script)
	n := strconv.Itoa(users)
	if want := n + "\n" + n + "\n" + n + "\n0\n"; err == nil && out != want {
		err = fmt.Errorf("accounts, keys, homes, and what plan ends with, are %q, not %q", out, want)
	}
	return err
}
