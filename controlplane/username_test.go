package controlplane_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/authz"
	"latchkey/authz/wire"
	"latchkey/controlplane"
)

// everyWay gives the names to users as login names, by every way there is into the control
// plane, each to one of his own.
func (p *plane) everyWay(t *testing.T, names []string) {
	t.Helper()
	var users []controlplane.ImportedProfile
	var iamUsers []controlplane.IamUserDetail
	for i, n := range names {
		user := func(way string) string { return arn(fmt.Sprint(way, i)) }
		// What is refused is seen by who there is in the end.
		_, _ = p.CreateUserProfile(t.Context(), p.admin, controlplane.CreateUserProfileRequest{IamUserArn: user("create-"), SshUsername: &n})
		_, _ = p.CreateUserProfile(t.Context(), p.admin, controlplane.CreateUserProfileRequest{IamUserArn: user("derive/") + "/" + n})
		if who, err := authz.ParseARN(user("first-use/") + "/" + n); err == nil {
			_, _ = p.DescribeMyUserProfile(t.Context(), controlplane.Caller{ARN: who}, controlplane.DescribeMyUserProfileRequest{})
		}
		if _, err := p.UpdateUserProfile(t.Context(), p.admin, controlplane.UpdateUserProfileRequest{IamUserArn: arn("other"), SshUsername: &n}); err == nil {
			_, err := p.UpdateUserProfile(t.Context(), p.admin, controlplane.UpdateUserProfileRequest{IamUserArn: arn("other"), SshUsername: ptr("other")})
			expectError(t, err, "", "")
		}
		users = append(users, controlplane.ImportedProfile{IamUserArn: user("users-"), SshUsername: n})
		iamUsers = append(iamUsers, controlplane.IamUserDetail{Arn: user("iam/") + "/" + n})
	}
	p.importUsers(t, p.admin, users...)
	p.importIam(t, p.admin, controlplane.ImportIamRequest{Apply: true, UserDetailList: iamUsers})
}

// logins are the login names there are, by the name of the user; nobody has one twice.
func (p *plane) logins(t *testing.T) map[string]string {
	t.Helper()
	out, err := p.DescribeUserProfiles(t.Context(), p.admin, controlplane.DescribeUserProfilesRequest{})
	expectError(t, err, "", "")
	all := map[string]string{}
	for _, u := range out.UserProfiles {
		if u.SshUsername == "" {
			continue
		}
		if who, taken := all[u.SshUsername]; taken {
			t.Errorf("%s and %s are both %s", who, u.IamUserArn, u.SshUsername)
		}
		all[u.SshUsername] = strings.TrimPrefix(u.IamUserArn, arn(""))
	}
	return all
}

// hostileLogins are names of the catalogue that are no login names. Some become one without
// what it must not hold, as the original did it.
func hostileLogins() []string {
	return []string{
		"root", "Root", "ROOT", "ALL", "all", "0", "1000", "00", "4294967295", "-dora", "--help", "-R/", "dora-", ".", "..", ".ssh", "../root",
		"a b", "a\tb", "a\nb", "dora\nroot", "a\x00b", "a\r", "$", "*", "%wheel", "#0", "#1000", "@admins", "_a", "é", "dor\u200ba", "ＤＯＲＡ", "İ", "a\xff",
		strings.Repeat("a", 32), strings.Repeat("a", 33), strings.Repeat("a", 256), strings.Repeat("a", 1<<16), "con", "nul", "com1", "lpt1", "aux",
		"administrator", "guest", "system", "none", "localhost", "Defaults", "dora ", "sudo", "systemd-resolve", "latchkey", "latchkey-keys",
		"dora ALL=ALL #", "dora ALL=(ALL) NOPASSWD: ALL\nmallory", "a/b", `a\b`, "a:b", "a,b", "a$(id)", "a`id`", "a;id", "a&b", "a'b", `a"b`, "al*", "[a]",
		"~dora", "+ng", "!dora", "a@b", "a=b", "User_Alias", "FOO", "A_1", "first.last",
	}
}

// TestUsernames_EveryWay holds R14: by whichever way it comes, a login name is of the one
// grammar and not reserved, or there is none.
func TestUsernames_EveryWay(t *testing.T) {
	p := newPlane(t)
	p.user(t, "other")
	p.everyWay(t, hostileLogins())
	grammar := regexp.MustCompile(`^[a-z][a-z0-9_-]{0,30}$`)
	logins := p.logins(t)
	for login, user := range logins {
		if !grammar.MatchString(login) || strings.HasSuffix(login, "-") || slices.Contains(hostileLogins(), login) {
			t.Errorf("%s is %q", user, login)
		}
	}
	// What the original's way of leaving out makes of them, and of the ARNs.
	want := []string{"a_1", "ab", "aid", "al", "b", "dora", "firstlast", "foo", "ng", "other", "user_alias"}
	got := slices.DeleteFunc(slices.Sorted(maps.Keys(logins)), func(login string) bool { return login == "a" || login == "ssh" })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestUsernames_LookAlikes holds R17 and T-U3 in part, there being no directories yet: of two
// names that are one in canonical form the second is refused, by whichever way it comes, and
// one that only looks alike is none. The first keeps his name and his uid.
func TestUsernames_LookAlikes(t *testing.T) {
	p := newPlane(t)
	p.user(t, "alice", keyOne)
	p.user(t, "other", keyTwo)
	stack := p.stack(t, "web")
	p.grant(t, stack, "alice", "show", true, true)
	p.grant(t, stack, "other", "show", true, false)
	_, before := p.bundle(t, stack)
	p.everyWay(t, []string{
		"alice", "Alice", "ALICE", "aLiCe", "al.ice", "a/l/i/c/e", "!alice", "alice$",
		"аlice", "alicе", "ａｌｉｃｅ", "alice\u200b", "\u202ealice", "alıce", "ALİCE", "ali\u0063\u0327e", "alice\u00a0", "alice ", "alice\x00", "alice\n",
	})
	if diff := cmp.Diff(map[string]string{"alice": "alice", "other": "other", "e": "derive/5/a/l/i/c/e"}, p.logins(t)); diff != "" {
		t.Error(diff)
	}
	_, after := p.bundle(t, stack)
	if users := after.Users; len(users) != 2 || !cmp.Equal(users[0], before.Users[0]) || users[1].Name != "other" || users[1].ID != before.Users[1].ID {
		t.Errorf("the bundle has %+v, had %+v", users, before.Users)
	}
}

// mayDo says what a user may do, and as whom he may enter the stack.
func (p *plane) mayDo(t *testing.T, stack, user string) (may string) {
	t.Helper()
	for _, c := range []struct {
		what string
		ask  func() error
	}{
		{"make", func() error {
			return onlyError(p.CreateStack(t.Context(), as(user), controlplane.CreateStackRequest{Name: "x"}))
		}},
		{"list", func() error {
			return onlyError(p.DescribeUserProfiles(t.Context(), as(user), controlplane.DescribeUserProfilesRequest{}))
		}},
		{"see", func() error {
			return onlyError(p.DescribeInstances(t.Context(), as(user), controlplane.DescribeInstancesRequest{StackId: stack}))
		}},
		{"self", func() error {
			return onlyError(p.UpdateMyUserProfile(t.Context(), as(user), controlplane.UpdateMyUserProfileRequest{SshPublicKey: ptr("")}))
		}},
	} {
		if c.ask() == nil {
			may += c.what + " "
		}
	}
	_, b := p.bundle(t, stack)
	if i := slices.IndexFunc(b.Users, func(u wire.User) bool { return u.ARN == arn(user) }); i >= 0 {
		may += fmt.Sprint("enter as ", b.Users[i].Name)
	}
	return strings.TrimSpace(may)
}

// TestRights_FollowTheID holds R17 and T-U3 in part: what a user may do is his by his id.
// It stays when he gets another login name, goes to nobody who takes the old one or who is
// shown by the same name, and is not there again for one who is made again.
func TestRights_FollowTheID(t *testing.T) {
	p := newPlane(t)
	stack := p.stack(t, "web")
	self := true
	_, err := p.CreateUserProfile(t.Context(), p.admin, controlplane.CreateUserProfileRequest{IamUserArn: arn("alice"), AllowSelfManagement: &self})
	expectError(t, err, "", "")
	p.grant(t, stack, "alice", "show", true, true)
	p.inline(t, "alice", "own", doc(allow("opsworks:CreateStack")))
	p.group(t, "listers", doc(allow("opsworks:DescribeUserProfiles")), "alice")
	key, _ := p.accessKey(t, "alice")
	want := func(user, may string) {
		t.Helper()
		if got := p.mayDo(t, stack, user); got != may {
			t.Errorf("%s may %q, want %q", user, got, may)
		}
	}
	want("alice", "make list see self enter as alice")

	rename := func(user, login string) {
		t.Helper()
		done(t)(p.UpdateUserProfile(t.Context(), p.admin, controlplane.UpdateUserProfileRequest{IamUserArn: arn(user), SshUsername: &login}))
	}
	rename("alice", "alicia")
	p.user(t, "mallory")
	rename("mallory", "alice")
	want("alice", "make list see self enter as alicia")
	want("mallory", "")
	for i, other := range []string{"team/alice", "Alice", "ALICE"} {
		login := fmt.Sprint("another", i)
		done(t)(p.CreateUserProfile(t.Context(), p.admin, controlplane.CreateUserProfileRequest{IamUserArn: arn(other), SshUsername: &login}))
		want(other, "")
	}
	want("alice", "make list see self enter as alicia")

	_, err = p.DeleteUserProfile(t.Context(), p.admin, controlplane.DeleteUserProfileRequest{IamUserArn: arn("alice")})
	expectError(t, err, "", "")
	rename("mallory", "mallory")
	p.user(t, "alice")
	want("alice", "")
	if _, err := p.Credential(t.Context(), key.AccessKeyId); err == nil {
		t.Error("the access key of before is taken")
	}
	want("mallory", "")
}

// TestGroups_MadeAgain holds R17: what a group gave is gone with it, and is not there
// again for one of the same name, in whatever case.
func TestGroups_MadeAgain(t *testing.T) {
	p := newPlane(t)
	p.user(t, "alice")
	p.group(t, "Admins", doc(allow("opsworks:*")), "alice")
	expectError(t, onlyError(p.CreateGroup(t.Context(), p.admin, controlplane.CreateGroupRequest{GroupName: "admins"})), controlplane.Invalid,
		"Group Name: Admins is already taken")
	done(t)(p.RemoveUserFromGroup(t.Context(), p.admin, controlplane.RemoveUserFromGroupRequest{GroupName: "admins", IamUserArn: arn("alice")}))
	done(t)(p.DeleteGroupPolicy(t.Context(), p.admin, controlplane.DeleteGroupPolicyRequest{GroupName: "admins", PolicyName: "rules"}))
	done(t)(p.DeleteGroup(t.Context(), p.admin, controlplane.DeleteGroupRequest{GroupName: "admins"}))
	p.group(t, "ADMINS", nil, "alice")
	if got := p.mayDo(t, p.stack(t, "web"), "alice"); got != "" {
		t.Errorf("alice may %s", got)
	}
}
