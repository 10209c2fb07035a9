package controlplane_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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

// Who may do what: each action, asked by a user at each level on the stack
// (requirement R114).
func TestAuthorisation(t *testing.T) {
	levels := []string{"deny", "iam_only", "show", "deploy", "manage"}
	type request func(t *testing.T, p *plane, caller controlplane.Caller, stack string) error
	for _, tc := range []struct {
		action string
		on     string   // the resource in a denial
		levels []string // that allow it
		ask    request
	}{
		{"opsworks:CreateUserProfile", "*", nil, func(t *testing.T, p *plane, who controlplane.Caller, _ string) error {
			_, err := p.CreateUserProfile(t.Context(), who, controlplane.CreateUserProfileRequest{IamUserArn: arn("new")})
			return err
		}},
		{"opsworks:UpdateUserProfile", "*", nil, func(t *testing.T, p *plane, who controlplane.Caller, _ string) error {
			_, err := p.UpdateUserProfile(t.Context(), who, controlplane.UpdateUserProfileRequest{IamUserArn: arn("target")})
			return err
		}},
		{"opsworks:DeleteUserProfile", "*", nil, func(t *testing.T, p *plane, who controlplane.Caller, _ string) error {
			_, err := p.DeleteUserProfile(t.Context(), who, controlplane.DeleteUserProfileRequest{IamUserArn: arn("target")})
			return err
		}},
		{"opsworks:DescribeUserProfiles", "*", nil, func(t *testing.T, p *plane, who controlplane.Caller, _ string) error {
			_, err := p.DescribeUserProfiles(t.Context(), who, controlplane.DescribeUserProfilesRequest{})
			return err
		}},
		{"opsworks:CreateStack", "*", nil, func(t *testing.T, p *plane, who controlplane.Caller, _ string) error {
			_, err := p.CreateStack(t.Context(), who, controlplane.CreateStackRequest{Name: "n"})
			return err
		}},
		{"opsworks:DescribeStacks", "stack", []string{"show", "deploy", "manage"}, func(t *testing.T, p *plane, who controlplane.Caller, stack string) error {
			_, err := p.DescribeStacks(t.Context(), who, controlplane.DescribeStacksRequest{StackIds: []string{stack}})
			return err
		}},
		{"opsworks:DescribeMyUserProfile", "*", nil, func(t *testing.T, p *plane, who controlplane.Caller, _ string) error {
			_, err := p.DescribeMyUserProfile(t.Context(), who, controlplane.DescribeMyUserProfileRequest{})
			return err
		}},
		{"opsworks:UpdateMyUserProfile", "*", nil, func(t *testing.T, p *plane, who controlplane.Caller, _ string) error {
			_, err := p.UpdateMyUserProfile(t.Context(), who, controlplane.UpdateMyUserProfileRequest{})
			return err
		}},
		{"opsworks:CloneStack", "stack", nil, func(t *testing.T, p *plane, who controlplane.Caller, stack string) error {
			_, err := p.CloneStack(t.Context(), who, controlplane.CloneStackRequest{SourceStackId: stack})
			return err
		}},
		{"opsworks:UpdateStack", "stack", []string{"manage"}, func(t *testing.T, p *plane, who controlplane.Caller, stack string) error {
			_, err := p.UpdateStack(t.Context(), who, controlplane.UpdateStackRequest{StackId: stack, Name: ptr("n")})
			return err
		}},
		{"opsworks:DescribeStackSummary", "stack", []string{"show", "deploy", "manage"}, func(t *testing.T, p *plane, who controlplane.Caller, stack string) error {
			_, err := p.DescribeStackSummary(t.Context(), who, controlplane.DescribeStackSummaryRequest{StackId: stack})
			return err
		}},
		{"opsworks:DescribeStackProvisioningParameters", "stack", []string{"show", "deploy", "manage"}, func(t *testing.T, p *plane, who controlplane.Caller, stack string) error {
			_, err := p.DescribeStackProvisioningParameters(t.Context(), who, controlplane.DescribeStackProvisioningParametersRequest{StackId: stack})
			return err
		}},
		{"opsworks:DeleteStack", "stack", []string{"manage"}, func(t *testing.T, p *plane, who controlplane.Caller, stack string) error {
			_, err := p.DeleteStack(t.Context(), who, controlplane.DeleteStackRequest{StackId: stack})
			return err
		}},
		{"opsworks:SetPermission", "stack", []string{"manage"}, func(t *testing.T, p *plane, who controlplane.Caller, stack string) error {
			_, err := p.SetPermission(t.Context(), who, controlplane.SetPermissionRequest{StackId: stack, IamUserArn: arn("target"), Level: ptr("manage")})
			return err
		}},
		{"opsworks:DescribePermissions", "stack", []string{"manage"}, func(t *testing.T, p *plane, who controlplane.Caller, stack string) error {
			_, err := p.DescribePermissions(t.Context(), who, controlplane.DescribePermissionsRequest{StackId: stack})
			return err
		}},
		{"opsworks:DescribeInstances", "stack", []string{"show", "deploy", "manage"}, func(t *testing.T, p *plane, who controlplane.Caller, stack string) error {
			_, err := p.DescribeInstances(t.Context(), who, controlplane.DescribeInstancesRequest{StackId: stack})
			return err
		}},
		{"opsworks:DeregisterInstance", "instance", []string{"manage"}, func(t *testing.T, p *plane, who controlplane.Caller, stack string) error {
			id, _ := p.instance(t, stack)
			_, err := p.DeregisterInstance(t.Context(), who, controlplane.DeregisterInstanceRequest{InstanceId: id})
			return maskID(err, id)
		}},
		{"opsworks:TagResource", "stack", []string{"manage"}, func(t *testing.T, p *plane, who controlplane.Caller, stack string) error {
			_, err := p.TagResource(t.Context(), who, controlplane.TagResourceRequest{ResourceArn: arnPrefix + "stack/" + stack + "/", Tags: map[string]string{"k": "v"}})
			return err
		}},
		{"opsworks:UntagResource", "stack", []string{"manage"}, func(t *testing.T, p *plane, who controlplane.Caller, stack string) error {
			_, err := p.UntagResource(t.Context(), who, controlplane.UntagResourceRequest{ResourceArn: arnPrefix + "stack/" + stack + "/", TagKeys: []string{"k"}})
			return err
		}},
		{"opsworks:ListTags", "stack", []string{"show", "deploy", "manage"}, func(t *testing.T, p *plane, who controlplane.Caller, stack string) error {
			_, err := p.ListTags(t.Context(), who, controlplane.ListTagsRequest{ResourceArn: arnPrefix + "stack/" + stack + "/"})
			return err
		}},
		{"opsworks:DescribeAgentVersions", "stack", []string{"show", "deploy", "manage"}, func(t *testing.T, p *plane, who controlplane.Caller, stack string) error {
			_, err := p.DescribeAgentVersions(t.Context(), who, controlplane.DescribeAgentVersionsRequest{StackId: stack})
			return err
		}},
		{"opsworks:DescribeOperatingSystems", "*", nil, func(t *testing.T, p *plane, who controlplane.Caller, _ string) error {
			_, err := p.DescribeOperatingSystems(t.Context(), who, controlplane.DescribeOperatingSystemsRequest{})
			return err
		}},
		{"opsworks:DescribeServiceErrors", "stack", []string{"show", "deploy", "manage"}, func(t *testing.T, p *plane, who controlplane.Caller, stack string) error {
			_, err := p.DescribeServiceErrors(t.Context(), who, controlplane.DescribeServiceErrorsRequest{StackId: stack})
			return err
		}},
		{"opsworks:UpdateInstance", "instance", []string{"manage"}, func(t *testing.T, p *plane, who controlplane.Caller, stack string) error {
			id, _ := p.instance(t, stack)
			_, err := p.UpdateInstance(t.Context(), who, controlplane.UpdateInstanceRequest{InstanceId: id, Hostname: ptr("h")})
			return maskID(err, id)
		}},
		{"opsworks:DescribeCommands", "instance", []string{"show", "deploy", "manage"}, func(t *testing.T, p *plane, who controlplane.Caller, stack string) error {
			id, _ := p.instance(t, stack)
			_, err := p.DescribeCommands(t.Context(), who, controlplane.DescribeCommandsRequest{InstanceId: id})
			return maskID(err, id)
		}},
		{"opsworks:RegisterInstance", "stack", []string{"manage"}, func(t *testing.T, p *plane, who controlplane.Caller, stack string) error {
			_, err := p.RegisterInstance(t.Context(), who, controlplane.RegisterInstanceRequest{StackId: stack})
			return unlessInvalid(err) // who may is told how machines join
		}},
		{"latchkey:CreateJoinToken", "stack", []string{"manage"}, func(t *testing.T, p *plane, who controlplane.Caller, stack string) error {
			_, err := p.CreateJoinToken(t.Context(), who, controlplane.CreateJoinTokenRequest{StackId: stack})
			return err
		}},
	} {
		t.Run(strings.ToLower(strings.ReplaceAll(tc.action, ":", "-")), func(t *testing.T) {
			p := newPlane(t)
			p.user(t, "target")
			other := p.stack(t, "other")
			for _, level := range levels {
				p.user(t, level)
				stack := p.stack(t, "stack")
				p.grant(t, stack, level, level, false, false)
				p.grant(t, other, level, "manage", false, false) // must not help
				before := len(p.audit(t))
				err := tc.ask(t, p, as(level), stack)
				if strings.Contains(" "+strings.Join(tc.levels, " ")+" ", " "+level+" ") {
					expectError(t, err, "", "")
					continue
				}
				expectError(t, err, controlplane.Denied, denial(p, level, tc.action, tc.on, stack))
				if after := len(p.audit(t)); after > before+2 { // a token and an instance made for the question
					t.Errorf("a denial left %d audit rows", after-before)
				}
			}
			expectError(t, tc.ask(t, p, p.admin, p.stack(t, "admin's")), "", "")
			stranger := as("stranger") // no profile, no permission
			expectError(t, tc.ask(t, p, stranger, other), controlplane.Denied, denial(p, "stranger", tc.action, tc.on, other))
			gone := p.admin
			gone.AccessKeyID = "LKIAUNKNOWN"
			expectError(t, tc.ask(t, p, gone, other), controlplane.Unauthenticated, "The security token included in the request is invalid.")
			borrowed := as("manage") // somebody else's key
			borrowed.AccessKeyID = p.key.ID
			expectError(t, tc.ask(t, p, borrowed, other), controlplane.Unauthenticated, "The security token included in the request is invalid.")
			expectError(t, tc.ask(t, p, controlplane.Caller{}, other), controlplane.Unauthenticated, "The security token included in the request is invalid.")
		})
	}
}

// unlessInvalid passes over the refusal of a request.
func unlessInvalid(err error) error {
	var refusal *controlplane.Error
	if errors.As(err, &refusal) && refusal.Code == controlplane.Invalid {
		return nil
	}
	return err
}

// maskID puts a fixed word in the place of an id that is another each time.
func maskID(err error, id string) error {
	var refusal *controlplane.Error
	if errors.As(err, &refusal) {
		masked := *refusal
		masked.Message = strings.ReplaceAll(masked.Message, id, "ID")
		return &masked
	}
	return err
}

func denial(p *plane, name, action, on, stack string) string {
	why := "no policy and no level allows it"
	switch on {
	case "stack":
		on = "arn:aws:opsworks:eu-west-1:123456789012:stack/" + stack + "/"
		if name == "deny" {
			why = "the user's level on the stack is deny"
		}
	case "instance":
		on = "arn:aws:opsworks:eu-west-1:123456789012:instance/ID"
	}
	return "User: " + arn(name) + " is not authorized to perform: " + action + " on resource: " + on + " because " + why
}

// A caller who may not learns nothing about what exists (requirement R115 in part).
func TestAuthorisation_HidesWhatExists(t *testing.T) {
	p := newPlane(t)
	p.user(t, "noone")
	p.user(t, "target")
	stack := p.stack(t, "stack")
	instance, _ := p.instance(t, stack)
	ask := func(stack, user, instance string) []string {
		_, e1 := p.SetPermission(t.Context(), as("noone"), controlplane.SetPermissionRequest{StackId: stack, IamUserArn: arn(user)})
		_, e2 := p.DescribeStacks(t.Context(), as("noone"), controlplane.DescribeStacksRequest{StackIds: []string{stack}})
		_, e3 := p.DeleteStack(t.Context(), as("noone"), controlplane.DeleteStackRequest{StackId: stack})
		_, e4 := p.DescribePermissions(t.Context(), as("noone"), controlplane.DescribePermissionsRequest{StackId: stack, IamUserArn: arn(user)})
		_, e5 := p.DescribePermissions(t.Context(), as("noone"), controlplane.DescribePermissionsRequest{IamUserArn: arn(user)})
		_, e6 := p.DescribeInstances(t.Context(), as("noone"), controlplane.DescribeInstancesRequest{InstanceIds: []string{instance}})
		_, e7 := p.DeregisterInstance(t.Context(), as("noone"), controlplane.DeregisterInstanceRequest{InstanceId: instance})
		_, e8 := p.CreateJoinToken(t.Context(), as("noone"), controlplane.CreateJoinTokenRequest{StackId: stack})
		_, e9 := p.DeleteUserProfile(t.Context(), as("noone"), controlplane.DeleteUserProfileRequest{IamUserArn: arn(user)})
		_, e10 := p.UpdateStack(t.Context(), as("noone"), controlplane.UpdateStackRequest{StackId: stack})
		_, e11 := p.CloneStack(t.Context(), as("noone"), controlplane.CloneStackRequest{SourceStackId: stack})
		_, e12 := p.DescribeStackSummary(t.Context(), as("noone"), controlplane.DescribeStackSummaryRequest{StackId: stack})
		_, e13 := p.DescribeStackProvisioningParameters(t.Context(), as("noone"), controlplane.DescribeStackProvisioningParametersRequest{StackId: stack})
		_, e14 := p.UpdateInstance(t.Context(), as("noone"), controlplane.UpdateInstanceRequest{InstanceId: instance})
		_, e15 := p.ListTags(t.Context(), as("noone"), controlplane.ListTagsRequest{ResourceArn: arnPrefix + "stack/" + stack})
		_, e16 := p.UntagResource(t.Context(), as("noone"), controlplane.UntagResourceRequest{ResourceArn: arnPrefix + "instance/" + instance, TagKeys: []string{"k"}})
		_, e17 := p.DescribeServiceErrors(t.Context(), as("noone"), controlplane.DescribeServiceErrorsRequest{InstanceId: instance})
		_, e18 := p.DescribeAgentVersions(t.Context(), as("noone"), controlplane.DescribeAgentVersionsRequest{StackId: stack})
		_, e19 := p.DescribeCommands(t.Context(), as("noone"), controlplane.DescribeCommandsRequest{InstanceId: instance})
		_, e20 := p.GrantAccess(t.Context(), as("noone"), controlplane.GrantAccessRequest{InstanceId: instance})
		_, e21 := p.RegisterInstance(t.Context(), as("noone"), controlplane.RegisterInstanceRequest{StackId: stack})
		var texts []string
		for _, err := range []error{e1, e2, e3, e4, e5, e6, e7, e8, e9, e10, e11, e12, e13, e14, e15, e16, e17, e18, e19, e20, e21} {
			texts = append(texts, strings.NewReplacer(stack, "ID", instance, "ID").Replace(fmt.Sprint(err)))
		}
		return texts
	}
	if diff := cmp.Diff(ask(stack, "target", instance), ask(noStack, "ghost", noStack)); diff != "" {
		t.Errorf("existing and missing are told apart:\n%s", diff)
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

// administrator makes a user with the full-access policy.
func (p *plane) administrator(t *testing.T, name string) controlplane.Caller {
	t.Helper()
	p.user(t, name)
	p.attached(t, name, authz.FullAccess)
	return as(name)
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

func onlyError[T any](_ T, err error) error { return err }

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
