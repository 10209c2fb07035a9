package authz_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/authz"
	"latchkey/authz/name"
)

// TestEnter holds R169 in part.
func TestEnter(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	user := newProfile(t, "alice", 20001)
	for _, c := range []struct {
		name   string
		change func(*authz.Profile, *authz.Permission)
		want   *name.Refusal
	}{
		{name: "granted", change: func(*authz.Profile, *authz.Permission) {}},
		{name: "zero-permission", change: func(_ *authz.Profile, p *authz.Permission) { *p = authz.Permission{} }, want: authz.ErrLevelDeny},
		{name: "deny-closes-machines", change: func(_ *authz.Profile, p *authz.Permission) { p.Level = authz.LevelDeny }, want: authz.ErrLevelDeny},
		{name: "no-such-level", change: func(_ *authz.Profile, p *authz.Permission) { p.Level = 5 }, want: authz.ErrLevelDeny},
		{name: "level-below-deny", change: func(_ *authz.Profile, p *authz.Permission) { p.Level = -1 }, want: authz.ErrLevelDeny},
		{name: "level-says-nothing-else", change: func(_ *authz.Profile, p *authz.Permission) { p.Level = authz.LevelManage }},
		{name: "manage-is-not-ssh", change: func(_ *authz.Profile, p *authz.Permission) { p.Level, p.AllowSSH = authz.LevelManage, false }, want: authz.ErrSSHNotAllowed},
		{name: "sudo-without-ssh", change: func(_ *authz.Profile, p *authz.Permission) { p.AllowSSH, p.AllowSudo = false, true }, want: authz.ErrSSHNotAllowed},
		{name: "ended-long-ago", change: func(_ *authz.Profile, p *authz.Permission) { p.NotAfter = now.Add(-time.Hour) }, want: authz.ErrExpired},
		{name: "ends-now", change: func(_ *authz.Profile, p *authz.Permission) { p.NotAfter = now }, want: authz.ErrExpired},
		{name: "ends-now-elsewhere", change: func(_ *authz.Profile, p *authz.Permission) { p.NotAfter = now.In(time.FixedZone("", 5*3600)) }, want: authz.ErrExpired},
		{name: "ends-in-an-instant", change: func(_ *authz.Profile, p *authz.Permission) { p.NotAfter = now.Add(time.Nanosecond) }},
		{name: "no-name", change: func(u *authz.Profile, _ *authz.Permission) { u.Username = authz.Username{} }, want: authz.ErrNoUsername},
		{name: "no-uid", change: func(u *authz.Profile, _ *authz.Permission) { u.UID = 0 }, want: authz.ErrNoUID},
		{name: "no-keys", change: func(u *authz.Profile, _ *authz.Permission) { u.Keys = nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			u, p := user, authz.Permission{User: user.ID, Level: authz.LevelIAMOnly, AllowSSH: true}
			c.change(&u, &p)
			g, err := authz.Enter(u, p, now)
			if c.want != nil {
				if err != error(c.want) || g.User != (authz.UserID{}) || g.Keys != nil || g.Sudo {
					t.Errorf("got %+v, error %v; want %v", g, err, c.want)
				}
				return
			}
			want := authz.Grant{User: u.ID, ARN: u.ARN, Username: u.Username, UID: u.UID, Keys: u.Keys, NotAfter: p.NotAfter}
			if err != nil || fmt.Sprint(g) != fmt.Sprint(want) {
				t.Errorf("got %+v, error %v; want %+v", g, err, want)
			}
		})
	}
}

func TestResolve(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	one, two := mustStack(t, "11111111-1111-4111-8111-111111111111"), mustStack(t, "22222222-2222-4222-8222-222222222222")
	alice, bob, carol, dave := newProfile(t, "alice", 20001), newProfile(t, "bob", 20002), newProfile(t, "carol", 20003), newProfile(t, "dave", 20004)
	permissions := []authz.Permission{
		{Stack: one, User: dave.ID, Level: authz.LevelShow, AllowSSH: true, NotAfter: now.Add(time.Hour)},
		{Stack: one, User: alice.ID, Level: authz.LevelIAMOnly, AllowSSH: true, AllowSudo: true},
		{Stack: two, User: alice.ID, Level: authz.LevelIAMOnly, AllowSSH: true},
		{Stack: one, User: carol.ID, Level: authz.LevelDeny, AllowSSH: true},
		{Stack: two, User: carol.ID, Level: authz.LevelIAMOnly, AllowSudo: true},
		{Stack: one, User: mustUser(t, 9), Level: authz.LevelManage, AllowSSH: true}, // of no user
	}
	users := []authz.Profile{dave, carol, bob, alice}
	want := "alice 20001 sudo\ndave 20004 until 2026-11-22T13:00:00Z\n"
	if got := printAccess(authz.Resolve(one, users, permissions, now)); got != want {
		t.Errorf("stack one:\n%swant\n%s", got, want)
	}
	if got := printAccess(authz.Resolve(two, users, permissions, now)); got != "alice 20001\n" {
		t.Errorf("stack two:\n%s", got)
	}
	if got := authz.Resolve(one, users, permissions, now).At(now.Add(time.Hour)); printAccess(got) != "alice 20001 sudo\n" || got.Stack != one {
		t.Errorf("an hour later:\n%s", printAccess(got))
	}
	if got := authz.Resolve(one, users, nil, now); len(got.Grants) != 0 || got.Stack != one {
		t.Errorf("without permissions: %+v", got)
	}
}

// TestResolve_TakingAway: no permission, flag or level that is taken away adds access,
// nor does time; and what the agent drops by itself is what the control plane
// would drop.
func TestResolve_TakingAway(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	start := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	stacks := []authz.StackID{mustStack(t, "11111111-1111-4111-8111-111111111111"), mustStack(t, "22222222-2222-4222-8222-222222222222")}
	var users []authz.Profile
	for i := range 6 {
		users = append(users, newProfile(t, "user"+fmt.Sprint(i), authz.UID(20000+i)))
	}
	entered := 0
	for range 500 {
		permissions := randomPermissions(random, stacks, users, start)
		now := start.Add(time.Duration(random.IntN(5)-2) * time.Second)
		for _, stack := range stacks {
			before := authz.Resolve(stack, users, permissions, now)
			entered += len(before.Grants)
			for i := range permissions {
				for what, less := range lesser(permissions, i) {
					contained(t, what, authz.Resolve(stack, users, less, now), before)
				}
			}
			later := now.Add(time.Duration(random.IntN(4)) * time.Second)
			contained(t, "later", authz.Resolve(stack, users, permissions, later), before)
			if dropped, asked := printAccess(before.At(later)), printAccess(authz.Resolve(stack, users, permissions, later)); dropped != asked {
				t.Fatalf("the agent is left with\n%sthe control plane says\n%s", dropped, asked)
			}
		}
	}
	if entered < 500 {
		t.Errorf("%d grants in all, which proves nothing", entered)
	}
}

func randomPermissions(random *rand.Rand, stacks []authz.StackID, users []authz.Profile, start time.Time) []authz.Permission {
	var permissions []authz.Permission
	for _, stack := range stacks {
		for _, u := range users {
			if random.IntN(4) == 0 {
				continue
			}
			p := authz.Permission{Stack: stack, User: u.ID, Level: authz.Level(random.IntN(5)), AllowSSH: random.IntN(4) > 0, AllowSudo: random.IntN(2) > 0}
			if random.IntN(2) > 0 {
				p.NotAfter = start.Add(time.Duration(random.IntN(7)-3) * time.Second)
			}
			permissions = append(permissions, p)
		}
	}
	return permissions
}

// lesser returns the permissions with one of them removed or made less in each way.
func lesser(permissions []authz.Permission, i int) map[string][]authz.Permission {
	with := func(change func(*authz.Permission)) []authz.Permission {
		less := slices.Clone(permissions)
		change(&less[i])
		return less
	}
	return map[string][]authz.Permission{
		"removed":      slices.Delete(slices.Clone(permissions), i, i+1),
		"without-ssh":  with(func(p *authz.Permission) { p.AllowSSH = false }),
		"without-sudo": with(func(p *authz.Permission) { p.AllowSudo = false }),
		"denied":       with(func(p *authz.Permission) { p.Level = authz.LevelDeny }),
		"ended":        with(func(p *authz.Permission) { p.NotAfter = time.Unix(1, 0) }),
		"emptied":      with(func(p *authz.Permission) { *p = authz.Permission{} }),
	}
}

func contained(t *testing.T, what string, less, more authz.Access) {
	t.Helper()
	all := printAccess(more)
	for line := range strings.Lines(printAccess(less)) {
		plain := strings.Replace(line, " sudo", "", 1)
		if !strings.Contains(all, line) && (line != plain || !strings.Contains(strings.ReplaceAll(all, " sudo", ""), plain)) {
			t.Fatalf("%s: has\n%swhich was not in\n%s", what, line, all)
		}
	}
}

// printAccess prints one grant a line.
func printAccess(a authz.Access) string {
	var b strings.Builder
	for _, g := range a.Grants {
		fmt.Fprintf(&b, "%s %s", g.Username, g.UID)
		if g.Sudo {
			b.WriteString(" sudo")
		}
		if !g.NotAfter.IsZero() {
			b.WriteString(" until " + g.NotAfter.Format(time.RFC3339Nano))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// TestAuthorizedKeysLine holds R2, R11, R12 and T-K31 in part.
func TestAuthorizedKeysLine(t *testing.T) {
	g := authz.Grant{Username: newProfile(t, "alice", 20001).Username}
	k := mustKey(t, "ssh-ed25519 "+keyA+` command="x"`)
	if got, want := authz.AuthorizedKeysLine(g, k), "ssh-ed25519 "+keyA+" alice"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	want := `expiry-time="20300101000000Z" ssh-ed25519 ` + keyA + " alice"
	end := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for situation, notAfter := range map[string]time.Time{
		"utc":        end,
		"kolkata":    end.In(time.FixedZone("IST", 5*3600+1800)),
		"st-johns":   end.In(time.FixedZone("NST", -3*3600-1800)),
		"sub-second": end.Add(999 * time.Millisecond), // ends early, never late
	} {
		g.NotAfter = notAfter
		if got := authz.AuthorizedKeysLine(g, k); got != want {
			t.Errorf("%s: got  %s\nwant %s", situation, got, want)
		}
		if got := authz.SudoersTime(notAfter); got != "20300101000000Z" {
			t.Errorf("%s: NOTAFTER is %s", situation, got)
		}
	}
	const restricted = `tunnel="2147483645",restrict,no-agent-forwarding,no-port-forwarding,no-user-rc,no-X11-forwarding,pty`
	g.Restricted = true
	if got, want := authz.AuthorizedKeysLine(g, k), restricted+","+want; got != want {
		t.Errorf("restricted, with an end: got  %s\nwant %s", got, want)
	}
	g.NotAfter = time.Time{}
	if got, want := authz.AuthorizedKeysLine(g, k), restricted+" ssh-ed25519 "+keyA+" alice"; got != want {
		t.Errorf("restricted: got  %s\nwant %s", got, want)
	}
}

func newProfile(t testing.TB, login string, uid authz.UID) authz.Profile {
	t.Helper()
	u, err := name.ParseUsername(login)
	if err != nil {
		t.Fatal(err)
	}
	return authz.Profile{
		ID: mustUser(t, int(uid)), ARN: mustARN(t, "arn:aws:iam::123456789012:user/"+login), Username: u, UID: uid,
		Keys: []authz.Key{mustKey(t, "ssh-ed25519 "+keyA)},
	}
}

func mustUser(t testing.TB, n int) authz.UserID {
	t.Helper()
	id, err := authz.ParseUserID(fmt.Sprintf("%08d-0000-4000-8000-000000000000", n))
	if err != nil {
		t.Fatal(err)
	}
	return id
}
