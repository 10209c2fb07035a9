package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// Every machine gets a control group of its own in the version 2 hierarchy:
// systemd in the machine keeps its units and sessions there, and two of them in
// one group would end each other's processes. The groups of a run are below one
// of its own, so the sweeper finds them.

const cgroupRoot = "/sys/fs/cgroup"

// cgroup2Magic is what statfs(2) gives for a version 2 hierarchy (CGROUP2_SUPER_MAGIC).
const cgroup2Magic = 0x63677270

// findCgroup2 returns where the version 2 hierarchy is mounted, or "". It is
// never mounted anew: a fresh mount would change the options of the host's.
func findCgroup2() string {
	for _, dir := range []string{cgroupRoot, filepath.Join(cgroupRoot, "unified")} {
		var s syscall.Statfs_t
		if syscall.Statfs(dir, &s) == nil && s.Type == cgroup2Magic {
			return dir
		}
	}
	return ""
}

// showCgroup2 makes the version 2 hierarchy the only one seen from here, also
// where the host has version 1 beside it: systemd from release 256 wants no other.
func showCgroup2() error {
	if at := findCgroup2(); at != "" && at != cgroupRoot {
		return mount(at, cgroupRoot, "", syscall.MS_BIND, "")
	}
	return nil
}

// spaceCgroup makes the run's group, if it is not there, and returns its folder.
func spaceCgroup() (string, error) {
	at := findCgroup2()
	if at == "" {
		return "", ErrNoCgroup
	}
	dir := filepath.Join(at, os.Getenv(groupEnv))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("%w: %v", ErrNoCgroup, err)
	}
	return dir, nil
}

// removeCgroup kills what is left in a group and the groups below it, and
// removes them all. The kernel takes a moment to let go of the dead.
func removeCgroup(ctx context.Context, dir string) error {
	// cgroup.kill is there from Linux 5.14; before, the caller has killed already.
	_ = os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0)
	return poll(ctx, func() error { return removeEmptyGroups(dir) })
}

func removeEmptyGroups(dir string) error {
	var groups []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			groups = append(groups, path)
		}
		return ignoreAbsent(err)
	})
	for _, group := range slices.Backward(groups) {
		err = errors.Join(err, ignoreAbsent(os.Remove(group)))
	}
	return err
}

func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// poll calls try until it gives no error, or the context ends; then it returns
// the last error. For what the kernel or another process does in its own time
// and announces to nobody.
func poll(ctx context.Context, try func() error) error {
	const pause = 10 * time.Millisecond
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}
