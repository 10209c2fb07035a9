package machine

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
)

// recipe counts the changes to what furnishTree does, so that an older tree is
// not taken for a newer one.
const recipe = 1

// packages returns what a tree of a release holds beside the minimal base. procps
// is there because a person looking into a machine misses ps first. sudo-rs, in
// the first release that has it as a whole, is called so there, and sudo is
// still the original.
func packages(release string) []string {
	names := []string{"systemd", "systemd-sysv", "dbus", "libpam-systemd", "openssh-server", "sudo", "iproute2", "passwd",
		"cron", "procps"}
	if release == "trixie" {
		names = append(names, "sudo-rs")
	}
	return names
}

// masked returns units that a throw-away machine has no use for: they wait for a
// network that it does not have, or for a console.
func masked() []string {
	return []string{"apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer",
		"e2scrub_reap.service", "console-getty.service", "systemd-networkd-wait-online.service"}
}

// releaseName keeps a release's name usable as a file name and an argument.
var releaseName = regexp.MustCompile(`^[a-z]{3,20}$`)

func tree(ctx context.Context, release, cacheDir string, progress func(string)) (string, error) {
	if !releaseName.MatchString(release) {
		return "", fmt.Errorf("%q is no Debian release", release)
	}
	sum := sha256.Sum256(fmt.Appendln(nil, recipe, runtime.GOARCH, release, packages(release), masked()))
	dir := filepath.Join(cacheDir, fmt.Sprintf("%s-%x", release, sum[:6]))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if os.Geteuid() != 0 {
		return "", ErrNotRoot
	}
	if err := os.MkdirAll(cacheDir, 0o755); err != nil {
		return "", err
	}
	lock, err := lockFile(ctx, dir+".lock", progress)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if _, err := os.Stat(dir); err == nil {
		return dir, nil // built while we waited
	}
	return dir, buildTree(ctx, release, dir, progress)
}

// lockFile takes the exclusive lock (flock(2)), which ends with its holder.
func lockFile(ctx context.Context, path string, progress func(string)) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	waits := false
	err = poll(ctx, func() error {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err != nil && !waits {
			waits = true
			progress("another program is building this tree; waiting for it")
		}
		return err
	})
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s is locked by another builder: %w", path, context.Cause(ctx))
	}
	return f, nil
}

// buildTree builds beside dir and renames when all is done. We hold the lock, so
// what has the name of an unfinished tree was left by a builder that was killed.
func buildTree(ctx context.Context, release, dir string, progress func(string)) error {
	unfinished := dir + ".unfinished"
	if err := removeTree(unfinished); err != nil {
		return err
	}
	err := debootstrap(ctx, release, unfinished, progress)
	if err == nil {
		err = unmountBelow(unfinished) // debootstrap leaves nothing mounted, but this is about to be shared
	}
	if err == nil {
		err = furnishTree(unfinished)
	}
	if err == nil {
		err = os.Rename(unfinished, dir)
	}
	if err != nil {
		return errors.Join(err, removeTree(unfinished))
	}
	progress("tree is ready: " + dir)
	return nil
}

// debootstrap runs the tool of that name in the network outside, since the
// run's own leads nowhere.
func debootstrap(ctx context.Context, release, dir string, progress func(string)) error {
	argv := []string{"debootstrap", "--variant=minbase", "--include=" + strings.Join(packages(release), ","), release, dir}
	if mirror := systemMirror(); mirror != "" {
		argv = append(argv, mirror)
	}
	if _, err := exec.LookPath(argv[0]); err != nil {
		return fmt.Errorf("debootstrap: %w (package debootstrap)", ErrMissingTool)
	}
	if space := os.Getenv(spaceEnv); space != "" && os.Getenv(refusedEnv) == "" {
		argv = append([]string{"nsenter", "--net=" + outerNetwork(space), "--"}, argv...)
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	ownGroup(cmd)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return err
	}
	said := relay(out, progress)
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("debootstrap %s: %w:\n%s", release, err, strings.Join(append(said, logTail(dir)...), "\n"))
	}
	return os.Chmod(dir, 0o755)
}

// relay hands each line of debootstrap's to progress, less its "I: ", and
// returns the last ten.
func relay(out io.Reader, progress func(string)) []string {
	var last []string
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		line := strings.TrimPrefix(lines.Text(), "I: ")
		progress(strings.ToLower(line[:min(1, len(line))]) + line[min(1, len(line)):])
		last = append(last, line)
		last = last[max(0, len(last)-10):]
	}
	return last
}

// logTail returns the last lines of what the packages said during installation.
func logTail(dir string) []string {
	text, err := os.ReadFile(filepath.Join(dir, "debootstrap/debootstrap.log"))
	if err != nil {
		return nil
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[max(0, len(lines)-10):]
}

// systemMirror returns where this system's apt gets Debian from, or "".
func systemMirror() string {
	var archives []archive
	lists, _ := filepath.Glob("/etc/apt/sources.list.d/*.list")
	for _, file := range append([]string{"/etc/apt/sources.list"}, lists...) {
		text, _ := os.ReadFile(file)
		archives = append(archives, oneLine(string(text))...)
	}
	sources, _ := filepath.Glob("/etc/apt/sources.list.d/*.sources")
	for _, file := range sources {
		text, _ := os.ReadFile(file)
		archives = append(archives, deb822(string(text))...)
	}
	system, _ := os.ReadFile("/etc/os-release")
	return pickMirror(archives, string(system))
}

// furnishTree takes out what must differ between machines or came from this one,
// and what would only cost time or space.
func furnishTree(dir string) error {
	keys, _ := filepath.Glob(filepath.Join(dir, "etc/ssh/ssh_host_*"))
	debs, _ := filepath.Glob(filepath.Join(dir, "var/cache/apt/archives/*.deb"))
	lists, _ := filepath.Glob(filepath.Join(dir, "var/lib/apt/lists/*_*"))
	gone := append(append(keys, debs...), lists...)
	for _, name := range []string{"etc/machine-id", "var/lib/dbus/machine-id", "etc/hostname", "etc/hosts", "etc/resolv.conf"} {
		gone = append(gone, filepath.Join(dir, name))
	}
	var errs []error
	for _, path := range gone {
		if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	for _, unit := range masked() {
		errs = append(errs, os.Symlink("/dev/null", filepath.Join(dir, "etc/systemd/system", unit)))
	}
	return errors.Join(errs...)
}
