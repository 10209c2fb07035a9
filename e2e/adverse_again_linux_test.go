package e2e_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"latchkey/e2e/machine"
)

// withAndWithoutPAM holds T-U10, with testDoctorLooks: new accounts log in by key whether
// sshd asks PAM or not, and an account that others have locked is as they left it.
func (a *adverse) withAndWithoutPAM() {
	a.run(a.name, "useradd", "-m", "-u", "1500", "-p", "!", "locked")
	file := "/home/locked/.ssh/authorized_keys"
	if err := a.machines[a.name].WriteFile(a.t.Context(), file, []byte(a.key("stranger")+"\n"), 0o600); err != nil {
		a.t.Fatal(err)
	}
	a.run(a.name, "chown", "-R", "locked:", "/home/locked/.ssh")
	const see = "getent passwd locked; getent shadow locked; id locked; stat -c '%n %U %a' /home/locked/.ssh/*; cat /home/locked/.ssh/*"
	before := a.run(a.name, "sh", "-c", see)
	a.keys["locked"] = a.keys["stranger"]
	for i, pam := range []string{"yes", "no"} {
		a.configureSSHD(a.name, "UsePAM "+pam+"\n")
		user := "pam" + pam
		a.grant(user, i == 0)
		a.wantLogin(a.name, user, map[int]string{0: "in, root", 1: "in"}[i])
		a.wantLogin(a.name, "alice", "in, root")
		// Without PAM sshd looks for the mark itself.
		if got, want := a.login(a.name, "locked"), map[string]string{"yes": "in", "no": "refused"}[pam]; got != want {
			a.t.Errorf("UsePAM %s: the locked account is %q, want %q", pam, got, want)
		}
		a.revoke(user)
		a.wantLogin(a.name, user, "refused")
	}
	a.configureSSHD(a.name, "")
	a.settled(a.name)
	if after := a.run(a.name, "sh", "-c", see); after != before {
		a.t.Errorf("the locked account is\n%swas\n%s", after, before)
	}
	a.run(a.name, "userdel", "-f", "-r", "locked")
}

// madeAgain holds T-U16, with TestRestore for what comes back from a backup: a user who is
// deleted and made again under the same name is somebody else. Nothing that the earlier
// one had opens anything: key, sudo, crontab, password, a session that is open, an API
// key.
func (a *adverse) madeAgain() {
	m, ctx := a.machines[a.name], a.t.Context()
	const known = "AccessDenied" // she may do nothing there, and is who she is
	a.grant("nora", true)
	a.wantLogin(a.name, "nora", "in, root")
	credentials := filepath.Join(a.dir, "nora.credentials")
	a.cli("user", "key", "create", "nora", "--out", credentials)
	if out, err := a.server.CLI(ctx, "user", "me", "--credentials", credentials); err == nil || !strings.Contains(err.Error(), known) {
		a.t.Errorf("the API key says %s, %v", out, err)
	}
	const own = "sudo -n id -u; echo '* * * * * true' | crontab -; echo precious >kept; mkdir -p -m 700 .ssh; cp /dev/null .ssh/authorized_keys"
	if r, err := machine.SSH(ctx, m, "nora", a.keys["nora"], own); err != nil || r.Code != 0 {
		a.t.Fatalf("prepare: %+v, %v", r, err)
	}
	session, err := machine.OpenSession(ctx, m, "nora", a.keys["nora"])
	if err != nil {
		a.t.Fatal(err)
	}
	a.run(a.name, "sh", "-c", "echo nora:secret | chpasswd; usermod -aG sudo nora")
	uid := strings.TrimSpace(a.run(a.name, "id", "-u", "nora"))

	a.call("DeleteUserProfile", map[string]any{"IamUserArn": arn("nora")}, nil)
	old := a.keys["nora"] + ".old"
	if err := errors.Join(os.Rename(a.keys["nora"], old), os.Remove(a.keys["nora"]+".pub")); err != nil {
		a.t.Fatal(err)
	}
	a.public["nora"] = "" // the next one has a key of her own
	a.grant("nora", false)
	a.wantLogin(a.name, "nora", "in")
	a.settled(a.name)
	select {
	case <-session.Ended():
	case <-time.After(patience):
		a.t.Error("the session of the earlier one is still open")
	}
	if r, err := machine.SSH(ctx, m, "nora", old, "true"); err != nil || !r.Refused() {
		a.t.Errorf("with the key of the earlier one: %+v, %v", r, err)
	}
	got := a.run(a.name, "sh", "-c", "getent shadow nora | cut -d: -f2; id -Gn nora; crontab -u nora -l 2>&1; ls -A /home/nora | grep -c kept; pgrep -c -u "+uid+"; true")
	if want := "*\nnora latchkey\nno crontab for nora\n0\n0\n"; got != want || strings.TrimSpace(a.run(a.name, "id", "-u", "nora")) == uid {
		a.t.Errorf("of the next one there is\n%swant\n%s", got, want)
	}
	if out, err := a.server.CLI(ctx, "user", "me", "--credentials", credentials); err == nil || strings.Contains(err.Error(), known) {
		a.t.Errorf("the API key of the earlier one still says %s, %v", out, err)
	}
}
