package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"latchkey/e2e/machine"
)

// stay leaves everything running and says what to try, until the context ends.
func (d *demo) stay(ctx context.Context) {
	try, err := d.writeTry()
	if err != nil {
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		return
	}
	fmt.Printf(`
It all goes on running. Try it from another terminal, as root:

    %[1]s latchkey permission list --stack demo
    %[1]s latchkey permission set --stack demo --user alice --ssh --sudo
    %[1]s ssh web1 sudo id                    log in as alice
    %[1]s aws opsworks describe-instances
    %[1]s web1 latchkey-agent status          on the instance
    %[1]s web1 latchkey-agent explain alice

Ctrl-C ends it and cleans up.
`, try)
	<-ctx.Done()
	fmt.Println()
}

// writeTry writes a script that runs a command where the demonstration runs: it
// finds the namespaces by the lock that this process holds on a file.
func (d *demo) writeTry() (string, error) {
	var err error
	if d.alive, err = machine.Hold(filepath.Join(d.dir, "alive")); err != nil {
		return "", err
	}
	addr := d.m.Addr()
	config := fmt.Sprintf("Host web1\n\tHostName %s\n\tPort %d\n\tUser alice\n\tIdentityFile %s\n\tIdentitiesOnly yes\n"+
		"\tUserKnownHostsFile %s\n\tStrictHostKeyChecking accept-new\n\tLogLevel ERROR\n",
		addr.Addr(), addr.Port(), d.key, filepath.Join(d.dir, "known_hosts"))
	if err := os.WriteFile(filepath.Join(d.dir, "ssh_config"), []byte(config), 0o600); err != nil {
		return "", err
	}
	script := strings.NewReplacer("@DIR@", d.dir, "@URL@", d.server.URL, "@PID@", fmt.Sprint(d.m.PID())).Replace(`#!/bin/sh
# Runs a command where the demonstration runs: latchkey, aws, ssh, or "web1 COMMAND"
# on the instance itself.
inode=$(stat -c %i @DIR@/alive) || exit 1
pid=$(awk -v i=":$inode\$" '$6 ~ i {print $5; exit}' /proc/locks)
[ -n "$pid" ] || { echo "the demonstration has ended" >&2; exit 1; }
export PATH="@DIR@:$PATH" LATCHKEY_DATA_DIR=@DIR@/server LATCHKEY_SERVER=@URL@ AWS_SHARED_CREDENTIALS_FILE=@DIR@/server/admin-credentials \
	AWS_CA_BUNDLE=@DIR@/server/tls/ca.pem AWS_DEFAULT_REGION=us-east-1 AWS_PAGER=
case "$1" in
	web1) shift; set -- nsenter -t @PID@ -m -p -n -u -i -r -w -- "$@" ;;
	ssh) shift; set -- ssh -F @DIR@/ssh_config "$@" ;;
	aws) shift; set -- /usr/bin/aws "$@" --endpoint-url @URL@ ;;
esac
exec nsenter -t "$pid" -m -p -n -u -i -- "$@"
`)
	path := filepath.Join(d.dir, "try")
	return path, os.WriteFile(path, []byte(script), 0o700)
}

// leave ends what the story started and removes its folder.
func (d *demo) leave() error {
	var errs []error
	if d.m != nil {
		errs = append(errs, d.m.Stop())
	}
	if d.server != nil && d.server.Data != "" {
		errs = append(errs, d.server.Stop())
	}
	if d.alive != nil {
		errs = append(errs, d.alive.Close())
	}
	if d.dir != "" {
		errs = append(errs, os.RemoveAll(d.dir))
	}
	return errors.Join(errs...)
}
