package hook_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/agent/hook"
)

const fingerprint = "SHA256:fe85JkIjo8VPe+XqXJGH5Mau1EMFdK1OdKvJUFicyA8"

// TestDisplaced holds R63 in part and R67 in part: what real tools put into sshd's
// configuration is kept and gets what sshd would give it, a word staying one word.
func TestDisplaced(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		command string
		args    []string
		err     error
	}{
		"ec2-instance-connect": {"/usr/share/ec2-instance-connect/eic_run_authorized_keys %u %f",
			[]string{"/usr/share/ec2-instance-connect/eic_run_authorized_keys", "alice", fingerprint}, nil},
		"os-login":         {"/usr/bin/google_authorized_keys", []string{"/usr/bin/google_authorized_keys", "alice"}, nil},
		"opkssh":           {"/usr/local/bin/opkssh verify %u %k %t", []string{"/usr/local/bin/opkssh", "verify", "alice", first, "ssh-ed25519"}, nil},
		"blanks-and-tab":   {" /bin/x  \t%U ", []string{"/bin/x", "20001"}, nil},
		"inside-a-word":    {"/bin/x --user=%u,%U 100%%", []string{"/bin/x", "--user=alice,20001", "100%"}, nil},
		"shell-characters": {"/bin/x $(id) ;", []string{"/bin/x", "$(id)", ";"}, nil},
		"empty":            {"", nil, hook.ErrDisplaced},
		"not-absolute":     {"x %u", nil, hook.ErrDisplaced},
		"quoted":           {`/bin/x "a b"`, nil, hook.ErrDisplaced},
		"backslash":        {`/bin/x a\ b`, nil, hook.ErrDisplaced},
		"not-ascii":        {"/bin/x é", nil, hook.ErrDisplaced},
		"escape":           {"/bin/x \x1b[2J", nil, hook.ErrDisplaced},
		"long-word":        {"/bin/" + strings.Repeat("x", 256), nil, hook.ErrDisplaced},
		"many-words":       {"/bin/x" + strings.Repeat(" a", 16), nil, hook.ErrDisplaced},
		"token-in-program": {"/bin/%u", nil, hook.ErrDisplaced},
		"home":             {"/bin/x %h", nil, hook.ErrDisplacedTokens},
		"token-cut-off":    {"/bin/x %", nil, hook.ErrDisplacedTokens},
	}
	r, err := hook.ParseRequest([]string{"alice", "20001", "ssh-ed25519", first, fingerprint})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := hook.ParseDisplaced(test.command)
			if !errors.Is(err, test.err) || (err == nil) != (test.err == nil) {
				t.Fatalf("it gives %v, want %v", err, test.err)
			}
			if err != nil {
				return
			}
			read, err := hook.ReadDisplaced(d.Render())
			if err != nil || read.Program() != test.args[0] {
				t.Fatalf("it reads back as %q, %v", read.Program(), err)
			}
			if diff := cmp.Diff(test.args, r.Arguments(read)); diff != "" {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzReadDisplaced: only what Render prints is read.
func FuzzReadDisplaced(f *testing.F) {
	f.Add([]byte("# latchkey 1 displaced command\n/bin/x\n%u\n"))
	f.Add([]byte("# latchkey 1 displaced command\n/bin/x\n%u"))
	f.Add([]byte("# latchkey 1 displaced command\n/bin/x\n\n%u\n"))
	f.Add([]byte("/bin/x\n%u\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		d, err := hook.ReadDisplaced(file)
		switch {
		case err != nil && !errors.Is(err, hook.ErrDisplacedFile):
			t.Fatalf("it gives %v", err)
		case err == nil && !slices.Equal(d.Render(), file):
			t.Fatalf("%q reads as %q", file, d.Render())
		}
	})
}
