// Command demo tells the whole story on one machine: a control plane, one
// throw-away instance, a user with a real key, a grant, a login over real ssh,
// sudo, a revocation, a login refused. It runs in namespaces of its own and
// leaves nothing behind.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"latchkey/e2e/fleet"
	"latchkey/e2e/machine"
)

func main() {
	noBoot := flag.Bool("no-boot", false, "do not boot an instance even if that is possible here")
	once := flag.Bool("once", false, "end after the story instead of waiting for Ctrl-C")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "demo: takes no argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	os.Exit(machine.Enter(func() int { return tell(*noBoot, *once) }))
}

func tell(noBoot, once bool) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	d := &demo{noBoot: noBoot, start: time.Now()}
	err := d.story(ctx)
	if err == nil && !once {
		d.stay(ctx)
	}
	err = errors.Join(err, d.leave())
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "demo: interrupted; everything is gone again")
	default:
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
	}
	return 1
}

// demo is one run.
type demo struct {
	noBoot bool
	start  time.Time
	dir    string
	server *fleet.Server
	m      *machine.Machine
	key    string // alice's private key file
	alive  io.Closer
}

const (
	alice = "arn:aws:iam::000000000000:user/alice"
	port  = 8443
)

func (d *demo) story(ctx context.Context) error {
	fmt.Println("Latchkey, the whole story. It runs in namespaces of its own; Ctrl-C ends it and cleans up.")
	steps := []struct {
		what string
		do   func(context.Context) (string, error)
	}{
		{"build the three programs", d.build},
		{"start the control plane: latchkey serve", d.serve},
		{"get a Debian system for the instance (once: about a minute)", d.boot},
		{"create a stack: aws opsworks create-stack --name demo", d.stack},
		{"join the instance: latchkey token create; latchkey-agent enroll", d.join},
		{"import alice with her SSH key: aws opsworks create-user-profile", d.user},
		{"grant: aws opsworks set-permission --allow-ssh --allow-sudo", d.grant},
		{"log in: ssh alice@web1 id", d.login},
		{"be root: ssh alice@web1 sudo -n id", d.sudo},
		{"revoke, with a session of alice still open", d.revoke},
		{"try again: ssh alice@web1", d.refused},
	}
	for i, s := range steps {
		fmt.Printf("\n%2d. %s\n", i+1, s.what)
		began := time.Now()
		said, err := s.do(ctx)
		if err != nil {
			return fmt.Errorf("step %d, %s: %w", i+1, s.what, err)
		}
		clearLine()
		for _, line := range strings.Split(strings.TrimSpace(said), "\n") {
			fmt.Println("    " + line)
		}
		fmt.Printf("    (%.1f s)\n", time.Since(began).Seconds())
	}
	fmt.Printf("\nAll of it took %.0f s.\n", time.Since(d.start).Seconds())
	return nil
}

// progress is a line on a terminal that the next one overwrites.
func progress(line string) {
	if info, err := os.Stderr.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		fmt.Fprintf(os.Stderr, "\r\x1b[K    %.100s", line)
	}
}

func clearLine() {
	if info, err := os.Stderr.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		fmt.Fprint(os.Stderr, "\r\x1b[K")
	}
}

func (d *demo) build(ctx context.Context) (string, error) {
	var err error
	if d.dir, err = os.MkdirTemp("", "latchkey-demo-"); err != nil {
		return "", err
	}
	programs, err := fleet.Build(ctx, d.dir)
	d.server = &fleet.Server{Programs: programs}
	return "in " + d.dir, err
}

func (d *demo) serve(ctx context.Context) (string, error) {
	server, err := fleet.Start(ctx, d.server.Programs, filepath.Join(d.dir, "server"), machine.HostAddress, port)
	if err != nil {
		return "", err
	}
	d.server = server
	return "it made its own data directory, CA, signing key and administrator's credentials, and answers at " + server.URL, nil
}

// boot boots an instance, or where that cannot be done says why and takes a
// private root directory with the real sshd instead.
func (d *demo) boot(ctx context.Context) (string, error) {
	tree, err := machine.Tree(ctx, "bookworm", "", progress)
	if err != nil {
		return "", err
	}
	options := machine.Options{Name: "web1", Tree: tree, Index: 1}
	why := machine.CanBoot(ctx)
	if d.noBoot {
		why = errors.New("you asked for none")
	}
	if why != nil {
		if d.m, err = machine.Chroot(ctx, options); err != nil {
			return "", err
		}
		return fmt.Sprintf("no instance is booted here: %v\ninstead: a private root directory with the real sshd at %s", why, d.m.Addr()), nil
	}
	if d.m, err = machine.Boot(ctx, options); err != nil {
		return "", err
	}
	return fmt.Sprintf("web1 runs systemd, and sshd at %s", d.m.Addr()), nil
}

func (d *demo) stack(ctx context.Context) (string, error) {
	return d.server.AWS(ctx, "create-stack", "--name", "demo", "--stack-region", "us-east-1",
		"--service-role-arn", "arn:aws:iam::000000000000:role/none",
		"--default-instance-profile-arn", "arn:aws:iam::000000000000:instance-profile/none")
}

func (d *demo) join(ctx context.Context) (string, error) {
	if err := fleet.Install(ctx, d.server.Programs, d.m); err != nil {
		return "", err
	}
	if err := d.server.Enroll(ctx, d.m, "demo"); err != nil {
		return "", err
	}
	if err := fleet.StartAgent(ctx, d.m); err != nil {
		return "", err
	}
	return "sshd now asks the login hook for members of the group latchkey, and for nobody else", nil
}

func (d *demo) user(ctx context.Context) (string, error) {
	d.key = filepath.Join(d.dir, "alice")
	line, err := machine.NewKey(ctx, d.key, "alice@laptop")
	if err != nil {
		return "", err
	}
	return d.server.AWS(ctx, "create-user-profile", "--iam-user-arn", alice, "--ssh-public-key", line)
}

func (d *demo) permit(ctx context.Context, flags ...string) error {
	id, err := d.stackID(ctx)
	if err != nil {
		return err
	}
	_, err = d.server.AWS(ctx, append([]string{"set-permission", "--stack-id", id, "--iam-user-arn", alice}, flags...)...)
	return err
}

func (d *demo) stackID(ctx context.Context) (string, error) {
	var got struct{ Stacks []struct{ StackId string } }
	if err := d.server.Call(ctx, "DescribeStacks", struct{}{}, &got); err != nil {
		return "", err
	}
	if len(got.Stacks) != 1 {
		return "", fmt.Errorf("there are %d stacks, not one", len(got.Stacks))
	}
	return got.Stacks[0].StackId, nil
}

func (d *demo) grant(ctx context.Context) (string, error) {
	began := time.Now()
	if err := d.permit(ctx, "--allow-ssh", "--allow-sudo"); err != nil {
		return "", err
	}
	answered := time.Now()
	err := fleet.Eventually(ctx, time.Minute, func() error {
		r, err := machine.SSH(ctx, d.m, "alice", d.key, "true")
		if err == nil && r.Code != 0 {
			err = fmt.Errorf("ssh ended with %d: %s", r.Code, r.Stderr)
		}
		return err
	})
	return fmt.Sprintf("the client took %.1f s; %.1f s after its answer a login had succeeded", answered.Sub(began).Seconds(),
		time.Since(answered).Seconds()), err
}

func (d *demo) login(ctx context.Context) (string, error) { return d.as(ctx, "id") }

func (d *demo) sudo(ctx context.Context) (string, error) { return d.as(ctx, "sudo -n id") }

func (d *demo) as(ctx context.Context, command string) (string, error) {
	r, err := machine.SSH(ctx, d.m, "alice", d.key, command)
	if err == nil && r.Code != 0 {
		err = fmt.Errorf("ssh ended with %d: %s", r.Code, r.Stderr)
	}
	return r.Stdout, err
}

func (d *demo) revoke(ctx context.Context) (string, error) {
	session, err := machine.OpenSession(ctx, d.m, "alice", d.key)
	if err != nil {
		return "", err
	}
	if err := d.permit(ctx, "--no-allow-ssh", "--no-allow-sudo"); err != nil {
		return "", err
	}
	answered := time.Now()
	select {
	case <-session.Ended():
	case <-time.After(time.Minute):
		return "", errors.New("the session is still open after a minute")
	}
	return fmt.Sprintf("her session was ended %.1f s after the answer", max(0, time.Since(answered).Seconds())), nil
}

func (d *demo) refused(ctx context.Context) (string, error) {
	r, err := machine.SSH(ctx, d.m, "alice", d.key, "id")
	if err != nil {
		return "", err
	}
	if !r.Refused() {
		return "", fmt.Errorf("it was not refused: status %d, %s%s", r.Code, r.Stdout, r.Stderr)
	}
	return r.Stderr + "\nher home is kept", nil
}
