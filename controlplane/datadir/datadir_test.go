package datadir_test

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"latchkey/controlplane/datadir"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// options describe a machine that does not change under the test.
func options(names ...string) datadir.Options {
	return datadir.Options{
		Names:     names,
		Hostname:  func() (string, error) { return "Machine.example", nil },
		Addresses: func() ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr("192.0.2.7")}, nil },
		Now:       func() time.Time { return noon },
	}
}

func mustOpen(t *testing.T, dir string, opt datadir.Options) (*datadir.Dir, []string) {
	t.Helper()
	d, made, err := datadir.Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	return d, made
}

func mustRead(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// tree lists everything below a directory with its mode.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		part, err := filepath.Rel(dir, path)
		found[filepath.ToSlash(part)] = info.Mode().String()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

var fullTree = map[string]string{
	".": "drwx------", "tls": "drwx------", "keys": "drwx------",
	"tls/ca.pem": "-rw-r--r--", "tls/ca.key": "-rw-------",
	"tls/server.pem": "-rw-r--r--", "tls/server.key": "-rw-------",
	"keys/signing.key": "-rw-------", "keys/secrets.key": "-rw-------",
	"admin-credentials": "-rw-------",
}

func TestOpen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "parent", "data")
	d, made := mustOpen(t, dir, options())
	if _, err := d.AdminKey(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fullTree, tree(t, dir)); diff != "" {
		t.Error(diff)
	}
	want := []string{
		"data directory " + dir,
		"signing key " + dir + "/keys/signing.key",
		"secrets key " + dir + "/keys/secrets.key",
		"authority's key " + dir + "/tls/ca.key",
		"certificate authority " + dir + "/tls/ca.pem",
		"server certificate for localhost, machine.example, 127.0.0.1, 192.0.2.7, ::1 in " + dir + "/tls/server.pem",
	}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Error(diff)
	}
	t.Run("again-makes-nothing", func(t *testing.T) {
		again, made := mustOpen(t, dir, options())
		if len(made) > 0 {
			t.Errorf("made %q", made)
		}
		if again.Pin() != d.Pin() || again.Signer().KeyHash() != d.Signer().KeyHash() {
			t.Error("other keys than before")
		}
		secret, err := again.Sealer().Open(d.Sealer().Seal([]byte("s"), "p"), "p")
		if err != nil || string(secret) != "s" {
			t.Errorf("sealer: %q, %v", secret, err)
		}
	})
	t.Run("signer-and-verifier-are-a-pair", func(t *testing.T) {
		signed, err := note.Sign(&note.Note{Text: "text\n"}, d.Signer())
		if err != nil {
			t.Fatal(err)
		}
		v, err := note.NewVerifier(d.VerifierKeys()[0])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := note.Open(signed, note.VerifierList(v)); err != nil {
			t.Error(err)
		}
	})
	t.Run("pin-is-of-the-authority", func(t *testing.T) {
		block, _ := pem.Decode([]byte(mustRead(t, d.CAPath())))
		ca, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if d.Pin() != sha256.Sum256(ca.RawSubjectPublicKeyInfo) {
			t.Error("pin is of another key")
		}
	})
}

// A run that is killed leaves the first so many files. The next run keeps them and
// makes the rest.
func TestOpen_Killed(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "data")
	mustOpen(t, whole, options())
	order := []string{"keys/signing.key", "keys/secrets.key", "tls/ca.key", "tls/ca.pem", "tls/server.key", "tls/server.pem"}
	for n := range len(order) + 1 {
		t.Run(fmt.Sprintf("after-%d-files", n), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			for _, sub := range []string{"", "tls", "keys"} {
				if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			for _, part := range order[:n] {
				if err := os.WriteFile(filepath.Join(dir, part), []byte(mustRead(t, filepath.Join(whole, part))), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			mustOpen(t, dir, options())
			for _, part := range order[:min(n, 4)] { // the server's pair may be made again
				if mustRead(t, filepath.Join(dir, part)) != mustRead(t, filepath.Join(whole, part)) {
					t.Errorf("%s was made again", part)
				}
			}
			if _, made := mustOpen(t, dir, options()); len(made) > 0 {
				t.Errorf("second run made %q", made)
			}
		})
	}
}

func TestOpen_Refuses(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(dir string) error
		want   error
		text   string
	}{
		{"signing-key-gone", remove("keys/signing.key"), datadir.ErrIncomplete, "keys/signing.key"},
		{"secrets-key-gone", remove("keys/secrets.key"), datadir.ErrIncomplete, "keys/secrets.key"},
		{"authority-key-gone", remove("tls/ca.key"), datadir.ErrIncomplete, "tls/ca.key"},
		{"only-the-database-left", func(dir string) error {
			return errors.Join(os.WriteFile(dir+"/latchkey.db", nil, 0o600), os.RemoveAll(dir+"/keys"), os.RemoveAll(dir+"/tls"))
		}, datadir.ErrIncomplete, "keys/signing.key"},
		{"directory-open-to-group", chmod("", 0o750), datadir.ErrNotPrivate, "mode 0750"},
		{"keys-open-to-others", chmod("keys", 0o701), datadir.ErrNotPrivate, "keys"},
		{"signing-key-readable", chmod("keys/signing.key", 0o640), datadir.ErrNotPrivate, "keys/signing.key"},
		{"server-key-readable", chmod("tls/server.key", 0o604), datadir.ErrNotPrivate, "tls/server.key"},
		{"signing-key-damaged", write("keys/signing.key", "x"), datadir.ErrKeyFile, "keys/signing.key"},
		{"secrets-key-short", write("keys/secrets.key", "AAAA\n"), datadir.ErrKeyFile, "keys/secrets.key"},
		{"authority-key-damaged", write("tls/ca.key", "x"), datadir.ErrKeyFile, "tls/ca.key"},
		{"authority-damaged", write("tls/ca.pem", "x"), nil, "tls/ca.pem is not a certificate"},
		{"signing-key-is-a-link", func(dir string) error {
			return errors.Join(os.Rename(dir+"/keys/signing.key", dir+"/x"), os.Symlink(dir+"/x", dir+"/keys/signing.key"))
		}, nil, "is not a regular file"},
		{"keys-is-a-file", func(dir string) error {
			return errors.Join(os.RemoveAll(dir+"/keys"), os.WriteFile(dir+"/keys", nil, 0o600))
		}, nil, "is not a directory"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			mustOpen(t, dir, options())
			if err := tc.change(dir); err != nil {
				t.Fatal(err)
			}
			_, _, err := datadir.Open(dir, options())
			if err == nil || tc.want != nil && !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("got %v, want %q", err, tc.text)
			}
		})
	}
	t.Run("authority-of-another-key", func(t *testing.T) {
		one, two := filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two")
		mustOpen(t, one, options())
		mustOpen(t, two, options())
		if err := write("tls/ca.pem", mustRead(t, two+"/tls/ca.pem"))(one); err != nil {
			t.Fatal(err)
		}
		if _, _, err := datadir.Open(one, options()); err == nil || !strings.Contains(err.Error(), "are not a pair") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("name-that-is-none", func(t *testing.T) {
		for _, bad := range []string{"", "a b", "-a", "a-", "a..b", "*.example", "192.0.2.300", "a\nb", strings.Repeat("a", 64), "fe80::1%eth0"} {
			if _, _, err := datadir.Open(filepath.Join(t.TempDir(), "data"), options(bad)); err == nil {
				t.Errorf("%q was accepted", bad)
			}
		}
	})
}

func remove(part string) func(string) error {
	return func(dir string) error { return os.Remove(filepath.Join(dir, part)) }
}

func chmod(part string, mode fs.FileMode) func(string) error {
	return func(dir string) error { return os.Chmod(filepath.Join(dir, part), mode) }
}

func write(part, content string) func(string) error {
	return func(dir string) error { return os.WriteFile(filepath.Join(dir, part), []byte(content), 0o600) }
}

func TestOpen_EmptyDirectoryIsMadePrivate(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	d, _ := mustOpen(t, dir, options())
	if _, err := d.AdminKey(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fullTree, tree(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestDir_AdminKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	d, _ := mustOpen(t, dir, options())
	first, err := d.AdminKey()
	if err != nil {
		t.Fatal(err)
	}
	want := "[default]\naws_access_key_id = " + first.ID + "\naws_secret_access_key = " + first.Secret + "\n"
	if got := mustRead(t, d.AdminCredentialsPath()); got != want {
		t.Errorf("file holds %q", got)
	}
	again, _ := mustOpen(t, dir, options())
	if second, err := again.AdminKey(); err != nil || second != first {
		t.Errorf("second call gives another key, %v", err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(verb, first); strings.Contains(text, first.Secret) {
			t.Errorf("%s shows the secret", verb)
		}
	}
	for name, content := range map[string]string{
		"empty": "", "other-order": "[default]\naws_secret_access_key = x\n", "more": want + "x",
		"two-profiles": want + want,
	} {
		t.Run(name, func(t *testing.T) {
			if err := write("admin-credentials", content)(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := d.AdminKey(); err == nil || !strings.Contains(err.Error(), "admin-credentials is not as this program wrote it") {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("readable-by-others", func(t *testing.T) {
		if err := chmod("admin-credentials", 0o644)(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := d.AdminKey(); !errors.Is(err, datadir.ErrNotPrivate) {
			t.Errorf("got %v", err)
		}
	})
}

// Two servers that start in a new directory at the same time end up with the same
// keys.
func TestOpen_AtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	type result struct {
		key, verifier string
		leaf          *x509.Certificate
		err           error
	}
	results := make(chan result, 4)
	for range 4 {
		go func() {
			d, _, err := datadir.Open(dir, options())
			if err != nil {
				results <- result{err: err}
				return
			}
			k, err := d.AdminKey()
			c, errCertificate := d.GetCertificate(nil)
			if errCertificate != nil {
				results <- result{err: errCertificate}
				return
			}
			results <- result{k.ID, d.VerifierKeys()[0], c.Leaf, err}
		}()
	}
	var all []result
	for range 4 {
		r := <-results
		if r.err != nil {
			t.Fatal(r.err)
		}
		all = append(all, r)
	}
	for _, r := range all {
		if r.key != all[0].key || r.verifier != all[0].verifier {
			t.Errorf("got %v, want %v", r, all[0])
		}
		expectTrusted(t, dir, r.leaf, noon)
	}
}

func TestSealer(t *testing.T) {
	s, err := datadir.NewSealer([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	other, err := datadir.NewSealer([32]byte{2})
	if err != nil {
		t.Fatal(err)
	}
	sealed := s.Seal([]byte("secret"), "access key A")
	if got, err := s.Open(sealed, "access key A"); err != nil || string(got) != "secret" {
		t.Fatalf("got %q, %v", got, err)
	}
	if cmp.Equal(sealed, s.Seal([]byte("secret"), "access key A")) {
		t.Error("two seals are the same bytes")
	}
	changed := append([]byte{}, sealed...)
	changed[len(changed)-1] ^= 1
	for name, open := range map[string]func() ([]byte, error){
		"other-purpose": func() ([]byte, error) { return s.Open(sealed, "access key B") },
		"other-key":     func() ([]byte, error) { return other.Open(sealed, "access key A") },
		"changed":       func() ([]byte, error) { return s.Open(changed, "access key A") },
		"cut-short":     func() ([]byte, error) { return s.Open(sealed[:len(sealed)-1], "access key A") },
		"empty":         func() ([]byte, error) { return s.Open(nil, "access key A") },
	} {
		if got, err := open(); !errors.Is(err, datadir.ErrSealed) || got != nil {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}
