package controlplane_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/authz"
	"latchkey/authz/iam"
	"latchkey/controlplane"
	"latchkey/controlplane/store"
)

// listing is IAM's listing of an account.
func listing(t *testing.T) (req controlplane.ImportIamRequest) {
	t.Helper()
	text, err := os.ReadFile("testdata/iam.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &req); err != nil {
		t.Fatal(err)
	}
	return req
}

// said prints what an import came to, but for what stays as it is.
func said(out controlplane.ImportOutcome) string {
	var b strings.Builder
	for _, ch := range out.Changes {
		if ch.Change == "unchanged" {
			continue
		}
		b.WriteString(ch.Change + " " + ch.Kind + " " + strings.TrimPrefix(ch.Name, "arn:aws:iam::123456789012:user/") + "\n")
		for _, d := range ch.Details {
			b.WriteString("  " + d + "\n")
		}
		if ch.Reason != "" {
			b.WriteString("  because " + ch.Reason + "\n")
		}
	}
	return b.String()
}

func (p *plane) importIam(t *testing.T, who controlplane.Caller, req controlplane.ImportIamRequest) controlplane.ImportOutcome {
	t.Helper()
	out, err := p.ImportIam(t.Context(), who, req)
	if err != nil {
		t.Fatal(err)
	}
	return out.ImportOutcome
}

func expectSaid(t *testing.T, out controlplane.ImportOutcome, want string) {
	t.Helper()
	if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), said(out)); diff != "" {
		t.Error(diff)
	}
}

const imported = `
create policy Deployers
create policy OnlyOpsWorks
create policy ReadOnlyAccess
create group ops
  attach Deployers
  inline policy tagging new
create group readers
  attach ReadOnlyAccess
create user alice
  login name alice (uid 20000)
  join group ops
  join group readers
  tag email=alice@example.com
  tag cost centre=42
create user al.ice
  no login name: alice is taken
  join group readers
create user team/bob
  login name bob (uid 20001)
  boundary OnlyOpsWorks
  attach Deployers
  inline policy own-stack new
create user carol
  login name carol (uid 20002)
  attach AWSOpsWorks_FullAccess
create user daemon
  no login name: name is reserved by the system
`

// A plan says what comes and changes nothing; the same again changes nothing more.
func TestImportIam(t *testing.T) {
	p := newPlane(t)
	before := len(p.audit(t))
	plan := p.importIam(t, p.admin, listing(t))
	expectSaid(t, plan, imported)
	if users, rows := p.rows(t, "users"), len(p.audit(t)); users != 1 || rows != before || plan.Applied {
		t.Errorf("after a plan there are %d users, %d more rows in the log", users, rows-before)
	}

	apply := listing(t)
	apply.Apply = true
	done := p.importIam(t, p.admin, apply)
	expectSaid(t, done, imported)
	if done.Created != 10 || done.Updated != 0 || done.Unchanged != 1 || done.Refused != 0 || !done.Applied {
		t.Errorf("%+v", done)
	}
	again := p.importIam(t, p.admin, apply)
	expectSaid(t, again, "")
	if again.Unchanged != 11 || len(again.Changes) != 11 {
		t.Errorf("%+v", again)
	}
	if users, permissions := p.rows(t, "users"), p.rows(t, "permissions"); users != 6 || permissions != 0 {
		t.Errorf("%d users, %d permissions", users, permissions)
	}
	if entries := p.audit(t); len(entries) != before+2 {
		t.Errorf("%d more rows in the log", len(entries)-before)
	} else if diff := cmp.Diff(map[string]string{
		"created": "10", "updated": "0", "unchanged": "1", "refused": "0",
		"create policy": "Deployers; OnlyOpsWorks; ReadOnlyAccess",
		"create group":  "ops (attach Deployers, inline policy tagging new); readers (attach ReadOnlyAccess)",
		"create user": arn("alice") + " (login name alice (uid 20000), join group ops, join group readers, tag email=alice@example.com, tag cost centre=42); " +
			arn("al.ice") + " (no login name: alice is taken, join group readers); " +
			arn("team/bob") + " (login name bob (uid 20001), boundary OnlyOpsWorks, attach Deployers, inline policy own-stack new); " +
			arn("carol") + " (login name carol (uid 20002), attach AWSOpsWorks_FullAccess); " +
			arn("daemon") + " (no login name: name is reserved by the system)",
	}, entries[before].Detail); diff != "" {
		t.Error(diff)
	}
	p.mayAfterImport(t)
}

// mayAfterImport asks what the imported policies decide: the default version of one,
// one through a group, and our own document for a built-in name.
func (p *plane) mayAfterImport(t *testing.T) {
	t.Helper()
	for user, want := range map[string]string{"alice": "list", "al.ice": "", "team/bob": "list", "carol": "list make"} {
		var may []string
		if _, err := p.DescribeUserProfiles(t.Context(), as(user), controlplane.DescribeUserProfilesRequest{}); err == nil {
			may = append(may, "list")
		}
		if _, err := p.CreateStack(t.Context(), as(user), controlplane.CreateStackRequest{Name: "n"}); err == nil {
			may = append(may, "make")
		}
		if got := strings.Join(may, " "); got != want {
			t.Errorf("%s may %q, want %q", user, got, want)
		}
	}
}

// decoded is a request from the text of its members.
func decoded(t *testing.T, text string) (req controlplane.ImportIamRequest) {
	t.Helper()
	text = strings.ReplaceAll(strings.ReplaceAll(text, "USER", arn("")), "POLICY", "arn:aws:iam::123456789012:policy/")
	text = strings.ReplaceAll(text, "ALLOW", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"opsworks:Describe*","Resource":"*"}]}`)
	text = strings.ReplaceAll(text, "WIDE", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)
	if err := json.Unmarshal([]byte(text), &req); err != nil {
		t.Fatal(err)
	}
	req.Apply = true
	return req
}

// Who is named gets exactly what the file says; who is not is not touched.
func TestImportIam_Replaces(t *testing.T) {
	p := newPlane(t)
	first := listing(t)
	first.Apply = true
	p.importIam(t, p.admin, first)
	out := p.importIam(t, p.admin, decoded(t, `{
		"Policies": [{"PolicyName":"deployers","Arn":"POLICYdeployers","PolicyVersionList":[{"IsDefaultVersion":true,"Document":ALLOW}]}],
		"GroupDetailList": [{"GroupName":"OPS","GroupPolicyList":[{"PolicyName":"tagging","PolicyDocument":ALLOW}]}],
		"UserDetailList": [
			{"Arn":"USERalice","GroupList":["Ops"],"Tags":[{"Key":"email","Value":"a@example.com"}],"AttachedManagedPolicies":[{"PolicyName":"LatchkeyReadOnly"}]},
			{"Arn":"USERteam/bob","PermissionsBoundary":{"PermissionsBoundaryArn":"POLICYReadOnlyAccess"}}
		]}`))
	expectSaid(t, out, `
update policy deployers
  new document
update group OPS
  detach Deployers
  inline policy tagging changed
update user alice
  leave group readers
  tag cost centre removed
  attach LatchkeyReadOnly
  tag email=a@example.com
update user team/bob
  inline policy own-stack removed
  detach Deployers
  boundary ReadOnlyAccess
`)
	expectSaid(t, p.importIam(t, p.admin, decoded(t, `{"UserDetailList":[{"Arn":"USERteam/bob"}]}`)), `
update user team/bob
  boundary ReadOnlyAccess removed
`)
	expectSaid(t, p.importIam(t, p.admin, decoded(t, `{"UserDetailList":[{"Arn":"USERcarol","AttachedManagedPolicies":[{"PolicyName":"AWSOpsWorks_FullAccess"}]}]}`)), "")
}

// What is refused is refused alone and wholly, with what refers to it, and says what
// it keeps.
func TestImportIam_Refuses(t *testing.T) {
	long := func(n int) string { return `"` + strings.Repeat("x", n) + `"` }
	inline := func(n int) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"arn:aws:x:::` + strings.Repeat("x", n) + `"}]}`
	}
	var eleven []string
	for i := range 11 {
		eleven = append(eleven, fmt.Sprintf(`{"PolicyName":"p%d"}`, i))
	}
	for name, tc := range map[string]struct{ file, want string }{
		"malformed-and-what-refers-to-it": {`{
			"Policies": [
				{"PolicyName":"Deployers","PolicyVersionList":[{"IsDefaultVersion":true,"Document":{"Statement":[{"Effect":"Allow","Action":"x","Resource":"*"}]}}]},
				{"PolicyName":"Good","PolicyVersionList":[{"IsDefaultVersion":true,"Document":ALLOW}]}],
			"GroupDetailList": [{"GroupName":"ops","AttachedManagedPolicies":[{"PolicyName":"Deployers"}]}],
			"UserDetailList": [
				{"Arn":"USERalice","GroupList":["ops"]},
				{"Arn":"USERteam/bob","AttachedManagedPolicies":[{"PolicyName":"Good"}],"PermissionsBoundary":{"PermissionsBoundaryArn":"POLICYDeployers"}},
				{"Arn":"USERcarol","AttachedManagedPolicies":[{"PolicyName":"Good"}]}]}`, `
refused policy Deployers
  not done: new document
  because Policy Document: Statement[0].Action (byte 41): action is neither * nor of the form service:Name, with wildcards in the name alone
create policy Good
refused group ops
  not done: inline policy tagging removed
  because Policy Deployers: is refused, and so is what refers to it
refused user alice
  not done: leave group readers
  not done: tag cost centre removed
  not done: tag email removed
  because Group ops: is refused, and so is what refers to it
refused user team/bob
  not done: inline policy own-stack removed
  not done: detach Deployers
  because Policy Deployers: is refused, and so is what refers to it
update user carol
  detach AWSOpsWorks_FullAccess
  attach Good
`},
		"malformed-inline": {`{"UserDetailList":[{"Arn":"USERnew","UserPolicyList":[{"PolicyName":"p","PolicyDocument":"%7B"}]}]}`,
			"refused user new\n  because Inline policy p: document (byte 0): not JSON, or more than one JSON value\n"},
		"missing-policy": {`{"UserDetailList":[{"Arn":"USERnew","AttachedManagedPolicies":[{"PolicyName":"Nowhere","PolicyArn":"POLICYx/Nowhere"}]}]}`,
			"refused user new\n  because Policy Nowhere: is neither in the file nor stored\n"},
		"missing-group": {`{"UserDetailList":[{"Arn":"USERnew","GroupList":["nowhere"]}]}`,
			"refused user new\n  because Group nowhere: is neither in the file nor stored\n"},
		"two-of-a-name": {`{"Policies":[
			{"Arn":"arn:aws:iam::123456789012:policy/a/P","PolicyVersionList":[{"IsDefaultVersion":true,"Document":ALLOW}]},
			{"Arn":"arn:aws:iam::999999999999:policy/p","PolicyVersionList":[{"IsDefaultVersion":true,"Document":WIDE}]}]}`,
			"refused policy P\n  because Policy p: two policies of the file have this name and different documents\n"},
		"two-of-a-name-alike": {`{"Policies":[
			{"Arn":"arn:aws:iam::123456789012:policy/a/P","PolicyVersionList":[{"IsDefaultVersion":true,"Document":ALLOW}]},
			{"Arn":"arn:aws:iam::999999999999:policy/P","PolicyVersionList":[{"IsDefaultVersion":true,"Document":ALLOW}]}],
			"UserDetailList":[{"Arn":"USERnew","AttachedManagedPolicies":[{"PolicyArn":"arn:aws:iam::999999999999:policy/P"}]}]}`,
			"create policy P\ncreate user new\n  login name new (uid 20003)\n  attach P\n"},
		"another-of-that-name": {`{"Policies":[{"Arn":"POLICYP","PolicyVersionList":[{"IsDefaultVersion":true,"Document":ALLOW}]}],
			"UserDetailList":[{"Arn":"USERnew","AttachedManagedPolicies":[{"PolicyArn":"arn:aws:iam::aws:policy/P"}]}]}`,
			"create policy P\nrefused user new\n  because Policy P: is meant, and the file has another policy of that name\n"},
		"own-policy-with-a-built-in-name": {`{"Policies":[{"Arn":"POLICYlatchkeyfullaccess","PolicyVersionList":[{"IsDefaultVersion":true,"Document":ALLOW}]}],
			"UserDetailList":[{"Arn":"USERnew","AttachedManagedPolicies":[{"PolicyArn":"POLICYLatchkeyFullAccess"}]}]}`,
			"refused policy LatchkeyFullAccess\n  because Policy LatchkeyFullAccess: is the name of a built-in policy, and the file's is another one\n" +
				"refused user new\n  because Policy LatchkeyFullAccess: is the name of a built-in policy, and the file's is another one\n"},
		"no-default-version": {`{"Policies":[{"PolicyName":"P","PolicyVersionList":[{"Document":ALLOW}]}]}`,
			"refused policy P\n  because Policy Version List: one version, and only one, must be the default\n"},
		"large-managed": {`{"Policies":[{"PolicyName":"P","PolicyVersionList":[{"IsDefaultVersion":true,"Document":` + inline(iam.MaxManaged) + `}]}]}`,
			"refused policy P\n  because Policy Document: is longer than 6144 characters without white space\n"},
		"large-inline": {`{"UserDetailList":[{"Arn":"USERcarol","UserPolicyList":[{"PolicyName":"p","PolicyDocument":` + inline(1000) + `},{"PolicyName":"q","PolicyDocument":` + inline(1000) + `}]}]}`,
			"refused user carol\n  not done: detach AWSOpsWorks_FullAccess\n  because Policy Document: the inline policies of the user are longer than 2048 characters together, without white space; a managed policy has more room\n"},
		"large-inline-group": {`{"GroupDetailList":[{"GroupName":"g","GroupPolicyList":[{"PolicyName":"p","PolicyDocument":` + inline(5100) + `}]}]}`,
			"refused group g\n  because Policy Document: the inline policies of the group are longer than 5120 characters together, without white space; a managed policy has more room\n"},
		"eleven-attached": {`{"GroupDetailList":[{"GroupName":"g","AttachedManagedPolicies":[` + strings.Join(eleven, ",") + `]}]}`,
			"refused group g\n  because Attached Managed Policies: more than 10 are attached\n"},
		"eleven-groups": {`{"UserDetailList":[{"Arn":"USERnew","GroupList":["a","b","c","d","e","f","g","h","i","j","k"]}]}`,
			"refused user new\n  because Group List: the user is in more than 10\n"},
		"twice": {`{"UserDetailList":[{"Arn":"USERnew"},{"Arn":"USERnew"}],"GroupDetailList":[{"GroupName":"g"},{"GroupName":"G"}]}`,
			"create group g\nrefused group G\n  because G: is in the file twice\ncreate user new\n  login name new (uid 20003)\nrefused user new\n  because " + arn("new") + ": is in the file twice\n"},
		"inline-twice": {`{"UserDetailList":[{"Arn":"USERnew","UserPolicyList":[{"PolicyName":"p","PolicyDocument":ALLOW},{"PolicyName":"p","PolicyDocument":WIDE}]}]}`,
			"refused user new\n  because Inline policy p: is in the file twice\n"},
		"no-arn":      {`{"UserDetailList":[{}]}`, "refused user \"\"\n  because Iam User Arn: not the ARN of an IAM user, a federated user, an assumed role or an account root\n"},
		"odd-arn":     {`{"UserDetailList":[{"Arn":"a\u001b[2Jb"}]}`, "refused user \"a\\x1b[2Jb\"\n  because Iam User Arn: not the ARN of an IAM user, a federated user, an assumed role or an account root\n"},
		"group-name":  {`{"GroupDetailList":[{"GroupName":"a b"}]}`, "refused group \"a b\"\n  because Group Name: is not 1 to 128 of A-Z a-z 0-9 + = , . @ _ -\n"},
		"policy-name": {`{"Policies":[{"PolicyName":"a b"}]}`, "refused policy \"a b\"\n  because Policy Name: is not 1 to 128 of A-Z a-z 0-9 + = , . @ _ -\n"},
		"policy-arn": {`{"UserDetailList":[{"Arn":"USERnew","AttachedManagedPolicies":[{"PolicyName":"A","PolicyArn":"POLICYB"}]}]}`,
			"refused user new\n  because Policy Arn: is not the ARN of a policy, or of one with another name than the one beside it\n"},
		"boundary-arn": {`{"UserDetailList":[{"Arn":"USERnew","PermissionsBoundary":{"PermissionsBoundaryArn":"Deployers"}}]}`,
			"refused user new\n  because Policy Arn: is not the ARN of a policy, or of one with another name than the one beside it\n"},
		"tag-case": {`{"UserDetailList":[{"Arn":"USERnew","Tags":[{"Key":"a","Value":""},{"Key":"A","Value":""}]}]}`, refusedTags},
		"tag-key":  {`{"UserDetailList":[{"Arn":"USERnew","Tags":[{"Key":"","Value":"v"}]}]}`, refusedTags},
		"tag-long": {`{"UserDetailList":[{"Arn":"USERnew","Tags":[{"Key":"k","Value":` + long(257) + `}]}]}`, refusedTags},
		"tag-text": {`{"UserDetailList":[{"Arn":"USERnew","Tags":[{"Key":"k","Value":"a;b"}]}]}`, refusedTags},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlane(t)
			first := listing(t)
			first.Apply = true
			p.importIam(t, p.admin, first)
			req := decoded(t, tc.file)
			expectSaid(t, p.importIam(t, p.admin, req), tc.want)
		})
	}
}

const refusedTags = "refused user new\n  because Tags: not more than 50, each key once in any case, 1 to 128 characters, each value up to 256, of letters, numbers, spaces and _ . : / = + - @\n"

// A refused user is as before, to the last tag.
func TestImportIam_Wholly(t *testing.T) {
	p := newPlane(t)
	first := listing(t)
	first.Apply = true
	p.importIam(t, p.admin, first)
	before := p.holdings(t, "alice")
	p.importIam(t, p.admin, decoded(t, `{"UserDetailList":[{"Arn":"USERalice","Tags":[{"Key":"k","Value":"v"}],
		"UserPolicyList":[{"PolicyName":"p","PolicyDocument":ALLOW}],"GroupList":["nowhere"]}]}`))
	if diff := cmp.Diff(before, p.holdings(t, "alice")); diff != "" {
		t.Error(diff)
	}
}

func (p *plane) holdings(t *testing.T, user string) (h store.Holdings) {
	t.Helper()
	err := p.cfg.Store.Read(t.Context(), func(v store.View) error {
		u, err := v.UserByARN(t.Context(), must(authz.ParseARN(arn(user))))
		if err != nil {
			return err
		}
		h, err = v.Holdings(t.Context(), u.ID)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// Nobody takes from himself the right to import, also not through a group or a
// policy, and the others go on.
func TestImportIam_OwnRight(t *testing.T) {
	const lost = "  because the change would take from the caller the right to undo it; somebody else who has LatchkeyFullAccess may\n"
	p := newPlane(t)
	expectSaid(t, p.importIam(t, p.admin, decoded(t, `{"UserDetailList":[{"Arn":"USERadmin"},{"Arn":"USERnew"}]}`)),
		"refused user admin\n  not done: detach LatchkeyFullAccess\n"+lost+"create user new\n  login name new (uid 20000)\n")
	p.importIam(t, p.admin, decoded(t, `{
		"Policies":[{"PolicyName":"All","PolicyVersionList":[{"IsDefaultVersion":true,"Document":WIDE}]}],
		"GroupDetailList":[{"GroupName":"admins","AttachedManagedPolicies":[{"PolicyName":"All"}]}],
		"UserDetailList":[{"Arn":"USERadmin","GroupList":["admins"]}]}`))
	for name, tc := range map[string]struct{ file, want string }{
		"policy": {`{"Policies":[{"PolicyName":"All","PolicyVersionList":[{"IsDefaultVersion":true,"Document":ALLOW}]}]}`, "refused policy All\n  not done: new document\n" + lost},
		"group":  {`{"GroupDetailList":[{"GroupName":"admins"}]}`, "refused group admins\n  not done: detach All\n" + lost},
		"user":   {`{"UserDetailList":[{"Arn":"USERadmin","GroupList":["admins"],"PermissionsBoundary":{"PermissionsBoundaryArn":"arn:aws:iam::aws:policy/LatchkeyReadOnly"}}]}`, "refused user admin\n  not done: boundary LatchkeyReadOnly\n" + lost},
	} {
		t.Run(name, func(t *testing.T) { expectSaid(t, p.importIam(t, p.admin, decoded(t, tc.file)), tc.want) })
	}
}

// Requirement R112 in part: nobody imports for himself or others what he may not do.
func TestImportIam_GivesNoMore(t *testing.T) {
	const beyond = "  because User: arn:aws:iam::123456789012:user/clerk is refused: the change would give more than the caller may do; who has LatchkeyFullAccess may\n"
	const clerk = `{"PolicyName":"clerk","PolicyDocument":{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["latchkey:ImportIam","opsworks:Describe*"],"Resource":"*"}]}}`
	for name, tc := range map[string]struct{ file, want string }{
		"within":          {`{"UserDetailList":[{"Arn":"USERnew","UserPolicyList":[{"PolicyName":"p","PolicyDocument":ALLOW}]}]}`, "create user new\n  login name new (uid 20002)\n  inline policy p new\n"},
		"inline":          {`{"UserDetailList":[{"Arn":"USERnew","UserPolicyList":[{"PolicyName":"p","PolicyDocument":WIDE}]}]}`, "refused user new\n" + beyond},
		"attached":        {`{"UserDetailList":[{"Arn":"USERnew","AttachedManagedPolicies":[{"PolicyName":"LatchkeyFullAccess"}]}]}`, "refused user new\n" + beyond},
		"own":             {`{"UserDetailList":[{"Arn":"USERclerk","UserPolicyList":[` + clerk + `],"AttachedManagedPolicies":[{"PolicyName":"LatchkeyFullAccess"}]}]}`, "refused user clerk\n" + beyond},
		"by-group":        {`{"UserDetailList":[{"Arn":"USERclerk","UserPolicyList":[` + clerk + `],"GroupList":["admins"]}]}`, "refused user clerk\n" + beyond},
		"managed":         {`{"Policies":[{"PolicyName":"P","PolicyVersionList":[{"IsDefaultVersion":true,"Document":WIDE}]}]}`, "refused policy P\n" + beyond},
		"group":           {`{"GroupDetailList":[{"GroupName":"g","GroupPolicyList":[{"PolicyName":"p","PolicyDocument":WIDE}]}]}`, "refused group g\n" + beyond},
		"group-attached":  {`{"GroupDetailList":[{"GroupName":"g","AttachedManagedPolicies":[{"PolicyName":"LatchkeyFullAccess"}]}]}`, "refused group g\n" + beyond},
		"lifts-a-deny":    {`{"Policies":[{"PolicyName":"Not","PolicyVersionList":[{"IsDefaultVersion":true,"Document":ALLOW}]}]}`, "refused policy Not\n  not done: new document\n" + beyond},
		"lifts-a-bound":   {`{"UserDetailList":[{"Arn":"USERbound","AttachedManagedPolicies":[{"PolicyName":"LatchkeyFullAccess"}]}]}`, "refused user bound\n  not done: detach Not\n" + beyond},
		"boundary-within": {`{"UserDetailList":[{"Arn":"USERnew","PermissionsBoundary":{"PermissionsBoundaryArn":"arn:aws:iam::aws:policy/LatchkeyReadOnly"}}]}`, "create user new\n  login name new (uid 20002)\n  boundary LatchkeyReadOnly\n"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlane(t)
			made := p.importIam(t, p.admin, decoded(t, `{
				"Policies":[{"PolicyName":"Not","PolicyVersionList":[{"IsDefaultVersion":true,"Document":{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}}]}],
				"GroupDetailList":[{"GroupName":"admins","AttachedManagedPolicies":[{"PolicyName":"LatchkeyFullAccess"}]}],
				"UserDetailList":[{"Arn":"USERclerk","UserPolicyList":[`+clerk+`]},
					{"Arn":"USERbound","AttachedManagedPolicies":[{"PolicyName":"LatchkeyFullAccess"},{"PolicyName":"Not"}],
					 "PermissionsBoundary":{"PermissionsBoundaryArn":"arn:aws:iam::aws:policy/LatchkeyReadOnly"}}]}`))
			if made.Refused != 0 {
				t.Fatal(said(made))
			}
			expectSaid(t, p.importIam(t, as("clerk"), decoded(t, tc.file)), tc.want)
		})
	}
}
