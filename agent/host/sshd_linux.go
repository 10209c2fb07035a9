package host

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"latchkey/agent/plan"
	"latchkey/agent/safefile"
	"latchkey/authz/name"
)

const (
	bannerDeadline = 10 * time.Second
	bannerPoll     = 50 * time.Millisecond
	// reloadDeadline is far longer than sshd takes to begin anew, and with bannerDeadline
	// less than the half minute in which a fault is to be taken back.
	reloadDeadline = 5 * time.Second
)

// putSSHD writes our drop-in: the hook, if it is to be asked, is looked at first, the
// candidate is read by sshd as part of the whole configuration, the file is put in
// place, sshd is reloaded, and then sshd itself must say that it gets keys as it says
// and must still answer. If it does not, the machine gets its old state back
// (requirements R58, R66).
func (h *Host) putSSHD(ctx context.Context, s plan.Step) error {
	if s.Mode.AsksHook() {
		if err := h.checkHook(); err != nil {
			return err
		}
	}
	old, _, err := safefile.Read(s.Path, maxOurFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err = h.write(s.Path, plan.SSHDFile(h.Layout, s.Mode), s.Attr, func(candidate string) error {
		return h.checkSSHD(ctx, candidate)
	})
	if err != nil {
		return err
	}
	h.point("sshd.written")
	if err := h.useSSHD(ctx, s.Mode); err != nil {
		return errors.Join(err, h.restoreSSHD(ctx, s, old))
	}
	return nil
}

// useSSHD makes the running sshd use what is written, and proves it.
func (h *Host) useSSHD(ctx context.Context, mode plan.KeysMode) error {
	if err := h.proveSSHD(ctx, mode); err != nil {
		return err
	}
	if err := h.reloadSSHD(ctx); err != nil {
		return err
	}
	h.point("sshd.reloaded")
	return h.sshdAnswers(ctx)
}

// restoreSSHD puts back what was there. Whether sshd takes that is not waited for: the
// fault that led here is told already.
func (h *Host) restoreSSHD(ctx context.Context, s plan.Step, old []byte) error {
	if old == nil {
		if err := h.Files.Remove(s.Path); err != nil {
			return err
		}
	} else if err := h.write(s.Path, old, s.Attr, nil); err != nil {
		return err
	}
	return h.signalSSHD(ctx)
}

func (h *Host) takeSSHD(ctx context.Context, s plan.Step) error {
	if err := h.Files.Remove(s.Path); err != nil {
		return err
	}
	if _, err := h.run(ctx, "sshd", "-t"); err != nil {
		return fmt.Errorf("the configuration without our file: %w", err)
	}
	if err := h.reloadSSHD(ctx); err != nil {
		return err
	}
	return h.sshdAnswers(ctx)
}

// checkSSHD has sshd read the main configuration with the candidate included
// first, which is where a distribution's Include of the folder stands.
func (h *Host) checkSSHD(ctx context.Context, candidate string) error {
	main, err := os.ReadFile(h.Layout.SSHDConfig)
	if err != nil {
		return fmt.Errorf("read sshd configuration: %w", err)
	}
	staged := filepath.Join(h.Layout.AgentDir, stagedSSHD)
	text := "Include " + candidate + "\n" + string(main)
	if _, err := h.Files.Replace(staged, []byte(text), safefile.Attr{Mode: 0o600}, nil); err != nil {
		return err
	}
	_, err = h.run(ctx, "sshd", "-t", "-f", staged)
	return errors.Join(err, h.Files.Remove(staged))
}

// proveSSHD asks sshd what it would do for a member of the marker group. The
// hook's own user is one, for this: nobody can log in as it.
func (h *Host) proveSSHD(ctx context.Context, mode plan.KeysMode) error {
	got, err := h.effectiveSSHD(ctx, h.Layout.HookUser)
	if err != nil {
		return err
	}
	for _, want := range plan.SSHDSettings(h.Layout, mode) {
		if value := got[strings.ToLower(want.Key)]; value != want.Value {
			return fmt.Errorf("sshd does not use %s: its %s is %q; is there an Include of %s in %s?", h.Layout.SSHD, strings.ToLower(want.Key),
				value, filepath.Dir(h.Layout.SSHD)+"/*.conf", h.Layout.SSHDConfig)
		}
	}
	return nil
}

// effectiveSSHD returns the first value of each setting sshd would use for a user.
func (h *Host) effectiveSSHD(ctx context.Context, user string) (map[string]string, error) {
	text, err := h.run(ctx, "sshd", "-T", "-C", "user="+user+",host=localhost,addr=127.0.0.1")
	if err != nil {
		return nil, err
	}
	settings := map[string]string{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if _, twice := settings[key]; !twice {
			settings[key] = value
		}
	}
	return settings, nil
}

// sshdEndless reports whether sshd refuses a line of keys with an end as ours have it.
// Where it does not say which one it is, the answer is that of the last one that did.
func (h *Host) sshdEndless(ctx context.Context) (bool, error) {
	version, err := h.sshd.of("sshd", func() (string, error) { return h.askSSHD(ctx) })
	if err != nil {
		version = h.sshd.version
	}
	return endless(version), err
}

// askSSHD has sshd say which one it is. Only some have an option for that, but all begin
// what they say of an option that they do not have with it, and end with 1.
func (h *Host) askSSHD(ctx context.Context) (string, error) {
	_, err := h.run(ctx, "sshd", "-?")
	var exit *exitError
	if errors.As(err, &exit) && strings.Contains(exit.stderr, openSSH) {
		return exit.stderr, nil
	}
	if err == nil {
		err = errors.New("sshd does not say which one it is")
	}
	return "", err
}

// errHook is the reason code under which an unusable login hook is reported.
var errHook = name.Refuse("hook_unsafe", "login hook")

// checkHook looks at the hook the way sshd will: what its name leads to and every
// folder above that belong to root and nobody else can write there, or sshd refuses
// to run it; and it can be run.
func (h *Host) checkHook() error {
	if err := runnable(h.Layout.Hook); err != nil {
		return fmt.Errorf("%w: %v", errHook, err)
	}
	return nil
}

// runnable reports why sshd would not run a program.
func runnable(name string) error {
	program, err := filepath.EvalSymlinks(name)
	if err != nil {
		return err
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(program, &fs); err == nil && fs.Flags&unix.MS_NOEXEC != 0 {
		return fmt.Errorf("%s is on a file system of which nothing can be run", program)
	}
	for path := program; ; path = filepath.Dir(path) {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		switch {
		case ownerOf(info) != 0 || info.Mode().Perm()&0o022 != 0:
			return fmt.Errorf("%s must belong to root and not be writable by others, or sshd refuses to run it", path)
		case path == program && (!info.Mode().IsRegular() || info.Mode().Perm()&0o111 != 0o111):
			return fmt.Errorf("%s is not a program that all may run", path)
		case path == "/" || path == ".":
			return nil
		}
	}
}

// sshdUnits are the names distributions give to sshd's unit.
var sshdUnits = []string{"ssh.service", "sshd.service"}

// reloadSSHD makes a running sshd read its configuration again, and sees that it did: a
// unit may be set to do something else for a reload. An sshd that does not run, or is
// started for each connection, has nothing to reload.
func (h *Host) reloadSSHD(ctx context.Context) error {
	before := sshdImages()
	if err := h.signalSSHD(ctx); err != nil {
		return err
	}
	return begunAnew(ctx, before)
}

// sshdImages tells for each sshd that listens, by its process id, where its program lies
// in memory (proc(5), auxv). sshd takes a reload by executing itself again under the same
// process id, and the kernel then puts it elsewhere. It tells nothing where the kernel
// puts all programs into one place, or does not say.
func sshdImages() map[int]string {
	images := map[int]string{}
	if random, err := os.ReadFile("/proc/sys/kernel/randomize_va_space"); err != nil || strings.TrimSpace(string(random)) == "0" {
		return images
	}
	for _, p := range listeningSSHD() {
		if image := imageOf(p.PID); image != "" {
			images[p.PID] = image
		}
	}
	return images
}

func imageOf(pid int) string {
	image, err := os.ReadFile(fmt.Sprintf("/proc/%d/auxv", pid))
	if err != nil {
		return "" // it has ended
	}
	return string(image)
}

// begunAnew waits until one of those sshds is another: there may be some that are not the
// system's.
func begunAnew(ctx context.Context, before map[int]string) error {
	ctx, cancel := context.WithTimeout(ctx, reloadDeadline)
	defer cancel()
	for len(before) > 0 {
		for pid, image := range before {
			if imageOf(pid) != image {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return errors.New("sshd was reloaded and goes on with the configuration that it had")
		case <-time.After(bannerPoll):
		}
	}
	return nil
}

// signalSSHD tells a running sshd to reload, as its unit does it, or with the signal that
// sshd(8) names.
func (h *Host) signalSSHD(ctx context.Context) error {
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		for _, unit := range sshdUnits {
			if _, err := h.run(ctx, "systemctl", "is-active", "--quiet", unit); err == nil {
				_, err := h.run(ctx, "systemctl", "reload", unit)
				return err
			}
		}
		return nil
	}
	if pid := pidIn("/run/sshd.pid"); pid != 0 {
		if err := syscall.Kill(pid, syscall.SIGHUP); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("reload sshd: %w", err)
		}
	}
	return nil
}

// sshdAnswers waits until sshd greets on one of its own addresses. Where it does
// not run at all there is nothing to wait for.
func (h *Host) sshdAnswers(ctx context.Context) error {
	if !h.sshdRuns(ctx) {
		return nil
	}
	text, err := h.run(ctx, "sshd", "-T")
	if err != nil {
		return err
	}
	addresses := listenAddresses(text)
	ctx, cancel := context.WithTimeout(ctx, bannerDeadline)
	defer cancel()
	for {
		for _, a := range addresses {
			if err = greets(ctx, a); err == nil {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("sshd does not answer on %s: %w", strings.Join(addresses, ", "), err)
		case <-time.After(bannerPoll):
		}
	}
}

func (h *Host) sshdRuns(ctx context.Context) bool {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		// While it begins anew its file with the process id is not there.
		return pidIn("/run/sshd.pid") != 0 || len(listeningSSHD()) > 0
	}
	for _, unit := range sshdUnits {
		if _, err := h.run(ctx, "systemctl", "is-active", "--quiet", unit); err == nil {
			return true
		}
	}
	return false
}

// greets reads the first bytes of an SSH server (RFC 4253, 4.2).
func greets(ctx context.Context, address string) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	line, err := bufio.NewReaderSize(conn, 256).ReadSlice('\n')
	if err == nil && !strings.HasPrefix(string(line), "SSH-2.0-") {
		return errors.New("answer is not SSH")
	}
	return err
}
