package controlplane_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/authz"
	"latchkey/authz/wire"
	"latchkey/controlplane"
)

// TestControlPlane_CreateUserProfile holds R9, R17, T-K30 and T-U3 in part.
func TestControlPlane_CreateUserProfile(t *testing.T) {
	p := newPlane(t)
	p.user(t, "alice", keyOne)
	for _, tc := range []struct {
		name    string
		req     controlplane.CreateUserProfileRequest
		want    string // the name kept
		code    controlplane.Code
		message string
	}{
		{"derived", controlplane.CreateUserProfileRequest{IamUserArn: arn("First.Last")}, "firstlast", "", ""},
		{"derived-for-empty", controlplane.CreateUserProfileRequest{IamUserArn: arn("eSurname"), SshUsername: ptr("")}, "esurname", "", ""},
		{"given", controlplane.CreateUserProfileRequest{IamUserArn: arn("b"), SshUsername: ptr("My.Name")}, "myname", "", ""},
		{"empty-key", controlplane.CreateUserProfileRequest{IamUserArn: arn("c"), SshPublicKey: ptr("")}, "c", "", ""},
		{"federated", controlplane.CreateUserProfileRequest{IamUserArn: "arn:aws:sts::999999999999:federated-user/fred"}, "fred", "", ""},
		{"no-arn", controlplane.CreateUserProfileRequest{}, "", controlplane.Invalid,
			"Iam User Arn: not the ARN of an IAM user, a federated user, an assumed role or an account root"},
		{"arn-twice", controlplane.CreateUserProfileRequest{IamUserArn: arn("alice"), SshUsername: ptr("other")}, "", controlplane.Invalid,
			"Iam User Arn: " + arn("alice") + " already has a profile"},
		{"name-twice", controlplane.CreateUserProfileRequest{IamUserArn: arn("d"), SshUsername: ptr("ALICE")}, "", controlplane.Invalid,
			"Ssh Username: alice is already taken"},
		{"derived-name-twice", controlplane.CreateUserProfileRequest{IamUserArn: "arn:aws:iam::123456789012:user/path/alice"}, "", controlplane.Invalid,
			"Ssh Username: alice is already taken"},
		{"key-twice", controlplane.CreateUserProfileRequest{IamUserArn: arn("d"), SshPublicKey: ptr(keyOne + " comment")}, "", controlplane.Invalid,
			"Ssh Public Key: is already in use"},
		{"name-reserved", controlplane.CreateUserProfileRequest{IamUserArn: arn("d"), SshUsername: ptr("Root")}, "", controlplane.Invalid,
			"Ssh Username: name is reserved by the system"},
		{"derived-name-reserved", controlplane.CreateUserProfileRequest{IamUserArn: arn("root")}, "", controlplane.Invalid,
			"Ssh Username, derived from the ARN: name is reserved by the system"},
		{"name-with-newline", controlplane.CreateUserProfileRequest{IamUserArn: arn("d"), SshUsername: ptr("d\nroot")}, "", controlplane.Invalid,
			"Ssh Username: name holds a character other than a-z, 0-9, - and _"},
		{"key-with-command", controlplane.CreateUserProfileRequest{IamUserArn: arn("d"), SshPublicKey: ptr(`command="id" ` + keyTwo)}, "", controlplane.Invalid, ""},
		{"two-keys", controlplane.CreateUserProfileRequest{IamUserArn: arn("d"), SshPublicKey: ptr(keyTwo + "\n" + keyTwo)}, "", controlplane.Invalid, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := len(p.audit(t))
			out, err := p.CreateUserProfile(t.Context(), p.admin, tc.req)
			if tc.code != "" && tc.message == "" { // the reasons for keys are package authz's
				_, refusal := authz.ParseKey(*tc.req.SshPublicKey, authz.KeyPolicy{})
				tc.message = "Ssh Public Key: " + refusal.Error()
			}
			expectError(t, err, tc.code, tc.message)
			if out.SshUsername != tc.want {
				t.Errorf("name %q, want %q", out.SshUsername, tc.want)
			}
			if grew := len(p.audit(t)) > before; grew != (err == nil) {
				t.Errorf("audit log grew: %v, error: %v", grew, err)
			}
		})
	}
}

// TestControlPlane_UpdateUserProfile holds R9 and R32 in part.
func TestControlPlane_UpdateUserProfile(t *testing.T) {
	p := newPlane(t)
	p.user(t, "alice", keyOne)
	p.user(t, "bob", keyTwo)
	stack, other := p.stack(t, "one"), p.stack(t, "two")
	p.grant(t, stack, "alice", "show", true, true)
	p.grant(t, other, "alice", "manage", false, false) // no way into its machines
	for _, tc := range []struct {
		name    string
		req     controlplane.UpdateUserProfileRequest
		raises  bool
		code    controlplane.Code
		message string
		want    string // the user of the bundle: name uid keys
	}{
		{"nothing", controlplane.UpdateUserProfileRequest{}, false, "", "", "alice 20000 [" + keyOne + "]"},
		{"same-name", controlplane.UpdateUserProfileRequest{SshUsername: ptr("Alice")}, false, "", "", "alice 20000 [" + keyOne + "]"},
		{"same-key", controlplane.UpdateUserProfileRequest{SshPublicKey: ptr(keyOne + " x")}, false, "", "", "alice 20000 [" + keyOne + "]"},
		{"self-management", controlplane.UpdateUserProfileRequest{AllowSelfManagement: ptr(true)}, false, "", "", "alice 20000 [" + keyOne + "]"},
		{"name-taken", controlplane.UpdateUserProfileRequest{SshUsername: ptr("bob")}, false, controlplane.Invalid, "Ssh Username: bob is already taken", "alice 20000 [" + keyOne + "]"},
		{"key-taken", controlplane.UpdateUserProfileRequest{SshPublicKey: ptr(keyTwo)}, false, controlplane.Invalid, "Ssh Public Key: is already in use", "alice 20000 [" + keyOne + "]"},
		{"empty-name", controlplane.UpdateUserProfileRequest{SshUsername: ptr("")}, false, controlplane.Invalid, "Ssh Username: name is empty", "alice 20000 [" + keyOne + "]"},
		{"rename-is-a-new-uid", controlplane.UpdateUserProfileRequest{SshUsername: ptr("alicia")}, true, "", "", "alicia 20002 [" + keyOne + "]"},
		{"rename-back-too", controlplane.UpdateUserProfileRequest{SshUsername: ptr("alice")}, true, "", "", "alice 20003 [" + keyOne + "]"},
		{"no-key", controlplane.UpdateUserProfileRequest{SshPublicKey: ptr("")}, true, "", "", "alice 20003 []"},
		{"key-again", controlplane.UpdateUserProfileRequest{SshPublicKey: ptr(keyOne)}, true, "", "", "alice 20003 [" + keyOne + "]"},
		{"unknown", controlplane.UpdateUserProfileRequest{IamUserArn: arn("ghost")}, false, controlplane.NotFound, "Unable to find user with ARN " + arn("ghost"), "alice 20003 [" + keyOne + "]"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.req.IamUserArn == "" {
				tc.req.IamUserArn = arn("alice")
			}
			before, untouched := p.serial(t, stack), p.serial(t, other)
			_, err := p.UpdateUserProfile(t.Context(), p.admin, tc.req)
			expectError(t, err, tc.code, tc.message)
			if raised := p.serial(t, stack) != before; raised != tc.raises {
				t.Errorf("serial raised: %v, want %v", raised, tc.raises)
			}
			if p.serial(t, other) != untouched {
				t.Error("serial of a stack that he cannot enter was raised")
			}
			_, b := p.bundle(t, stack)
			u := b.Users[0]
			if got := fmt.Sprintf("%s %d %v", u.Name, u.UID, u.Keys); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestControlPlane_UIDsUsedUp(t *testing.T) {
	p := newPlane(t)
	cfg := p.cfg
	cfg.MinUID, cfg.MaxUID = 3000, 3000
	c := p.open(t, cfg)
	_, err := c.CreateUserProfile(t.Context(), p.admin, controlplane.CreateUserProfileRequest{IamUserArn: arn("a")})
	expectError(t, err, "", "")
	_, err = c.CreateUserProfile(t.Context(), p.admin, controlplane.CreateUserProfileRequest{IamUserArn: arn("b")})
	expectError(t, err, controlplane.Invalid, "Ssh Username: no uid is left in the range 3000-3000")
}

func TestControlPlane_DescribeUserProfiles(t *testing.T) {
	p := newPlane(t)
	p.user(t, "bob")
	p.user(t, "Alice.A", keyOne)
	_, err := p.UpdateUserProfile(t.Context(), p.admin, controlplane.UpdateUserProfileRequest{IamUserArn: arn("bob"), AllowSelfManagement: ptr(true)})
	expectError(t, err, "", "")
	alice := controlplane.UserProfile{IamUserArn: arn("Alice.A"), Name: "Alice.A", SshUsername: "alicea", SshPublicKey: keyOne}
	admin := controlplane.UserProfile{IamUserArn: adminARN, Name: "admin"}
	bob := controlplane.UserProfile{IamUserArn: arn("bob"), Name: "bob", SshUsername: "bob", AllowSelfManagement: true}
	for _, tc := range []struct {
		name string
		arns []string
		want []controlplane.UserProfile
	}{
		{"all-by-arn", nil, []controlplane.UserProfile{alice, admin, bob}},
		{"as-named", []string{bob.IamUserArn, alice.IamUserArn}, []controlplane.UserProfile{bob, alice}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, err := p.DescribeUserProfiles(t.Context(), p.admin, controlplane.DescribeUserProfilesRequest{IamUserArns: tc.arns})
			if diff := cmp.Diff(tc.want, out.UserProfiles); diff != "" || err != nil {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
	t.Run("unknown", func(t *testing.T) {
		_, err := p.DescribeUserProfiles(t.Context(), p.admin, controlplane.DescribeUserProfilesRequest{IamUserArns: []string{arn("ghost")}})
		expectError(t, err, controlplane.NotFound, "Unable to find user with ARN "+arn("ghost"))
	})
}

// TestControlPlane_DeleteUserProfile holds R21, R31 and R118.
func TestControlPlane_DeleteUserProfile(t *testing.T) {
	p := newPlane(t)
	second := p.administrator(t, "second")
	p.user(t, "alice", keyOne)
	in, out := p.stack(t, "in"), p.stack(t, "out")
	p.grant(t, in, "second", "show", true, true)
	p.grant(t, in, "alice", "show", true, false)
	p.grant(t, out, "second", "manage", false, true)
	token, err := p.CreateJoinToken(t.Context(), second, controlplane.CreateJoinTokenRequest{StackId: out})
	expectError(t, err, "", "")
	t.Run("self", func(t *testing.T) {
		_, err := p.DeleteUserProfile(t.Context(), second, controlplane.DeleteUserProfileRequest{IamUserArn: arn("second")})
		expectError(t, err, controlplane.Invalid, "Cannot delete self")
	})
	t.Run("unknown", func(t *testing.T) {
		_, err := p.DeleteUserProfile(t.Context(), p.admin, controlplane.DeleteUserProfileRequest{IamUserArn: arn("ghost")})
		expectError(t, err, controlplane.NotFound, "Unable to find user with ARN "+arn("ghost"))
	})
	t.Run("ends-everything", func(t *testing.T) {
		serialIn, serialOut := p.serial(t, in), p.serial(t, out)
		changed := p.Changed(must(authz.ParseStackID(in)))
		_, err := p.DeleteUserProfile(t.Context(), p.admin, controlplane.DeleteUserProfileRequest{IamUserArn: arn("second")})
		expectError(t, err, "", "")
		if p.serial(t, in) != serialIn+1 || p.serial(t, out) != serialOut {
			t.Errorf("serials %d and %d, were %d and %d", p.serial(t, in), p.serial(t, out), serialIn, serialOut)
		}
		select {
		case <-changed:
		default:
			t.Error("nobody was told")
		}
		_, b := p.bundle(t, in)
		if len(b.Users) != 1 || b.Users[0].Name != "alice" {
			t.Errorf("users %+v", b.Users)
		}
		_, err = p.Enroll(t.Context(), enrolment(t, token.Token))
		expectError(t, err, controlplane.Denied, "join token is not known")
		_, err = p.CreateStack(t.Context(), second, controlplane.CreateStackRequest{Name: "x"})
		expectError(t, err, controlplane.Denied, denial(p, "second", "opsworks:CreateStack", "*", ""))
	})
	t.Run("name-and-key-are-free-uid-is-not", func(t *testing.T) {
		_, err := p.DeleteUserProfile(t.Context(), p.admin, controlplane.DeleteUserProfileRequest{IamUserArn: arn("alice")})
		expectError(t, err, "", "")
		p.user(t, "alice", keyOne)
		p.grant(t, in, "alice", "show", true, false)
		_, b := p.bundle(t, in)
		if u := b.Users[0]; u.Name != "alice" || u.UID <= 20001 {
			t.Errorf("user %+v", u)
		}
	})
}

// What a person typed is in no bundle: it is parsed, and printed from the type
// (requirement R2).
func TestBundle_HoldsNothingTyped(t *testing.T) {
	p := newPlane(t)
	p.user(t, "alice", keyOne+" secret-comment")
	stack := p.stack(t, "secret-stack-name")
	p.grant(t, stack, "alice", "show", true, true)
	sealed, b := p.bundle(t, stack)
	if strings.Contains(string(sealed.Note), "secret") {
		t.Errorf("bundle holds typed text: %s", sealed.Note)
	}
	want := []wire.User{{ID: b.Users[0].ID, ARN: arn("alice"), Name: "alice", UID: 20000, Keys: []string{keyOne}, SSH: true, Sudo: true, SudoCommands: []string{}}}
	if diff := cmp.Diff(want, b.Users); diff != "" {
		t.Error(diff)
	}
}
