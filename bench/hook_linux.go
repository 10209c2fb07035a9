package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"latchkey/agent/hook"
	"latchkey/agent/plan"
	"latchkey/authz/name"
)

// The floor and what starts the two programs; see there.
var (
	//go:embed floor.c
	floorSource string
	//go:embed launch.c
	launchSource string
)

// Rounds. The 99th percentile of the cold runs needs more than the median does.
const (
	warmRounds = 1000
	coldRounds = 300
)

func hookWarm(ctx context.Context) ([]Row, error) {
	floor, ours, err := timeHook(ctx, "warm", 1, warmRounds)
	return []Row{{
		ID: "P1", What: "login hook, exec to exit, 3 keys, warm", Target: Target{Ratio: 3.3},
		Floor: "static C, same file", FloorTimes: floor, Times: ours,
	}}, err
}

func hookCold(ctx context.Context) ([]Row, error) {
	floor, ours, err := timeHook(ctx, "cold", 1, coldRounds)
	return []Row{{
		ID: "P2", What: "login hook, program out of the page cache",
		Target: Target{Ratio: 2.5, P99: 4 * time.Millisecond, AtFloor: 600 * time.Microsecond},
		Floor:  "the same, cold", FloorTimes: floor, Times: ours,
	}}, err
}

// The rounds of P4 are taken in turns, so that a busy moment of the machine meets both.
const (
	fewUsers, manyUsers = 10, 100_000
	turns, turnRounds   = 5, 200
)

// hookMany measures P4: the hook among many key files against among few, each divided
// by what the floor takes there.
func hookMany(ctx context.Context) ([]Row, error) {
	few, many := hookAmong(fewUsers), hookAmong(manyUsers)
	for i := range turns {
		progress("P4", i, turns)
		for _, part := range []struct {
			row   *Row
			users int
		}{{&few, fewUsers}, {&many, manyUsers}} {
			floor, ours, err := timeHook(ctx, "warm", part.users, turnRounds)
			if err != nil {
				return nil, err
			}
			part.row.FloorTimes, part.row.Times = append(part.row.FloorTimes, floor...), append(part.row.Times, ours...)
		}
	}
	progress("P4", turns, turns)
	many.Target.Ratio = 1.1 * few.Ratio()
	return []Row{few, many}, nil
}

func hookAmong(users int) Row {
	return Row{ID: "P4", What: fmt.Sprintf("login hook with %d users", users), Floor: "static C, same file"}
}

// account is whose key file is read.
const account = "alice"

// question is what sshd asks: one of the three keys of the file.
func question() []string { return []string{account, "20001", "ssh-ed25519", benchKey('B')} }

// benchKey is the base64 of an Ed25519 key in form; what it opens does not
// matter to a hook.
func benchKey(c byte) string {
	return "AAAAC3NzaC1lZDI1NTE5AAAAI" + strings.Repeat(string(c), 43)
}

// timeHook builds the programs and runs them in turn: the hook as it ships, with
// its real key folder, over which only the two see one of the bench's own, with the
// files of so many users.
func timeHook(ctx context.Context, mode string, users, rounds int) (floor, ours Times, err error) {
	if os.Geteuid() != 0 {
		return nil, nil, errors.New("root is needed, to give the hook a key folder of its own")
	}
	dir, err := os.MkdirTemp("", "latchkey-bench-")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(dir)
	if err := errors.Join(build(ctx, dir), putKeys(dir, users)); err != nil {
		return nil, nil, err
	}
	args := []string{dir, filepath.Dir(plan.Linux().StateDir), strconv.Itoa(rounds), mode, dir + "/floor", dir + "/latchkey-keys"}
	cmd := exec.CommandContext(ctx, dir+"/launch", append(args, question()...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, nil, fmt.Errorf("%v: %s", err, strings.TrimSpace(stderr.String()))
	}
	return parseTimes(out)
}

// putKeys makes, below dir, what the machine has below its /var/lib: the key
// folder with a file of three keys for each user, of whom account is in the middle.
func putKeys(dir string, users int) error {
	for i := range users {
		login := account
		if i != users/2 {
			login = "user" + strconv.Itoa(i)
		}
		if err := putKeyFile(dir, login); err != nil {
			return err
		}
	}
	return nil
}

func putKeyFile(dir, login string) error {
	user, err := name.ParseUsername(login)
	if err != nil {
		return err
	}
	var lines []string
	for _, c := range []byte("ABC") {
		lines = append(lines, "ssh-ed25519 "+benchKey(c)+" "+user.String())
	}
	file, err := hook.Render(user, 20001, lines)
	if err != nil {
		return err
	}
	below := strings.TrimPrefix(plan.Linux().KeyFile(user), filepath.Dir(plan.Linux().StateDir))
	path := filepath.Join(dir, below)
	return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, file, 0o644))
}

// parseTimes reads what launch prints.
func parseTimes(out []byte) (floor, ours Times, err error) {
	var times [2]Times
	for line := range bytes.Lines(out) {
		var program int
		var took time.Duration
		if _, err := fmt.Sscanf(string(line), "%d %d\n", &program, &took); err != nil || program>>1 != 0 {
			return nil, nil, fmt.Errorf("launch printed %q", line)
		}
		times[program] = append(times[program], took)
	}
	return times[0], times[1], nil
}

// build compiles the hook as it ships, the floor and the launcher.
func build(ctx context.Context, dir string) error {
	if _, err := exec.LookPath("gcc"); err != nil {
		return errors.New("gcc is missing\nhint: apt-get install gcc libc6-dev")
	}
	sources := map[string]string{"floor.c": floorSource, "launch.c": launchSource}
	for file, text := range sources {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			return err
		}
	}
	for _, args := range [][]string{
		{"go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", dir + "/latchkey-keys", "latchkey/cmd/keys"},
		{"gcc", "-O2", "-static", "-DKEY_FILE=\"" + plan.Linux().KeysDir + "/" + account + "\"", "-o", dir + "/floor", dir + "/floor.c"},
		{"gcc", "-O2", "-o", dir + "/launch", dir + "/launch.c"},
	} {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	return nil
}
