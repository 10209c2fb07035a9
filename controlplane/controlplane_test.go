package controlplane_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"latchkey/authz"
	"latchkey/controlplane"
	"latchkey/controlplane/datadir"
)

func TestNew_Refuses(t *testing.T) {
	p := newPlane(t)
	for name, tc := range map[string]struct {
		change func(*controlplane.Config)
		want   string
	}{
		"no-store":           {func(c *controlplane.Config) { c.Store = nil }, "no store is given"},
		"no-signer":          {func(c *controlplane.Config) { c.Signer = nil }, "no signer is given"},
		"no-sealer":          {func(c *controlplane.Config) { c.Secrets = nil }, "no sealer for secrets is given"},
		"account":            {func(c *controlplane.Config) { c.Account = "1" }, "account is not 12 digits"},
		"region":             {func(c *controlplane.Config) { c.Region = "a/b" }, "region is not a word of a-z, 0-9 and -"},
		"uids-system":        {func(c *controlplane.Config) { c.MinUID, c.MaxUID = 999, 2000 }, "uid range is empty or not within 1000-59999"},
		"uids-too-high":      {func(c *controlplane.Config) { c.MinUID, c.MaxUID = 2000, 60000 }, "uid range is empty or not within 1000-59999"},
		"uids-backwards":     {func(c *controlplane.Config) { c.MinUID, c.MaxUID = 3000, 2000 }, "uid range is empty or not within 1000-59999"},
		"verifier-missing":   {func(c *controlplane.Config) { c.VerifierKeys = nil }, "signer's own key is not among the verifier keys"},
		"verifier-malformed": {func(c *controlplane.Config) { c.VerifierKeys = []string{"x"} }, "verifier key: malformed verifier id"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := p.cfg
			tc.change(&cfg)
			if _, err := controlplane.New(t.Context(), cfg); err == nil || err.Error() != tc.want {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}

// TestControlPlane_FirstRun holds R116.
func TestControlPlane_FirstRun(t *testing.T) {
	p := newPlane(t)
	t.Run("credential", func(t *testing.T) {
		c, err := p.Credential(t.Context(), p.key.ID)
		if err != nil || c.Secret != p.key.Secret || c.Caller.ARN.String() != adminARN || c.Caller.AccessKeyID != p.key.ID {
			t.Errorf("got %v, %v", c.Caller, err)
		}
	})
	t.Run("unknown-credential", func(t *testing.T) {
		_, err := p.Credential(t.Context(), "LKIAUNKNOWN")
		expectError(t, err, controlplane.Unauthenticated, "The security token included in the request is invalid.")
	})
	t.Run("secret-is-sealed", func(t *testing.T) {
		cfg := p.cfg
		cfg.Secrets = must(datadir.NewSealer([32]byte{9}))
		_, err := p.open(t, cfg).Credential(t.Context(), p.key.ID)
		if !errors.Is(err, datadir.ErrSealed) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("second-run-does-not-ask-for-a-key", func(t *testing.T) {
		made, err := p.another(t).FirstRun(t.Context(), func() (datadir.AccessKey, error) { return datadir.AccessKey{}, errors.New("asked") })
		if made || err != nil {
			t.Errorf("got %v, %v", made, err)
		}
	})
	t.Run("not-made-again-after-deletion", func(t *testing.T) {
		second := p.administrator(t, "second")
		_, err := p.DeleteUserProfile(t.Context(), second, controlplane.DeleteUserProfileRequest{IamUserArn: adminARN})
		expectError(t, err, "", "")
		made, err := p.another(t).FirstRun(t.Context(), func() (datadir.AccessKey, error) { return datadir.NewAccessKey(), nil })
		if made || err != nil {
			t.Errorf("got %v, %v", made, err)
		}
		_, err = p.Credential(t.Context(), p.key.ID)
		expectError(t, err, controlplane.Unauthenticated, "The security token included in the request is invalid.")
		_, err = p.DescribeStacks(t.Context(), p.admin, controlplane.DescribeStacksRequest{})
		expectError(t, err, controlplane.Unauthenticated, "The security token included in the request is invalid.")
	})
}

// A first run that is killed after the key's file and before the store loses nothing:
// the next run takes the same key. One in the store is never made twice (requirement
// R116).
func TestControlPlane_FirstRun_Killed(t *testing.T) {
	p := newPlane(t)
	cfg := p.cfg
	cfg.Store = openStore(t, filepath.Join(t.TempDir(), "latchkey.db"))
	c := p.open(t, cfg)
	dir, _, err := datadir.Open(filepath.Join(t.TempDir(), "data"), datadir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	killed := errors.New("killed")
	_, err = c.FirstRun(t.Context(), func() (datadir.AccessKey, error) {
		return datadir.AccessKey{}, errors.Join(killed, onlyError(dir.AdminKey()))
	})
	if !errors.Is(err, killed) {
		t.Fatal(err)
	}
	results := make(chan bool, 4)
	for range 4 { // and several at once make one administrator
		go func() {
			made, err := c.FirstRun(context.Background(), dir.AdminKey)
			if err != nil {
				t.Error(err)
			}
			results <- made
		}()
	}
	count := 0
	for range 4 {
		if <-results {
			count++
		}
	}
	key := must(dir.AdminKey())
	got, err := c.Credential(t.Context(), key.ID)
	if count != 1 || err != nil || got.Secret != key.Secret {
		t.Errorf("made %d times; %v", count, err)
	}
}

// A caller without a profile gets one with his first request, refused or not.
func TestImplicitProfile(t *testing.T) {
	p := newPlane(t)
	p.user(t, "taken")
	for _, tc := range []struct{ arn, want string }{
		{"arn:aws:sts::123456789012:federated-user/Jo.Doe", "jodoe"},
		{"arn:aws:iam::123456789012:root", "not-root"},
		{"arn:aws:sts::123456789012:assumed-role/role/taken", ""},
		{"arn:aws:sts::123456789012:assumed-role/role/root", ""},
	} {
		caller := controlplane.Caller{ARN: must(authz.ParseARN(tc.arn))}
		for range 2 {
			out, err := p.DescribeStacks(t.Context(), caller, controlplane.DescribeStacksRequest{})
			if err != nil || len(out.Stacks) != 0 {
				t.Errorf("%s: %v, %v", tc.arn, out, err)
			}
		}
		out, err := p.DescribeUserProfiles(t.Context(), p.admin, controlplane.DescribeUserProfilesRequest{IamUserArns: []string{tc.arn}})
		if err != nil || out.UserProfiles[0].SshUsername != tc.want {
			t.Errorf("%s: %+v, %v", tc.arn, out, err)
		}
	}
	implicit := 0
	for _, e := range p.audit(t) {
		if e.Action == "latchkey:CreateImplicitProfile" {
			implicit++
		}
	}
	if implicit != 4 {
		t.Errorf("%d audit rows of implicit profiles, want 4", implicit)
	}
}
