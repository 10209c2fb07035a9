package e2e_test

import (
	"strings"

	"github.com/google/go-cmp/cmp"
)

// bootsAlone holds T-L10, with agentHangs: the machine boots without a network, which
// comes up only after somebody has logged in, and with homes on a disk that nobody has
// unlocked. sshd waits for neither, nor for the agent, and nothing is taken away or made
// anew for it.
func (a *adverse) bootsAlone() {
	m, ctx := a.machines[a.name], a.t.Context()
	homes := a.run(a.name, "find", "/home", "-printf", "%p %U:%G %m %s\n")
	const unit, before, there = "/etc/systemd/system/e2e-address.service", "Before=network.target ssh.service", "/root/logged-in"
	address := a.run(a.name, "cat", unit)
	if !strings.Contains(address, before) {
		a.t.Fatalf("the unit of the network is\n%s", address)
	}
	if err := m.Copy(ctx, a.keys["alice"], "/root/alice", 0o600); err != nil {
		a.t.Fatal(err)
	}
	late := strings.Replace(address, before, "After=ssh.service", 1)
	late = strings.Replace(late, "[Service]\n", `[Service]
ExecStartPre=/bin/sh -c '! ip -o -4 address show scope global | grep .'
ExecStartPre=/bin/sh -c 'ssh -F none -i /root/alice -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null alice@127.0.0.1 sudo -n id -u >`+there+`'
`, 1)
	if err := m.WriteFile(ctx, unit, []byte(late), 0o644); err != nil {
		a.t.Fatal(err)
	}
	a.run(a.name, "sh", "-c", "mv /home /home.locked && mkdir /home && echo '/dev/mapper/home /home ext4 nofail,x-systemd.device-timeout=1s 0 2' >>/etc/fstab")
	if err := m.Reboot(ctx); err != nil {
		a.t.Fatal(err)
	}
	if got := a.run(a.name, "cat", there); got != "0\n" {
		a.t.Errorf("without a network alice had %q", got)
	}
	if got := a.login(a.name, "alice"); got != "in, root" {
		a.t.Errorf("without her home alice is %q", got)
	}
	a.grant("bob", false) // the agent works
	a.wantLogin(a.name, "bob", "in")
	a.grant("bob", true)
	a.wantLogin(a.name, "bob", "in, root")
	a.settled(a.name)
	if got := a.run(a.name, "ls", "-A", "/home"); got != "" {
		a.t.Errorf("in the place of the locked homes there is %q", got)
	}
	// Unlocked, they are the agent's to use, though it began without them.
	a.run(a.name, "mount", "--bind", "/home.locked", "/home")
	a.grant("henry", false)
	a.wantLogin(a.name, "henry", "in")
	if got := a.run(a.name, "stat", "-c", "%U %a", "/home.locked/henry"); got != "henry 755\n" {
		a.t.Errorf("the home that was made is %q", got)
	}
	a.revoke("henry")
	a.wantLogin(a.name, "henry", "refused")
	a.settled(a.name)
	if err := m.WriteFile(ctx, unit, []byte(address), 0o644); err != nil {
		a.t.Fatal(err)
	}
	a.run(a.name, "sh", "-c", "systemctl stop latchkey-agent && umount /home && rmdir /home && mv /home.locked /home && rm -r /home/henry && "+
		"sed -i '/mapper.home/d' /etc/fstab && rm /root/alice "+there+" && systemctl daemon-reload && systemctl start latchkey-agent")
	a.settled(a.name)
	if diff := cmp.Diff(homes, a.run(a.name, "find", "/home", "-printf", "%p %U:%G %m %s\n")); diff != "" {
		a.t.Errorf("homes (-before +after):\n%s", diff)
	}
}
