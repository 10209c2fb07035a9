package controlplane_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/controlplane"
)

func TestControlPlane_MyUserProfile(t *testing.T) {
	p := newPlane(t)
	stack := p.stack(t, "stack")
	p.user(t, "other", keyTwo)
	_, err := p.CreateUserProfile(t.Context(), p.admin, controlplane.CreateUserProfileRequest{
		IamUserArn: arn("alice"), AllowSelfManagement: ptr(true), SshPublicKey: ptr(keyOne),
	})
	expectError(t, err, "", "")
	p.grant(t, stack, "alice", "iam_only", true, false)
	mine := func(key string) {
		t.Helper()
		out, err := p.DescribeMyUserProfile(t.Context(), as("alice"), controlplane.DescribeMyUserProfileRequest{})
		expectError(t, err, "", "")
		want := controlplane.SelfUserProfile{IamUserArn: arn("alice"), Name: "alice", SshUsername: "alice", SshPublicKey: key}
		if diff := cmp.Diff(want, out.UserProfile); diff != "" {
			t.Error(diff)
		}
	}
	mine(keyOne)
	for _, tc := range []struct {
		name    string
		key     *string
		want    string // afterwards
		raises  bool
		message string
	}{
		{"left-out", nil, keyOne, false, ""},
		{"same", ptr(keyOne), keyOne, false, ""},
		{"taken", ptr(keyTwo), keyOne, false, "Ssh Public Key: is already in use"},
		{"malformed", ptr("x"), keyOne, false, "Ssh Public Key: text holds no key of the form TYPE BASE64"},
		{"none", ptr(""), "", true, ""},
		{"again", ptr(keyOne), keyOne, true, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := p.serial(t, stack)
			_, err := p.UpdateMyUserProfile(t.Context(), as("alice"), controlplane.UpdateMyUserProfileRequest{SshPublicKey: tc.key})
			if tc.message == "" {
				expectError(t, err, "", "")
			} else {
				expectError(t, err, controlplane.Invalid, tc.message)
			}
			mine(tc.want)
			if raised := p.serial(t, stack) != before; raised != tc.raises {
				t.Errorf("serial raised: %v, want %v", raised, tc.raises)
			}
		})
	}
	t.Run("the-flag-stays", func(t *testing.T) {
		out, err := p.DescribeUserProfiles(t.Context(), p.admin, controlplane.DescribeUserProfilesRequest{IamUserArns: []string{arn("alice")}})
		if err != nil || !out.UserProfiles[0].AllowSelfManagement {
			t.Errorf("got %+v, %v", out, err)
		}
	})
	t.Run("without-the-flag", func(t *testing.T) {
		_, err := p.UpdateMyUserProfile(t.Context(), as("other"), controlplane.UpdateMyUserProfileRequest{SshPublicKey: ptr("")})
		expectError(t, err, controlplane.Denied, denial(p, "other", "opsworks:UpdateMyUserProfile", "*", ""))
	})
}
