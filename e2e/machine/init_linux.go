package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

// initSpace is the first process of a run's namespaces. It makes them fit to
// work in, starts main and, being the parent of every orphan in there, reaps
// until main ends. Its own end kills all the others (pid_namespaces(7)).
func initSpace(dir string) int {
	refusal := os.NewFile(refusalFD, "refusal")
	if err := furnish(dir); err != nil {
		fmt.Fprint(refusal, err)
		return 1
	}
	syscall.Close(networkFD)
	refusal.Close()
	cmd, err := again(roleMain)
	if err != nil {
		return complain(err)
	}
	signals := catchSignals()
	pid, err := syscall.ForkExec(cmd.Path, cmd.Args, &syscall.ProcAttr{Env: cmd.Env, Files: []uintptr{0, 1, 2}})
	if err != nil {
		return complain(err)
	}
	go passOn(signals, pid)
	return reap(pid)
}

func complain(err error) int {
	fmt.Fprintln(os.Stderr, "machine:", err)
	return 1
}

// reap waits for every child until pid ends, and returns its exit code.
func reap(pid int) int {
	for {
		var status syscall.WaitStatus
		switch got, err := syscall.Wait4(-1, &status, 0, nil); {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return complain(err)
		case got == pid:
			return exitCode(status)
		}
	}
}

// furnish mounts what belongs to the new namespaces and brings loopback up.
func furnish(dir string) error {
	resolver, _ := os.ReadFile("/etc/resolv.conf") // may be absent: then nothing can be looked up outside either
	if err := mount("proc", "/proc", "proc", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, ""); err != nil {
		return err
	}
	// systemd-nspawn keeps locks and sockets in /run, and the host's systemd
	// listens there.
	if err := mount("tmpfs", "/run", "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, "mode=0755"); err != nil {
		return err
	}
	if err := keepResolver(resolver); err != nil {
		return err
	}
	if err := showCgroup2(); err != nil {
		return err
	}
	mem := memory(dir)
	if err := os.MkdirAll(mem, 0o755); err != nil {
		return err
	}
	if err := mount("tmpfs", mem, "tmpfs", 0, "mode=0755"); err != nil {
		return err
	}
	if err := os.WriteFile(outerNetwork(dir), nil, 0o600); err != nil {
		return err
	}
	if err := mount(fmt.Sprintf("/proc/self/fd/%d", networkFD), outerNetwork(dir), "", syscall.MS_BIND, ""); err != nil {
		return err
	}
	if err := ip("link", "set", "lo", "up"); err != nil {
		return err
	}
	return ip("address", "add", HostAddress+"/32", "dev", "lo")
}

// memory is the part of a run's folder that is a file system in memory, seen
// only inside the run's namespaces. It goes with them.
func memory(dir string) string { return filepath.Join(dir, "mem") }

// outerNetwork is the file that stands for the network namespace outside.
func outerNetwork(dir string) string { return filepath.Join(memory(dir), ".network") }

// keepResolver puts the resolver's configuration back where /etc/resolv.conf
// points, if that was in the /run that is now hidden.
func keepResolver(content []byte) error {
	if _, err := os.Stat("/etc/resolv.conf"); content == nil || !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	target, err := os.Readlink("/etc/resolv.conf")
	if err != nil {
		return err
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join("/etc", target)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	return os.WriteFile(target, content, 0o644)
}

// initRoot is the first process of a machine that Chroot made in namespaces: it
// mounts what a system expects, makes root its own /, runs sshd and reaps until
// it is killed, whatever becomes of sshd.
func initRoot(root, name string) int {
	if err := furnishRoot(root, name); err != nil {
		return complain(err)
	}
	if err := ip("link", "set", "lo", "up"); err != nil {
		return complain(err)
	}
	died := make(chan os.Signal, 1)
	signal.Notify(died, syscall.SIGCHLD)
	_, err := syscall.ForkExec(sshd, []string{sshd, "-D", "-e"}, &syscall.ProcAttr{
		Dir: "/", Env: machineEnv(), Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Setsid: true}})
	if err != nil {
		return complain(fmt.Errorf("%s: %w", sshd, err))
	}
	for range died {
		for pid := 1; pid > 0; {
			pid, _ = syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		}
	}
	return 0
}

func furnishRoot(root, name string) error {
	const quiet = syscall.MS_NOSUID | syscall.MS_NOEXEC
	for _, m := range []struct {
		source, target, options string
		flags                   uintptr
	}{
		{"proc", "proc", "", quiet | syscall.MS_NODEV},
		{"devpts", "dev/pts", "newinstance,ptmxmode=0666,mode=0620,gid=5", quiet},
		{"tmpfs", "run", "mode=0755", syscall.MS_NOSUID | syscall.MS_NODEV},
		{"tmpfs", "tmp", "mode=1777", syscall.MS_NOSUID | syscall.MS_NODEV},
	} {
		if err := mount(m.source, filepath.Join(root, m.target), m.source, m.flags, m.options); err != nil {
			return err
		}
	}
	return errors.Join(
		os.Mkdir(filepath.Join(root, "run/sshd"), 0o755),
		syscall.Sethostname([]byte(name)),
		syscall.Chroot(root),
		os.Chdir("/"))
}

// ip runs the tool of that name. Its words are all ours.
func ip(args ...string) error {
	if err := haveTools("ip"); err != nil {
		return err
	}
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
