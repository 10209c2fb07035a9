package controlplane_test

import (
	"crypto/rand"
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"latchkey/authz"
	"latchkey/authz/wire"
	"latchkey/controlplane"
	"latchkey/controlplane/datadir"
	"latchkey/controlplane/store"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const (
	keyOne   = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICUQMBDimJfK7ztMGek9v2hdB6WwdbSx5yJtHJP9Bk7f"
	keyTwo   = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP79sB/+KWwMF4Dy/NwW+3bKKiSeqDQKxQSvhx4TKP2f"
	noStack  = "00000000-0000-4000-8000-000000000000"
	adminARN = "arn:aws:iam::123456789012:user/admin"
)

// plane is a control plane on a real store, with a clock that the test turns.
type plane struct {
	*controlplane.ControlPlane
	cfg   controlplane.Config
	path  string // of the database
	clock *atomic.Int64
	admin controlplane.Caller
	key   datadir.AccessKey // the first administrator's
}

func newPlane(t *testing.T) *plane {
	t.Helper()
	signer, verifier, err := note.GenerateKey(rand.Reader, "latchkey-test")
	if err != nil {
		t.Fatal(err)
	}
	p := &plane{path: filepath.Join(t.TempDir(), "latchkey.db"), clock: &atomic.Int64{}, key: datadir.NewAccessKey()}
	p.clock.Store(noon.Unix())
	p.cfg = controlplane.Config{
		Store: openStore(t, p.path), Signer: must(note.NewSigner(signer)), VerifierKeys: []string{verifier},
		Pin: wire.Pin{7}, Account: "123456789012", Region: "eu-west-1",
		Secrets: must(datadir.NewSealer([32]byte{1})),
		Now:     func() time.Time { return time.Unix(p.clock.Load(), 0) },
	}
	p.ControlPlane = p.open(t, p.cfg)
	made, err := p.FirstRun(t.Context(), func() (datadir.AccessKey, error) { return p.key, nil })
	if err != nil || !made {
		t.Fatalf("first run: %v, %v", made, err)
	}
	c, err := p.Credential(t.Context(), p.key.ID)
	if err != nil {
		t.Fatal(err)
	}
	p.admin = c.Caller
	return p
}

func (p *plane) open(t *testing.T, cfg controlplane.Config) *controlplane.ControlPlane {
	t.Helper()
	c, err := controlplane.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// another opens the same database again, as a second process or a restart does.
func (p *plane) another(t *testing.T) *controlplane.ControlPlane {
	t.Helper()
	cfg := p.cfg
	cfg.Store = openStore(t, p.path)
	return p.open(t, cfg)
}

func (p *plane) pass(d time.Duration) { p.clock.Add(int64(d / time.Second)) }

func openStore(t *testing.T, path string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func arn(name string) string { return "arn:aws:iam::123456789012:user/" + name }

// as is a user as a caller who proved himself by something other than a key.
func as(name string) controlplane.Caller {
	return controlplane.Caller{ARN: must(authz.ParseARN(arn(name))), SourceIP: "192.0.2.1", RequestID: "r-1"}
}

// user makes a profile with a key if one is given.
func (p *plane) user(t *testing.T, name string, key ...string) {
	t.Helper()
	req := controlplane.CreateUserProfileRequest{IamUserArn: arn(name)}
	if len(key) > 0 {
		req.SshPublicKey = &key[0]
	}
	if _, err := p.CreateUserProfile(t.Context(), p.admin, req); err != nil {
		t.Fatal(err)
	}
}

func (p *plane) stack(t *testing.T, name string) string {
	t.Helper()
	out, err := p.CreateStack(t.Context(), p.admin, controlplane.CreateStackRequest{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return out.StackId
}

// grant sets all of a user's permission.
func (p *plane) grant(t *testing.T, stack, name, level string, ssh, sudo bool) {
	t.Helper()
	_, err := p.SetPermission(t.Context(), p.admin, controlplane.SetPermissionRequest{
		StackId: stack, IamUserArn: arn(name), Level: &level, AllowSsh: &ssh, AllowSudo: &sudo,
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (p *plane) bundle(t *testing.T, stack string) (controlplane.Sealed, wire.Bundle) {
	t.Helper()
	id := must(authz.ParseStackID(stack))
	sealed, err := p.Bundle(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return sealed, p.opened(t, sealed, id)
}

func (p *plane) opened(t *testing.T, sealed controlplane.Sealed, id authz.StackID) wire.Bundle {
	t.Helper()
	verifiers := note.VerifierList(must(note.NewVerifier(p.cfg.VerifierKeys[0])))
	b, err := wire.Open(sealed.Note, verifiers, wire.Target{ControlPlane: p.id(t), Stack: id})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (p *plane) id(t *testing.T) (id string) {
	t.Helper()
	err := p.cfg.Store.Read(t.Context(), func(v store.View) (err error) {
		id, err = v.Meta(t.Context(), store.ControlPlaneID)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (p *plane) serial(t *testing.T, stack string) int64 {
	t.Helper()
	var serial int64
	err := p.cfg.Store.Read(t.Context(), func(v store.View) (err error) {
		serial, err = v.Serial(t.Context(), must(authz.ParseStackID(stack)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return serial
}

func (p *plane) audit(t *testing.T) []store.Entry {
	t.Helper()
	var entries []store.Entry
	err := p.cfg.Store.Read(t.Context(), func(v store.View) (err error) {
		if _, err = v.VerifyAudit(t.Context()); err != nil {
			return err
		}
		entries, err = v.Audit(t.Context(), 0, 1_000_000)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

// expectError checks code and message; the empty code expects success.
func expectError(t *testing.T, err error, code controlplane.Code, message string) {
	t.Helper()
	if code == "" {
		if err != nil {
			t.Errorf("got %v", err)
		}
		return
	}
	var refusal *controlplane.Error
	if !errors.As(err, &refusal) {
		t.Fatalf("got %v, want %s: %s", err, code, message)
	}
	if refusal.Code != code || refusal.Message != message {
		t.Errorf("got  %s: %s\nwant %s: %s", refusal.Code, refusal.Message, code, message)
	}
}

func ptr[T any](v T) *T { return &v }

// administrator makes a user with the full-access policy.
func (p *plane) administrator(t *testing.T, name string) controlplane.Caller {
	t.Helper()
	p.user(t, name)
	p.attached(t, name, authz.FullAccess)
	return as(name)
}

func onlyError[T any](_ T, err error) error { return err }
