package controlplane_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/authz"
	"latchkey/controlplane"
)

func (p *plane) importUsers(t *testing.T, who controlplane.Caller, profiles ...controlplane.ImportedProfile) controlplane.ImportOutcome {
	t.Helper()
	out, err := p.ImportUsers(t.Context(), who, controlplane.ImportUsersRequest{UserProfiles: profiles, Apply: true})
	if err != nil {
		t.Fatal(err)
	}
	return out.ImportOutcome
}

func profile(name, login, key string) controlplane.ImportedProfile {
	return controlplane.ImportedProfile{IamUserArn: arn(name), SshUsername: login, SshPublicKey: key}
}

const (
	printOne = "key ssh-ed25519 SHA256:KtlQW48/m9hEnX+ODgbF5JQUTSUfQBSo1T+Fb+WQQ5w"
	printTwo = "key ssh-ed25519 SHA256:gneRlEbUhVdAiookCDOWdij0y14nrfpsWNldIWb/qqE"
)

// A new user comes as he was elsewhere; the same again changes nothing.
func TestImportUsers(t *testing.T) {
	p := newPlane(t)
	p.stack(t, "web")
	req := controlplane.ImportUsersRequest{UserProfiles: []controlplane.ImportedProfile{
		{IamUserArn: arn("alice"), SshUsername: "Al.Ice", SshPublicKey: keyOne, AllowSelfManagement: true}, profile("bare", "", ""),
		profile("alice2", "alice", ""), profile("eve", "eve", keyOne), profile("r", "root", ""), profile("k", "k", "ssh-rsa AAAA"),
		{IamUserArn: "alice"}, profile("bare", "bare", ""),
	}}
	const want = `
create user alice
  login name alice (uid 20000)
  ` + printOne + `
  self-management
create user bare
refused user alice2
  because Ssh Username: alice is already taken
refused user eve
  because Ssh Public Key: is already in use
refused user r
  because Ssh Username: name is reserved by the system
refused user k
  because Ssh Public Key: a part of the key is missing, left over or of the wrong length
refused user "alice"
  because Iam User Arn: not the ARN of an IAM user, a federated user, an assumed role or an account root
refused user bare
  because arn:aws:iam::123456789012:user/bare: is in the file twice
`
	plan, err := p.ImportUsers(t.Context(), p.admin, req)
	if err != nil {
		t.Fatal(err)
	}
	expectSaid(t, plan.ImportOutcome, want)
	if n := p.rows(t, "users"); n != 1 {
		t.Errorf("%d users after a plan", n)
	}
	expectSaid(t, p.importUsers(t, p.admin, req.UserProfiles...), want)
	expectSaid(t, p.importUsers(t, p.admin, req.UserProfiles[:2]...), "")
	for _, perm := range p.permissions(t, controlplane.DescribePermissionsRequest{IamUserArn: arn("alice")}) {
		if perm.Level != "iam_only" || perm.AllowSsh {
			t.Errorf("%+v", perm)
		}
	}
}

// A uid that the file names is kept, so that accounts that are there already stay whose
// they are; but none that was ever given out (requirement R21 in part).
func TestImportUsers_UnixUID(t *testing.T) {
	p := newPlane(t)
	p.user(t, "bob", keyTwo) // 20000
	uid := func(name, login string, uid int64) controlplane.ImportedProfile {
		i := profile(name, login, "")
		i.UnixUid = &uid
		return i
	}
	expectSaid(t, p.importUsers(t, p.admin, uid("alice", "alice", 2001), uid("carol", "carol", 2001), uid("dave", "dave", 20000),
		uid("erin", "erin", 999), uid("frank", "frank", -1), uid("grace", "grace", 60000), uid("heidi", "", 2002)), `
create user alice
  login name alice (uid 2001)
refused user carol
  because Unix Uid: is or was another user's, or this one's under another login name
refused user dave
  because Unix Uid: is or was another user's, or this one's under another login name
refused user erin
  because Unix Uid: uid is outside 1000-59999
refused user frank
  because Unix Uid: uid is outside 1000-59999
refused user grace
  because Unix Uid: uid is outside 1000-59999
refused user heidi
  because Unix Uid: there is no login name that it goes with
`)
	expectSaid(t, p.importUsers(t, p.admin, uid("alice", "alice", 2001)), "")
	expectSaid(t, p.importUsers(t, p.admin, uid("alice", "alice", 2005)), `
update user alice
  login name alice (uid 2005) instead of alice
`)
	expectSaid(t, p.importUsers(t, p.admin, uid("alice", "alice", 2001)), `
refused user alice
  because Unix Uid: is or was another user's, or this one's under another login name
`)
	expectSaid(t, p.importUsers(t, p.admin, profile("judy", "judy", "")), `
create user judy
  login name judy (uid 20001)
`)
}

// Who is there and is different is replaced, and comes with no permission but a deny.
func TestImportUsers_Replaces(t *testing.T) {
	p := newPlane(t)
	web, db, quiet := p.stack(t, "web"), p.stack(t, "db"), p.stack(t, "quiet")
	p.user(t, "alice", keyOne)
	p.grant(t, web, "alice", "manage", true, true)
	p.grant(t, db, "alice", "deny", true, false)
	p.grant(t, quiet, "alice", "show", false, false)
	before := map[string]int64{web: p.serial(t, web), db: p.serial(t, db), quiet: p.serial(t, quiet)}

	expectSaid(t, p.importUsers(t, p.admin, profile("alice", "alice", keyOne)), "")
	if serial := p.serial(t, web); serial != before[web] {
		t.Errorf("serial %d after nothing changed", serial)
	}
	changed := p.Changed(must(authz.ParseStackID(web)))
	expectSaid(t, p.importUsers(t, p.admin, profile("alice", "al", keyTwo)), `
update user alice
  login name al (uid 20001) instead of alice
  `+printOne+` removed
  `+printTwo+`
  permissions become iam_only (stacks: 2)
  deny stays, without SSH and sudo (stacks: 1)
`)
	select {
	case <-changed:
	default:
		t.Error("nobody who waits for the stack was told")
	}
	for stack, want := range map[string]controlplane.Permission{
		web: {Level: "iam_only"}, db: {Level: "deny"}, quiet: {Level: "iam_only"},
	} {
		want.StackId, want.IamUserArn = stack, arn("alice")
		got := p.permissions(t, controlplane.DescribePermissionsRequest{StackId: stack, IamUserArn: arn("alice")})
		if !cmp.Equal(got[0], want) {
			t.Errorf("got %+v, want %+v", got[0], want)
		}
		if raised := p.serial(t, stack) - before[stack]; raised != 0 && stack != web || raised != 1 && stack == web {
			t.Errorf("serial of %+v raised by %d", want, raised)
		}
	}
	if _, b := p.bundle(t, web); len(b.Users) != 0 {
		t.Errorf("%+v may still enter", b.Users)
	}
	expectSaid(t, p.importUsers(t, p.admin, profile("alice", "", "")), `
update user alice
  login name al removed
  `+printTwo+` removed
  deny stays, without SSH and sudo (stacks: 1)
`)
}

// Nobody replaces himself, nor lets himself in as somebody else (requirement R112 in
// part).
func TestImportUsers_Rights(t *testing.T) {
	p := newPlane(t)
	web, other := p.stack(t, "web"), p.stack(t, "other")
	p.importIam(t, p.admin, decoded(t, `{"UserDetailList":[{"Arn":"USERclerk","UserPolicyList":[{"PolicyName":"clerk",
		"PolicyDocument":{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"latchkey:ImportUsers","Resource":"*"}]}}]}]}`))
	p.user(t, "alice", keyOne)
	p.grant(t, web, "alice", "show", true, false)

	expectSaid(t, p.importUsers(t, p.admin, profile("admin", "boss", "")),
		"refused user admin\n  because the caller's own profile would be replaced, and own permissions end; somebody else may do it\n")
	expectSaid(t, p.importUsers(t, p.admin, profile("admin", "", "")), "")

	const beyond = `
refused user alice
  not done: ` + printOne + ` removed
  because User: arn:aws:iam::123456789012:user/clerk is refused: the change would give more than the caller may do; who has LatchkeyFullAccess may
`
	expectSaid(t, p.importUsers(t, as("clerk"), profile("alice", "alice", keyTwo)), beyond)
	p.grant(t, other, "clerk", "manage", false, false)
	expectSaid(t, p.importUsers(t, as("clerk"), profile("alice", "alice", keyTwo)), beyond)
	p.grant(t, web, "clerk", "manage", false, false)
	expectSaid(t, p.importUsers(t, as("clerk"), profile("alice", "alice", keyTwo)), `
update user alice
  `+printOne+` removed
  `+printTwo+`
  permissions become iam_only (stacks: 1)
`)
}
