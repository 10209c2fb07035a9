package controlplane_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/controlplane"
)

func TestControlPlane_AccessKeys(t *testing.T) {
	p := newPlane(t)
	p.user(t, "alice")
	k, caller := p.accessKey(t, "alice")
	want := controlplane.CreateAccessKeyResponse{
		AccessKeyId: k.AccessKeyId, SecretAccessKey: k.SecretAccessKey, IamUserArn: arn("alice"), Status: "Active", CreatedAt: "2026-03-01T12:00:00+00:00",
	}
	if diff := cmp.Diff(want, k); diff != "" || !regexp.MustCompile(`^LKIA[A-Z2-7]{16}$`).MatchString(k.AccessKeyId) || len(k.SecretAccessKey) != 43 {
		t.Errorf("%+v\n%s", k, diff)
	}
	credential, err := p.Credential(t.Context(), k.AccessKeyId)
	if err != nil || credential.Secret != k.SecretAccessKey || credential.Caller.ARN.String() != arn("alice") {
		t.Errorf("%v, %v", credential.Caller, err)
	}
	status := func(id, status string) error {
		_, err := p.UpdateAccessKey(t.Context(), p.admin, controlplane.UpdateAccessKeyRequest{IamUserArn: arn("alice"), AccessKeyId: id, Status: status})
		return err
	}
	list := func(want ...string) {
		t.Helper()
		out, err := p.ListAccessKeys(t.Context(), p.admin, controlplane.ListAccessKeysRequest{IamUserArn: arn("alice")})
		got := []string{}
		for _, k := range out.AccessKeys {
			got = append(got, k.AccessKeyId+" "+k.Status)
		}
		if diff := cmp.Diff(append([]string{}, want...), got); diff != "" || err != nil {
			t.Errorf("%v\n%s", err, diff)
		}
	}
	works := func(want bool) {
		t.Helper()
		_, err := p.DescribeStacks(t.Context(), caller, controlplane.DescribeStacksRequest{})
		if _, refused := p.Credential(t.Context(), k.AccessKeyId); (err == nil) != want || (refused == nil) != want {
			t.Errorf("%v, %v; want %v", err, refused, want)
		}
	}
	works(true)
	expectError(t, status(k.AccessKeyId, "Inactive"), "", "")
	works(false)
	expectError(t, status(k.AccessKeyId, "Inactive"), "", "")
	list(k.AccessKeyId + " Inactive")
	expectError(t, status(k.AccessKeyId, "Active"), "", "")
	works(true)
	p.pass(1e9)
	second, _ := p.accessKey(t, "alice")
	list(k.AccessKeyId+" Active", second.AccessKeyId+" Active")
	expectError(t, status(second.AccessKeyId, "Inactive"), "", "")
	_, err = p.CreateAccessKey(t.Context(), p.admin, controlplane.CreateAccessKeyRequest{IamUserArn: arn("alice")})
	expectError(t, err, controlplane.Invalid, "Iam User Arn: the user has 2 access keys, which is the most; delete one first")
	_, err = p.DeleteAccessKey(t.Context(), p.admin, controlplane.DeleteAccessKeyRequest{IamUserArn: arn("alice"), AccessKeyId: k.AccessKeyId})
	expectError(t, err, "", "")
	works(false)
	list(second.AccessKeyId + " Inactive")
}

// The key that a request is signed with cannot be ended by it.
func TestControlPlane_AccessKeys_Calling(t *testing.T) {
	p := newPlane(t)
	const message = "Access Key Id: is the key that signs this request; make another one and call with that"
	_, err := p.UpdateAccessKey(t.Context(), p.admin, controlplane.UpdateAccessKeyRequest{AccessKeyId: p.key.ID, Status: "Inactive"})
	expectError(t, err, controlplane.Invalid, message)
	_, err = p.DeleteAccessKey(t.Context(), p.admin, controlplane.DeleteAccessKeyRequest{AccessKeyId: p.key.ID})
	expectError(t, err, controlplane.Invalid, message)
	_, err = p.UpdateAccessKey(t.Context(), p.admin, controlplane.UpdateAccessKeyRequest{AccessKeyId: p.key.ID, Status: "Active"})
	expectError(t, err, "", "")
	_, another := p.accessKey(t, "admin")
	_, err = p.DeleteAccessKey(t.Context(), another, controlplane.DeleteAccessKeyRequest{AccessKeyId: p.key.ID})
	expectError(t, err, "", "")
	_, err = p.ListAccessKeys(t.Context(), p.admin, controlplane.ListAccessKeysRequest{})
	expectError(t, err, controlplane.Unauthenticated, "The security token included in the request is invalid.")
}

func TestControlPlane_AccessKeys_Refuses(t *testing.T) {
	p := newPlane(t)
	p.user(t, "alice")
	p.user(t, "bob")
	k, _ := p.accessKey(t, "bob")
	missing := "LKIA" + strings.Repeat("A", 16)
	for _, tc := range []struct {
		name, user, key, status string
		code                    controlplane.Code
		message                 string
	}{
		{"missing", arn("alice"), missing, "Inactive", controlplane.NotFound, "Unable to find access key with ID " + missing + " of user " + arn("alice")},
		{"of-another", arn("alice"), k.AccessKeyId, "Inactive", controlplane.NotFound, "Unable to find access key with ID " + k.AccessKeyId + " of user " + arn("alice")},
		{"of-another-than-oneself", "", k.AccessKeyId, "Inactive", controlplane.NotFound, "Unable to find access key with ID " + k.AccessKeyId + " of user " + adminARN},
		{"unknown-user", arn("ghost"), k.AccessKeyId, "Inactive", controlplane.NotFound, "Unable to find user with ARN " + arn("ghost")},
		{"malformed-key", arn("bob"), "x\ny", "Active", controlplane.Invalid, "Access Key Id: is not 16 to 128 of A-Z 0-9"},
		{"malformed-user", "bob", k.AccessKeyId, "Active", controlplane.Invalid,
			"Iam User Arn: not the ARN of an IAM user, a federated user, an assumed role or an account root"},
		{"status", arn("bob"), k.AccessKeyId, "active", controlplane.Invalid, "Status: is neither Active nor Inactive"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := len(p.audit(t))
			_, err := p.UpdateAccessKey(t.Context(), p.admin, controlplane.UpdateAccessKeyRequest{IamUserArn: tc.user, AccessKeyId: tc.key, Status: tc.status})
			expectError(t, err, tc.code, tc.message)
			if tc.name != "status" {
				_, err = p.DeleteAccessKey(t.Context(), p.admin, controlplane.DeleteAccessKeyRequest{IamUserArn: tc.user, AccessKeyId: tc.key})
				expectError(t, err, tc.code, tc.message)
			}
			if len(p.audit(t)) != before {
				t.Error("a refusal left an audit row")
			}
		})
	}
	t.Run("create-for-nobody", func(t *testing.T) {
		_, err := p.CreateAccessKey(t.Context(), p.admin, controlplane.CreateAccessKeyRequest{IamUserArn: arn("ghost")})
		expectError(t, err, controlplane.NotFound, "Unable to find user with ARN "+arn("ghost"))
	})
}

// A user who may by policy looks after his own keys, and nobody else's.
func TestControlPlane_AccessKeys_Own(t *testing.T) {
	p := newPlane(t)
	p.user(t, "alice")
	p.user(t, "bob")
	p.inline(t, "alice", "self", doc(`{"Effect":"Allow","Action":"latchkey:*AccessKey*","Resource":"arn:aws:iam::*:user/${aws:username}"}`))
	_, alice := p.accessKey(t, "alice")
	k, err := p.CreateAccessKey(t.Context(), alice, controlplane.CreateAccessKeyRequest{})
	expectError(t, err, "", "")
	_, err = p.UpdateAccessKey(t.Context(), alice, controlplane.UpdateAccessKeyRequest{AccessKeyId: k.AccessKeyId, Status: "Inactive"})
	expectError(t, err, "", "")
	_, err = p.UpdateAccessKey(t.Context(), alice, controlplane.UpdateAccessKeyRequest{AccessKeyId: k.AccessKeyId, Status: "Active"})
	expectError(t, err, "", "")
	_, err = p.DeleteAccessKey(t.Context(), alice, controlplane.DeleteAccessKeyRequest{IamUserArn: arn("alice"), AccessKeyId: k.AccessKeyId})
	expectError(t, err, "", "")
	_, err = p.CreateAccessKey(t.Context(), alice, controlplane.CreateAccessKeyRequest{IamUserArn: arn("bob")})
	expectError(t, err, controlplane.Denied, "User: "+arn("alice")+" is not authorized to perform: latchkey:CreateAccessKey on resource: "+arn("bob")+
		" because no policy and no level allows it")
}
