package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A restore by somebody else than the data directory's owner would leave a file
// that the server cannot read: it is refused.
func TestRestore_OtherOwner(t *testing.T) {
	dir := t.TempDir()
	for _, part := range []string{"keys/signing.key", "keys/secrets.key", "tls/ca.key", "tls/ca.pem"} {
		path := filepath.Join(dir, part)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	unlock, err := lockForRestore(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		if os.Getenv("LATCHKEY_NO_SKIP") != "" {
			t.Fatal("only root can give a directory away")
		}
		t.Skip("only root can give a directory away")
	}
	if err := os.Chown(dir, 54321, -1); err != nil {
		t.Fatal(err)
	}
	if _, err := lockForRestore(dir); err == nil || !strings.HasSuffix(err.Error(), " belongs to the user 54321") {
		t.Errorf("got %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "keys/secrets.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := lockForRestore(dir); err == nil || !strings.HasSuffix(err.Error(), " is not a data directory with keys/ and tls/ in it") {
		t.Errorf("got %v", err)
	}
}
