package e2e_test

import (
	"encoding/base64"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"latchkey/authz"
)

// keyKinds are users with a key of their name's kind each, and what ssh-keygen takes to
// make it.
func keyKinds() map[string][]string {
	return map[string][]string{
		"ed25519": {"-t", "ed25519"}, "nistp256": {"-t", "ecdsa", "-b", "256"}, "nistp384": {"-t", "ecdsa", "-b", "384"},
		"nistp521": {"-t", "ecdsa", "-b", "521"}, "rsa2048": {"-t", "rsa", "-b", "2048"}, "rsa4096": {"-t", "rsa", "-b", "4096"},
	}
}

// everyKey logs in with a key of each kind, with PAM and without, passwords being off.
// The kinds that need a token to log in are only given out and read.
func (w *world) everyKey(name string) {
	t := w.t
	t.Helper()
	for user, args := range keyKinds() {
		w.keys[user] = filepath.Join(w.dir, user)
		out, err := exec.CommandContext(t.Context(), "ssh-keygen", append(args, "-q", "-N", "", "-C", "", "-f", w.keys[user])...).CombinedOutput()
		if err != nil {
			t.Fatalf("ssh-keygen: %v: %s", err, out)
		}
		public, err := os.ReadFile(w.keys[user] + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		w.grantKey(user, strings.TrimSpace(string(public)))
	}
	tokens := map[string]string{"token1": skEd25519(w.public["ed25519"]), "token2": skECDSA(w.public["nistp256"])}
	for user, line := range tokens {
		w.grantKey(user, line)
	}
	w.settled(name)
	for _, pam := range []string{"yes", "no"} {
		w.configureSSHD(name, "StrictModes yes\nUsePAM "+pam+"\nPasswordAuthentication no\n")
		for user := range keyKinds() {
			w.wantLogin(name, user, "in")
		}
	}
	w.configureSSHD(name, "")
	for user := range tokens {
		w.wantGivenOut(name, user)
	}
}

// grantKey is grant without sudo for a user whose key is not made by world.key.
func (w *world) grantKey(user, line string) {
	w.t.Helper()
	w.public[user] = line
	w.call("CreateUserProfile", map[string]any{"IamUserArn": arn(user), "SshPublicKey": line}, nil)
	w.grant(user, false)
}

// configureSSHD restarts sshd with settings that count before all others; with none it
// is as before.
func (w *world) configureSSHD(name, settings string) {
	w.t.Helper()
	const file = "/etc/ssh/sshd_config.d/00-matrix.conf"
	if settings == "" {
		w.run(name, "rm", file)
	} else if err := w.machines[name].WriteFile(w.t.Context(), file, []byte(settings), 0o644); err != nil {
		w.t.Fatal(err)
	}
	w.run(name, "systemctl", "restart", "ssh")
}

// wantGivenOut has the hook give out a user's only key, as sshd would ask for it, and
// the machine's ssh-keygen read that.
func (w *world) wantGivenOut(name, user string) {
	w.t.Helper()
	key, err := authz.ParseKey(w.public[user], authz.KeyPolicy{})
	if err != nil {
		w.t.Fatal(err)
	}
	ask := append([]string{"runuser", "-u", "latchkey-keys", "--", "/usr/bin/latchkey-keys", user, strings.TrimSpace(w.run(name, "id", "-u", user))},
		strings.Fields(key.String())...)
	line := w.run(name, ask...)
	if want := key.String() + " " + user + "\n"; line != want {
		w.t.Errorf("the hook gives out %q, want %q", line, want)
	}
	out, err := w.machines[name].RunInput(w.t.Context(), strings.NewReader(line), "ssh-keygen", "-l", "-f", "-")
	if err != nil || !slices.Contains(strings.Fields(out), key.Fingerprint()) {
		w.t.Errorf("ssh-keygen reads %q, %v; want %s", out, err, key.Fingerprint())
	}
}

// skEd25519 and skECDSA make of a public key the one of a token (OpenSSH's PROTOCOL.u2f).
func skEd25519(line string) string {
	const typ = "sk-ssh-ed25519@openssh.com"
	return typ + " " + wireForm(typ, wireStrings(line)[1], "ssh:")
}

func skECDSA(line string) string {
	const typ = "sk-ecdsa-sha2-nistp256@openssh.com"
	parts := wireStrings(line)
	return typ + " " + wireForm(typ, parts[1], parts[2], "ssh:")
}

// wireStrings splits the blob of a public key that ssh-keygen made (RFC 4251, 5).
func wireStrings(line string) []string {
	blob, _ := base64.StdEncoding.DecodeString(strings.Fields(line)[1])
	var parts []string
	for len(blob) >= 4 {
		n := binary.BigEndian.Uint32(blob)
		parts, blob = append(parts, string(blob[4:4+n])), blob[4+n:]
	}
	return parts
}

func wireForm(parts ...string) string {
	var blob []byte
	for _, p := range parts {
		blob = append(binary.BigEndian.AppendUint32(blob, uint32(len(p))), p...)
	}
	return base64.StdEncoding.EncodeToString(blob)
}
