package controlplane_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/authz"
	"latchkey/authz/wire"
	"latchkey/controlplane"
)

func (p *plane) commands(t *testing.T, req controlplane.DescribeCommandsRequest) []controlplane.Command {
	t.Helper()
	out, err := p.DescribeCommands(t.Context(), p.admin, req)
	if err != nil || out.Commands == nil {
		t.Fatalf("%v, %v", out, err)
	}
	return out.Commands
}

// lines prints commands without their ids, a line each.
func lines(all []controlplane.Command) string {
	var b strings.Builder
	for _, k := range all {
		exit := "-"
		if k.ExitCode != nil {
			exit = fmt.Sprint(*k.ExitCode)
		}
		clock := func(s string) string { return strings.TrimSuffix(strings.TrimPrefix(s, "2026-03-01T"), "+00:00") }
		fmt.Fprintf(&b, "%s %s %s %s..%s\n", k.Type, k.Status, exit, clock(k.CreatedAt), clock(k.CompletedAt))
	}
	return b.String()
}

// What scripts did on the original: change a permission, take the id of the newest
// sync_remote_users, and ask for it until it is no longer pending.
func TestControlPlane_DescribeCommands(t *testing.T) {
	p := newPlane(t)
	p.user(t, "alice", keyOne)
	stack := p.stack(t, "stack")
	p.pass(time.Minute)
	id, _ := p.instance(t, stack)
	ofInstance := controlplane.DescribeCommandsRequest{InstanceId: id}
	expect := func(want string) {
		t.Helper()
		if diff := cmp.Diff(want, lines(p.commands(t, ofInstance))); diff != "" {
			t.Error(diff)
		}
	}
	expect("sync_remote_users pending - 12:01:00..\n")
	first := p.commands(t, ofInstance)[0].CommandId
	if again := p.commands(t, ofInstance)[0].CommandId; again != first {
		t.Errorf("another id each time: %s, %s", first, again)
	}
	p.pass(time.Minute)
	p.grant(t, stack, "alice", "show", true, false)
	overtaken := p.commands(t, ofInstance)[0].CommandId
	p.pass(time.Minute)
	p.grant(t, stack, "alice", "show", true, true)
	expect("sync_remote_users pending - 12:03:00..\nsync_remote_users pending - 12:02:00..\nsync_remote_users pending - 12:01:00..\n")
	waited := p.commands(t, ofInstance)[0].CommandId
	p.pass(10 * time.Second)
	p.report(t, id, stack, []wire.Result{
		{What: "create group latchkey"}, {What: "create account alice (uid 20000)"}, {What: "write file /etc/sudoers.d/90-latchkey", Error: "disk is full"},
	}, nil)
	expect(`grant_remote_access successful 0 12:03:00..12:03:10
sync_remote_users failed 1 12:03:00..12:03:10
sync_remote_users skipped - 12:02:00..12:03:10
sync_remote_users skipped - 12:01:00..12:03:10
`)
	p.pass(10 * time.Second)
	p.report(t, id, stack, []wire.Result{{What: "write file /etc/sudoers.d/90-latchkey"}}, nil)
	p.pass(10 * time.Second)
	p.report(t, id, stack, nil, nil) // nothing new
	named := p.commands(t, controlplane.DescribeCommandsRequest{CommandIds: []string{waited, overtaken}})
	if diff := cmp.Diff("sync_remote_users successful 0 12:03:00..12:03:20\nsync_remote_users skipped - 12:02:00..12:03:10\n", lines(named)); diff != "" {
		t.Error(diff)
	}
	p.pass(time.Minute)
	p.grant(t, stack, "alice", "show", false, false)
	p.pass(time.Second)
	p.report(t, id, stack, []wire.Result{{What: "end sessions of alice (uid 20000)", Error: "one stays"}, {What: "lock account alice (uid 20000)"}}, nil)
	newest := lines(p.commands(t, ofInstance)[:2])
	if diff := cmp.Diff("revoke_remote_access failed 1 12:04:30..12:04:31\nsync_remote_users failed 1 12:04:30..12:04:31\n", newest); diff != "" {
		t.Error(diff)
	}
}

// A report that nobody had asked about is a command too.
func TestControlPlane_DescribeCommands_Unseen(t *testing.T) {
	p := newPlane(t)
	stack := p.stack(t, "stack")
	id, _ := p.instance(t, stack)
	p.bundle(t, stack)
	p.pass(time.Minute)
	p.user(t, "alice", keyOne)
	p.grant(t, stack, "alice", "show", true, false) // the instance still reports on the bundle before
	if err := p.Report(t.Context(), must(authz.ParseInstanceID(id)), wire.Report{Epoch: 1, Serial: 1}); err != nil {
		t.Fatal(err)
	}
	want := "sync_remote_users pending - 12:01:00..\nsync_remote_users successful 0 12:00:00..12:01:00\n"
	if diff := cmp.Diff(want, lines(p.commands(t, controlplane.DescribeCommandsRequest{InstanceId: id}))); diff != "" {
		t.Error(diff)
	}
	if err := p.Report(t.Context(), must(authz.ParseInstanceID(id)), wire.Report{Epoch: 1, Serial: 0}); err != nil {
		t.Fatal(err)
	}
}

func TestControlPlane_DescribeCommands_KeepsAHundred(t *testing.T) {
	p := newPlane(t)
	p.user(t, "alice", keyOne)
	stack := p.stack(t, "stack")
	id, _ := p.instance(t, stack)
	for n := range 120 {
		p.grant(t, stack, "alice", "show", n%2 == 0, false)
		p.report(t, id, stack, nil, nil)
	}
	if kept := p.commands(t, controlplane.DescribeCommandsRequest{InstanceId: id}); len(kept) != 100 {
		t.Errorf("%d kept", len(kept))
	}
}

func TestControlPlane_DescribeCommands_Refuses(t *testing.T) {
	p := newPlane(t)
	p.user(t, "alice")
	id, _ := p.instance(t, p.stack(t, "stack"))
	known := p.commands(t, controlplane.DescribeCommandsRequest{InstanceId: id})[0].CommandId
	hidden := "User: " + arn("alice") + " is not authorized to perform: opsworks:DescribeCommands on resource: * because no policy and no level allows it"
	for _, tc := range []struct {
		name    string
		who     controlplane.Caller
		req     controlplane.DescribeCommandsRequest
		code    controlplane.Code
		message string
	}{
		{"deployment", p.admin, controlplane.DescribeCommandsRequest{DeploymentId: "d"}, "", ""},
		{"nothing-asked", p.admin, controlplane.DescribeCommandsRequest{}, controlplane.Invalid, "Deployment Id, Instance Id, Command Ids: one of them is required"},
		{"two-of-them", p.admin, controlplane.DescribeCommandsRequest{InstanceId: id, CommandIds: []string{known}}, controlplane.Invalid,
			"Deployment Id, Instance Id, Command Ids: only one of them can be given"},
		{"unknown", p.admin, controlplane.DescribeCommandsRequest{CommandIds: []string{noStack}}, controlplane.NotFound, "Unable to find command with ID " + noStack},
		{"malformed", p.admin, controlplane.DescribeCommandsRequest{CommandIds: []string{"x"}}, controlplane.Invalid, "Command Id: id is not a lower-case UUID"},
		{"unknown-instance", p.admin, controlplane.DescribeCommandsRequest{InstanceId: noStack}, controlplane.NotFound, "Unable to find instance with ID " + noStack},
		{"not-hers", as("alice"), controlplane.DescribeCommandsRequest{CommandIds: []string{known}}, controlplane.Denied, hidden},
		{"unknown-to-her", as("alice"), controlplane.DescribeCommandsRequest{CommandIds: []string{noStack}}, controlplane.Denied, hidden},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, err := p.DescribeCommands(t.Context(), tc.who, tc.req)
			expectError(t, err, tc.code, tc.message)
			if len(out.Commands) != 0 {
				t.Errorf("got %+v", out.Commands)
			}
		})
	}
}

// Many ask at once for what nobody has seen yet: one command.
func TestControlPlane_DescribeCommands_AtOnce(t *testing.T) {
	p := newPlane(t)
	id, _ := p.instance(t, p.stack(t, "stack"))
	answers := make(chan string, 8)
	for range cap(answers) {
		go func() {
			out, err := p.DescribeCommands(t.Context(), p.admin, controlplane.DescribeCommandsRequest{InstanceId: id})
			if err != nil || len(out.Commands) != 1 {
				t.Errorf("%+v, %v", out, err)
				answers <- ""
				return
			}
			answers <- out.Commands[0].CommandId
		}()
	}
	var all []string
	for range cap(answers) {
		all = append(all, <-answers)
	}
	if slices.Sort(all); len(slices.Compact(all)) != 1 {
		t.Errorf("ids %v", all)
	}
}
