package authz_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/authz"
	"latchkey/authz/iam"
)

// TestCircumstances_Keys follows the table of principals of the IAM user guide.
func TestCircumstances_Keys(t *testing.T) {
	id, err := authz.ParseUserID("33333333-3333-4333-8333-333333333333")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		arn  string
		want map[string][]string
	}{
		{"arn:aws:iam::123456789012:user/team/alice", map[string][]string{
			"aws:username": {"alice"}, "aws:userid": {id.String()}, "aws:PrincipalArn": {"arn:aws:iam::123456789012:user/team/alice"}}},
		{"arn:aws:iam::123456789012:root", map[string][]string{
			"aws:userid": {"123456789012"}, "aws:PrincipalArn": {"arn:aws:iam::123456789012:root"}}},
		{"arn:aws:sts::123456789012:federated-user/bob", map[string][]string{
			"aws:userid": {"123456789012:bob"}, "aws:PrincipalArn": {"arn:aws:sts::123456789012:federated-user/bob"}}},
		{"arn:aws-cn:sts::123456789012:assumed-role/deploy/session", map[string][]string{
			"aws:userid": {id.String() + ":session"}, "aws:PrincipalArn": {"arn:aws-cn:iam::123456789012:role/deploy"}}},
	} {
		arn, err := authz.ParseARN(c.arn)
		if err != nil {
			t.Fatal(err)
		}
		got := authz.Circumstances{
			Principal: authz.Profile{ID: id, ARN: arn}, PrincipalTags: map[string]string{"team": "a"}, Groups: []string{"admins", "ops"},
			SourceIP: "192.0.2.1", UserAgent: "aws-cli/2.9", Secure: true, Region: "us-east-1", Now: time.Unix(1_700_000_000, 0),
		}.Keys()
		for key, values := range map[string][]string{
			"aws:PrincipalAccount": {"123456789012"}, "aws:PrincipalTag/team": {"a"}, "latchkey:PrincipalGroups": {"admins", "ops"},
			"aws:SourceIp": {"192.0.2.1"}, "aws:UserAgent": {"aws-cli/2.9"}, "aws:SecureTransport": {"true"},
			"aws:RequestedRegion": {"us-east-1"}, "aws:CurrentTime": {"2023-11-14T22:13:20Z"}, "aws:EpochTime": {"1700000000"},
		} {
			c.want[key] = values
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.arn, diff)
		}
		if _, err := iam.NewContext(got); err != nil {
			t.Error(err)
		}
	}
	bare := authz.Circumstances{}.Keys()
	for _, key := range []string{"aws:SourceIp", "aws:UserAgent", "aws:username", "latchkey:PrincipalGroups", "aws:TokenIssueTime"} {
		if _, there := bare[key]; there {
			t.Errorf("%s is there without a value", key)
		}
	}
}

func TestBuiltinPolicies(t *testing.T) {
	for _, name := range authz.BuiltinPolicies() {
		doc := authz.BuiltinPolicy(name)
		if _, err := iam.Parse([]byte(doc)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if size := iam.Size([]byte(doc)); size > iam.MaxManaged {
			t.Errorf("%s has %d characters", name, size)
		}
	}
	if authz.BuiltinPolicy("latchkeyfullaccess") != "" {
		t.Error("names do not compare exactly")
	}
	// Reading changes nothing: what ReadOnly allows is no action that changes.
	read := rights(t, "", authz.ReadOnly)
	for action, want := range map[authz.Action]bool{
		"opsworks:DescribeStacks": true, "opsworks:ListTags": true, "latchkey:ListAccess": true, "latchkey:ListAccessKeys": true, "latchkey:Authorize": true,
		"opsworks:SetPermission": false, "opsworks:GrantAccess": false, "latchkey:CreateJoinToken": false, "latchkey:ImportIam": false, "latchkey:CreateAccessKey": false,
	} {
		if got := authz.Decide(authz.Request{Action: action, Resource: iam.Everything(), Rights: read}); got.Allowed() != want {
			t.Errorf("%s: %+v", action, got)
		}
	}
}
