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

// report sends a report of the stack's serial from an instance.
func (p *plane) report(t *testing.T, instance, stack string, steps, refused []wire.Result) {
	t.Helper()
	err := p.Report(t.Context(), must(authz.ParseInstanceID(instance)), wire.Report{
		Epoch: 1, Serial: p.serial(t, stack), Steps: steps, Refused: refused, Facts: facts,
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestControlPlane_DescribeServiceErrors(t *testing.T) {
	p := newPlane(t)
	p.user(t, "alice")
	one, two := p.stack(t, "one"), p.stack(t, "two")
	p.grant(t, one, "alice", "show", false, false)
	a, _ := p.instance(t, one)
	b, _ := p.instance(t, two)
	list := func(req controlplane.DescribeServiceErrorsRequest) []controlplane.ServiceError {
		t.Helper()
		out, err := p.DescribeServiceErrors(t.Context(), p.admin, req)
		if err != nil || out.ServiceErrors == nil {
			t.Fatalf("%v, %v", out, err)
		}
		return out.ServiceErrors
	}
	ofA := controlplane.DescribeServiceErrorsRequest{InstanceId: a}
	step := wire.Result{What: "create account bob (uid 20000)", Error: "useradd: disk is full"}
	taken := wire.Result{What: "carol", Code: "name_taken", Error: "an account with this name is there"}

	p.report(t, a, one, []wire.Result{{What: "create group latchkey"}}, nil)
	if got := list(ofA); len(got) != 0 {
		t.Errorf("a report without faults gave %+v", got)
	}
	p.pass(time.Minute)
	for range 3 { // the same in every report is one error
		p.report(t, a, one, []wire.Result{step}, []wire.Result{taken})
		p.pass(time.Second)
	}
	got := list(ofA)
	want := []controlplane.ServiceError{
		{StackId: one, InstanceId: a, Type: "user_refused", Message: "carol: an account with this name is there", CreatedAt: "2026-03-01T12:01:00+00:00"},
		{StackId: one, InstanceId: a, Type: "step_failed", Message: "create account bob (uid 20000): useradd: disk is full", CreatedAt: "2026-03-01T12:01:00+00:00"},
	}
	for i := range got {
		if want[i].ServiceErrorId = got[i].ServiceErrorId; len(got[i].ServiceErrorId) != 36 {
			t.Errorf("id %q", got[i].ServiceErrorId)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	p.report(t, a, one, nil, []wire.Result{taken})
	p.report(t, a, one, []wire.Result{step}, []wire.Result{taken}) // mended, and there again
	if got := list(ofA); len(got) != 3 || got[0].Type != "step_failed" {
		t.Errorf("got %+v", got)
	}
	p.report(t, b, two, nil, []wire.Result{taken})
	ofB := list(controlplane.DescribeServiceErrorsRequest{StackId: two})
	shown, err := p.DescribeInstances(t.Context(), p.admin, controlplane.DescribeInstancesRequest{InstanceIds: []string{b}})
	if err != nil || shown.Instances[0].LastServiceErrorId != ofB[0].ServiceErrorId {
		t.Errorf("%+v, %v", shown, err)
	}
	hidden := "User: " + arn("alice") + " is not authorized to perform: opsworks:DescribeServiceErrors on resource: "
	why := " because no policy and no level allows it"
	for _, tc := range []struct {
		name    string
		who     controlplane.Caller
		req     controlplane.DescribeServiceErrorsRequest
		want    int
		code    controlplane.Code
		message string
	}{
		{"all", p.admin, controlplane.DescribeServiceErrorsRequest{}, 4, "", ""},
		{"all-that-she-may-see", as("alice"), controlplane.DescribeServiceErrorsRequest{}, 3, "", ""},
		{"stack", as("alice"), controlplane.DescribeServiceErrorsRequest{StackId: one}, 3, "", ""},
		{"instance", as("alice"), ofA, 3, "", ""},
		{"named", as("alice"), controlplane.DescribeServiceErrorsRequest{ServiceErrorIds: []string{got[0].ServiceErrorId, got[1].ServiceErrorId}}, 2, "", ""},
		{"other-stack", as("alice"), controlplane.DescribeServiceErrorsRequest{StackId: two}, 0, controlplane.Denied,
			denial(p, "alice", "opsworks:DescribeServiceErrors", "stack", two)},
		{"other-instance", as("alice"), controlplane.DescribeServiceErrorsRequest{InstanceId: b}, 0, controlplane.Denied,
			hidden + arnPrefix + "instance/" + b + why},
		{"other-named", as("alice"), controlplane.DescribeServiceErrorsRequest{ServiceErrorIds: []string{ofB[0].ServiceErrorId}}, 0, controlplane.Denied, hidden + "*" + why},
		{"unknown-named-by-her", as("alice"), controlplane.DescribeServiceErrorsRequest{ServiceErrorIds: []string{noStack}}, 0, controlplane.Denied, hidden + "*" + why},
		{"unknown-named", p.admin, controlplane.DescribeServiceErrorsRequest{ServiceErrorIds: []string{noStack}}, 0, controlplane.NotFound,
			"Unable to find service error with ID " + noStack},
		{"malformed-named", p.admin, controlplane.DescribeServiceErrorsRequest{ServiceErrorIds: []string{"x"}}, 0, controlplane.Invalid,
			"Service Error Id: id is not a lower-case UUID"},
		{"unknown-stack", p.admin, controlplane.DescribeServiceErrorsRequest{StackId: noStack}, 0, controlplane.NotFound, "Unable to find stack with ID " + noStack},
		{"two-of-them", p.admin, controlplane.DescribeServiceErrorsRequest{StackId: one, InstanceId: a}, 0, controlplane.Invalid,
			"Stack Id, Instance Id, Service Error Ids: only one of them can be given"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, err := p.DescribeServiceErrors(t.Context(), tc.who, tc.req)
			expectError(t, err, tc.code, tc.message)
			if len(out.ServiceErrors) != tc.want {
				t.Errorf("%d errors, want %d", len(out.ServiceErrors), tc.want)
			}
		})
	}
	t.Run("keeps-fifty", func(t *testing.T) {
		for n := range 4 {
			var many []wire.Result
			for i := range 20 {
				many = append(many, wire.Result{What: fmt.Sprintf("user%d", n*20+i), Error: strings.Repeat("x", 600)})
			}
			p.report(t, b, two, nil, many)
		}
		kept := list(controlplane.DescribeServiceErrorsRequest{InstanceId: b})
		if len(kept) != 50 || !strings.HasPrefix(kept[0].Message, "user79: ") {
			t.Errorf("%d kept, newest %.20s", len(kept), kept[0].Message)
		}
	})
}
