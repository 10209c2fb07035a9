package controlplane_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/authz"
	"latchkey/authz/wire"
	"latchkey/controlplane"
)

const (
	usedOne   = "SHA256:KtlQW48/m9hEnX+ODgbF5JQUTSUfQBSo1T+Fb+WQQ5w" // of keyOne
	usedOther = "SHA256:fe85JkIjo8VPe+XqXJGH5Mau1EMFdK1OdKvJUFicyA8"
)

// carried sends a report on the newest serial that carries something.
func (p *plane) carried(t *testing.T, instance, stack string, uses []wire.Use, in wire.Inventory) {
	t.Helper()
	r := wire.Report{Epoch: 1, Serial: p.serial(t, stack), Uses: uses, Inventory: in, Facts: facts}
	if err := p.Report(t.Context(), must(authz.ParseInstanceID(instance)), r); err != nil {
		t.Fatal(err)
	}
}

func use(name, fingerprint string, at time.Duration) wire.Use {
	return wire.Use{Name: name, Fingerprint: fingerprint, At: wire.FormatTime(noon.Add(at)), Proved: true}
}

// lastUses prints when users were seen, and the keys of each.
func (p *plane) lastUses(t *testing.T, since string) string {
	t.Helper()
	out, err := p.ListLastUses(t.Context(), p.admin, controlplane.ListLastUsesRequest{UnusedSince: since})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, u := range out.Users {
		fmt.Fprintf(&b, "%s %s:", strings.TrimPrefix(u.IamUserArn, arn("")), u.LastLoginAt)
		for _, k := range u.Keys {
			fmt.Fprintf(&b, " (%s %.10s %s)", k.Type, k.Fingerprint, k.LastUsedAt)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// TestReport_Uses: an instance is believed about who has a grant on its stack, never
// later than now, and only ever forwards; and it is shown where people are shown.
func TestReport_Uses(t *testing.T) {
	p := newPlane(t)
	for name, key := range map[string]string{"alice": keyOne, "bob": keyTwo, "carol": "", "dave": "", "erin": ""} {
		p.user(t, name, key)
	}
	web, db := p.stack(t, "web"), p.stack(t, "db")
	p.grant(t, web, "alice", "show", true, false)
	p.grant(t, db, "bob", "show", true, false)   // of another stack
	p.grant(t, web, "carol", "deny", true, true) // has none
	_, err := p.SetPermission(t.Context(), p.admin, controlplane.SetPermissionRequest{StackId: web, IamUserArn: arn("dave"), AllowSsh: ptr(true), ExpiresAt: ptr("2026-03-01T13:00:00Z")})
	expectError(t, err, "", "")
	one, _ := p.instance(t, web)
	two, _ := p.instance(t, web)
	p.pass(2 * time.Hour) // dave's has ended
	p.carried(t, one, web, []wire.Use{
		use("alice", usedOne, time.Minute), use("alice", "", -time.Hour), use("bob", usedOther, 0), use("carol", "", 0), use("dave", usedOther, 0),
		use("nobody", "", 0), use("root", "", 0), use("../x", "", 0), use("erin", "", 0),
		{Name: "alice", Fingerprint: usedOther, At: "soon"}, {Name: "alice", Fingerprint: "SHA256:\x1b[2J", At: wire.FormatTime(noon)},
	}, wire.Inventory{})
	p.carried(t, one, web, []wire.Use{use("alice", usedOne, 0)}, wire.Inventory{})               // older than what is known
	p.carried(t, two, web, []wire.Use{use("alice", usedOther, 100*time.Hour)}, wire.Inventory{}) // of a clock that is wrong
	want := "admin :\n" +
		"alice 2026-03-01T14:00:00+00:00: (ssh-ed25519 SHA256:Ktl 2026-03-01T12:01:00+00:00) (  2026-03-01T11:00:00+00:00) ( SHA256:fe8 2026-03-01T14:00:00+00:00)\n" +
		"bob : (ssh-ed25519 SHA256:gne )\ncarol :\ndave 2026-03-01T12:00:00+00:00: ( SHA256:fe8 2026-03-01T12:00:00+00:00)\nerin :\n"
	if diff := cmp.Diff(want, p.lastUses(t, "")); diff != "" {
		t.Errorf("last uses (-want +got):\n%s", diff)
	}
	if got := p.lastUses(t, "2026-03-01T13:00:00Z"); strings.Contains(got, "alice") || !strings.Contains(got, "dave") || !strings.Contains(got, "erin :") {
		t.Errorf("unused since:\n%s", got)
	}
	shown := p.holds(t, "alice")
	if diff := cmp.Diff([]controlplane.SshKeyUse{
		{Type: "ssh-ed25519", Fingerprint: usedOne, LastUsedAt: "2026-03-01T12:01:00+00:00", InstanceId: one, Hostname: "web-1", Proved: true},
		{Fingerprint: usedOther, LastUsedAt: "2026-03-01T14:00:00+00:00", InstanceId: two, Hostname: "web-1", Proved: true},
		{LastUsedAt: "2026-03-01T11:00:00+00:00", InstanceId: one, Hostname: "web-1", Proved: true},
	}, shown.SshKeys); diff != "" || shown.LastLoginAt != "2026-03-01T14:00:00+00:00" {
		t.Errorf("last login %s; keys (-want +got):\n%s", shown.LastLoginAt, diff)
	}
	e := p.explained(t, p.admin, web, "alice")
	if e.Keys[0].LastUsedAt != "2026-03-01T12:01:00+00:00" || !strings.Contains(strings.Join(e.Lines, "\n"), "last seen to log in at 2026-03-01T14:00:00") {
		t.Errorf("explained: %+v", e)
	}
	access := must(p.ListAccess(t.Context(), p.admin, controlplane.ListAccessRequest{StackId: web})).Access
	of := must(p.ListAccess(t.Context(), p.admin, controlplane.ListAccessRequest{IamUserArn: arn("alice")})).Access
	if len(access) != 1 || access[0].LastLoginAt != "2026-03-01T14:00:00+00:00" || len(of) != 1 || of[0].LastLoginAt != access[0].LastLoginAt {
		t.Errorf("access %+v, of alice %+v", access, of)
	}
	_, err = p.ListLastUses(t.Context(), p.admin, controlplane.ListLastUsesRequest{UnusedSince: "90d"})
	expectError(t, err, controlplane.Invalid, "Unused Since: is not a time like 2026-08-01T22:53:42Z")
	_, err = p.ListLastUses(t.Context(), as("alice"), controlplane.ListLastUsesRequest{})
	expectError(t, err, controlplane.Denied, denial(p, "alice", "latchkey:ListLastUses", "*", ""))
}

// TestReport_OnlyCarries: a report that says again what an instance did is no receipt
// when it was sent for something else, so that receipts are not pushed out; one that
// says anything new is.
func TestReport_OnlyCarries(t *testing.T) {
	p := newPlane(t)
	p.user(t, "alice", keyOne)
	web := p.stack(t, "web")
	p.grant(t, web, "alice", "show", true, false)
	instance, _ := p.instance(t, web)
	id := must(authz.ParseInstanceID(instance))
	bad := wire.Result{What: "write file x", Error: "disk full"}
	send := func(r wire.Report) int {
		t.Helper()
		r.Epoch, r.Serial, r.Facts = 1, p.serial(t, web), facts
		p.pass(time.Second)
		if err := p.Report(t.Context(), id, r); err != nil {
			t.Fatal(err)
		}
		return len(p.receipts(t, id))
	}
	if n := send(wire.Report{Steps: []wire.Result{{What: "create account alice (uid 20000)"}, bad}}); n != 1 {
		t.Fatalf("%d receipts", n)
	}
	if n := send(wire.Report{Steps: []wire.Result{bad}, Uses: []wire.Use{use("alice", usedOne, 0)}}); n != 1 {
		t.Errorf("after a report that says the same: %d receipts", n)
	}
	if body := string(p.receipts(t, id)[0].Body); strings.Contains(body, "SHA256") || !strings.Contains(body, "create account") {
		t.Errorf("the receipt is %s", body)
	}
	if n := send(wire.Report{Uses: []wire.Use{use("alice", usedOne, 1)}}); n != 2 {
		t.Errorf("after one that says it was mended: %d receipts", n)
	}
	if n := send(wire.Report{Uses: []wire.Use{use("alice", usedOne, 2)}, Refused: []wire.Result{{What: "alice"}}}); n != 3 {
		t.Errorf("after one that refuses somebody: %d receipts", n)
	}
}

// TestDescribeUnmanagedAccess: what an instance says is bounded and printable, the last
// one counts, and who may not ask learns nothing.
func TestDescribeUnmanagedAccess(t *testing.T) {
	p := newPlane(t)
	web := p.stack(t, "web")
	instance, _ := p.instance(t, web)
	ask := func() controlplane.DescribeUnmanagedAccessResponse {
		t.Helper()
		out, err := p.DescribeUnmanagedAccess(t.Context(), p.admin, controlplane.DescribeUnmanagedAccessRequest{InstanceId: instance})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	nothing := controlplane.DescribeUnmanagedAccessResponse{InstanceId: instance, Access: []controlplane.UnmanagedAccess{}}
	if diff := cmp.Diff(nothing, ask()); diff != "" {
		t.Errorf("before a report (-want +got):\n%s", diff)
	}
	p.carried(t, instance, web, nil, wire.Inventory{})
	if diff := cmp.Diff(nothing, ask()); diff != "" {
		t.Errorf("after a report without (-want +got):\n%s", diff)
	}
	in := wire.Inventory{At: wire.FormatTime(noon.Add(time.Hour)), More: -1, Entries: []wire.Unmanaged{
		{Kind: wire.UnmanagedKey, Account: "deby", Place: "/home/deby/.ssh/authorized_keys", What: "ssh-ed25519 " + usedOne},
		{Kind: "command", Account: "x"},
		{Kind: wire.UnmanagedSudo, Account: "%wheel\x1b[2J\u202e", What: strings.Repeat("é", 1000)},
	}}
	p.carried(t, instance, web, nil, in)
	want := controlplane.DescribeUnmanagedAccessResponse{InstanceId: instance, TakenAt: "2026-03-01T12:00:00+00:00", Access: []controlplane.UnmanagedAccess{
		{Kind: "key", Account: "deby", Place: "/home/deby/.ssh/authorized_keys", What: "ssh-ed25519 " + usedOne},
		{Kind: "sudo_rule", Account: "%wheel[2J", What: strings.Repeat("é", 127)},
	}}
	if diff := cmp.Diff(want, ask()); diff != "" {
		t.Errorf("after one with (-want +got):\n%s", diff)
	}
	in.Entries = make([]wire.Unmanaged, 5000)
	for i := range in.Entries {
		in.Entries[i].Kind = wire.UnmanagedRoot
	}
	in.More = 7
	p.carried(t, instance, web, nil, in)
	if got := ask(); len(got.Access) != wire.MaxUnmanaged || got.More != 4007 {
		t.Errorf("of very many: %d and %d more", len(got.Access), got.More)
	}
	p.user(t, "sees")
	p.grant(t, web, "sees", "show", false, false)
	_, err := p.DescribeUnmanagedAccess(t.Context(), as("sees"), controlplane.DescribeUnmanagedAccessRequest{InstanceId: instance})
	expectError(t, maskID(err, instance), controlplane.Denied, denial(p, "sees", "latchkey:DescribeUnmanagedAccess", "instance", web))
	_, err = p.DescribeUnmanagedAccess(t.Context(), p.admin, controlplane.DescribeUnmanagedAccessRequest{InstanceId: "x"})
	expectError(t, err, controlplane.Invalid, "Instance Id: id is not a lower-case UUID")
}
