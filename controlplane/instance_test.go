package controlplane_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/authz"
	"latchkey/authz/wire"
	"latchkey/controlplane"
	"latchkey/controlplane/store"
)

var facts = wire.Facts{
	Hostname: "web-1", OS: "linux", Platform: "debian 12", Architecture: "amd64", Agent: "1.0", Address: "192.0.2.9",
}

// enrolment is what a new machine with a token sends, signed by a key of its own.
func enrolment(t *testing.T, token string) wire.Enroll {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := wire.ParseJoinToken(token)
	if err != nil {
		t.Fatal(err)
	}
	e := wire.Enroll{Secret: parsed.Secret(), Facts: facts}
	e.Sign(key)
	return e
}

func (p *plane) token(t *testing.T, stack string) string {
	t.Helper()
	out, err := p.CreateJoinToken(t.Context(), p.admin, controlplane.CreateJoinTokenRequest{StackId: stack})
	if err != nil {
		t.Fatal(err)
	}
	return out.Token
}

// instance enrols a machine and returns its id and what it sent.
func (p *plane) instance(t *testing.T, stack string) (string, wire.Enroll) {
	t.Helper()
	e := enrolment(t, p.token(t, stack))
	out, err := p.Enroll(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	return out.Instance, e
}

// TestControlPlane_CreateJoinToken holds R83 and R87 in part.
func TestControlPlane_CreateJoinToken(t *testing.T) {
	p := newPlane(t)
	stack := p.stack(t, "stack")
	for _, tc := range []struct {
		name string
		ttl  *int64
		ends string // empty: refused
	}{
		{"default-is-an-hour", nil, "2026-03-01T13:00:00+00:00"},
		{"shortest", ptr(int64(60)), "2026-03-01T12:01:00+00:00"},
		{"longest", ptr(int64(3600)), "2026-03-01T13:00:00+00:00"},
		{"too-short", ptr(int64(59)), ""},
		{"too-long", ptr(int64(3601)), ""},
		{"negative", ptr(int64(-60)), ""},
		{"overflowing", ptr(int64(1) << 60), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, err := p.CreateJoinToken(t.Context(), p.admin, controlplane.CreateJoinTokenRequest{StackId: stack, TtlSeconds: tc.ttl})
			if tc.ends == "" {
				expectError(t, err, controlplane.Invalid, "Ttl Seconds: must be 60 to 3600")
				return
			}
			token, parseErr := wire.ParseJoinToken(out.Token)
			if err != nil || parseErr != nil || out.ExpiresAt != tc.ends || token.Pin() != p.cfg.Pin {
				t.Errorf("got %s, %v, %v", out.ExpiresAt, err, parseErr)
			}
		})
	}
	t.Run("unknown-stack", func(t *testing.T) {
		_, err := p.CreateJoinToken(t.Context(), p.admin, controlplane.CreateJoinTokenRequest{StackId: noStack})
		expectError(t, err, controlplane.NotFound, "Unable to find stack with ID "+noStack)
	})
	t.Run("secret-is-nowhere", func(t *testing.T) {
		token := must(wire.ParseJoinToken(p.token(t, stack)))
		for _, e := range p.audit(t) {
			if strings.Contains(fmt.Sprint(e), token.Secret()) {
				t.Errorf("the audit log holds the secret: %+v", e)
			}
		}
		err := p.cfg.Store.Read(t.Context(), func(v store.View) error {
			_, err := v.JoinToken(t.Context(), token.Secret())
			return err
		})
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the secret itself is the key: %v", err)
		}
	})
}

// TestControlPlane_Enroll holds R83, R85 and R119 in part.
func TestControlPlane_Enroll(t *testing.T) {
	p := newPlane(t)
	stack := p.stack(t, "stack")
	first := enrolment(t, p.token(t, stack))
	got, err := p.Enroll(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	want := wire.Enrolled{
		Instance: got.Instance, Stack: stack, StackName: "stack", ControlPlane: p.id(t), Keys: p.cfg.VerifierKeys, Epoch: 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	t.Run("instance-key", func(t *testing.T) {
		key, on, err := p.InstanceKey(t.Context(), must(authz.ParseInstanceID(got.Instance)))
		if err != nil || on.String() != stack || !key.Equal(must(first.Key())) {
			t.Errorf("got %v on %s, %v", key, on, err)
		}
	})
	t.Run("again-with-the-same-key", func(t *testing.T) {
		rows := len(p.audit(t))
		p.pass(2 * time.Hour) // a late repetition still gets its answer
		again, err := p.another(t).Enroll(t.Context(), first)
		if diff := cmp.Diff(got, again); diff != "" || err != nil {
			t.Errorf("%v\n%s", err, diff)
		}
		if len(p.audit(t)) != rows {
			t.Error("a repetition left an audit row")
		}
	})
	t.Run("again-with-another-key", func(t *testing.T) {
		second := first
		_, key, _ := ed25519.GenerateKey(nil)
		second.Sign(key)
		_, err := p.Enroll(t.Context(), second)
		expectError(t, err, controlplane.Denied, "join token was used already")
		if !errors.Is(err, controlplane.ErrTokenUsed) {
			t.Errorf("reason %v", err)
		}
	})
	t.Run("again-after-deregistration", func(t *testing.T) {
		id, e := p.instance(t, stack)
		_, err := p.DeregisterInstance(t.Context(), p.admin, controlplane.DeregisterInstanceRequest{InstanceId: id})
		expectError(t, err, "", "")
		_, err = p.Enroll(t.Context(), e)
		expectError(t, err, controlplane.Denied, "join token was used already")
	})
	t.Run("expired", func(t *testing.T) {
		e := enrolment(t, p.token(t, stack))
		p.pass(time.Hour)
		_, err := p.Enroll(t.Context(), e)
		expectError(t, err, controlplane.Denied, "join token has expired")
	})
	t.Run("one-second-left", func(t *testing.T) {
		e := enrolment(t, p.token(t, stack))
		p.pass(time.Hour - time.Second)
		_, err := p.Enroll(t.Context(), e)
		expectError(t, err, "", "")
	})
	t.Run("key-of-another-instance", func(t *testing.T) {
		copied := first
		token := p.token(t, stack)
		copied.Secret = must(wire.ParseJoinToken(token)).Secret()
		_, key, _ := ed25519.GenerateKey(nil)
		copied.Sign(key)
		_, err := p.Enroll(t.Context(), copied)
		expectError(t, err, "", "")
		copied.Secret = must(wire.ParseJoinToken(p.token(t, stack))).Secret()
		copied.Sign(key)
		_, err = p.Enroll(t.Context(), copied)
		expectError(t, err, controlplane.Denied, "an instance with this key has joined already; each machine makes its own")
	})
	t.Run("unknown-and-malformed", func(t *testing.T) {
		good := enrolment(t, p.token(t, stack))
		for name, secret := range map[string]string{
			"empty": "", "truncated": good.Secret[:len(good.Secret)-1], "longer": good.Secret + "A",
			"other-case": strings.ToUpper(good.Secret), "hash": wire.HashSecret(good.Secret),
		} {
			_, key, _ := ed25519.GenerateKey(nil)
			e := wire.Enroll{Secret: secret, Facts: facts}
			e.Sign(key)
			_, err := p.Enroll(t.Context(), e)
			if !errors.Is(err, controlplane.ErrTokenUnknown) {
				t.Errorf("%s: got %v", name, err)
			}
		}
		forged := good
		forged.Facts.Hostname = "other"
		_, err := p.Enroll(t.Context(), forged)
		expectError(t, err, controlplane.Denied, "enrolment is not signed by the key it brings")
		_, err = p.Enroll(t.Context(), good) // none of these used it up
		expectError(t, err, "", "")
	})
}

// A hundred machines with one token: exactly one joins (requirements R83 and R113).
func TestControlPlane_Enroll_Parallel(t *testing.T) {
	p := newPlane(t)
	stack := p.stack(t, "stack")
	token := p.token(t, stack)
	second := p.another(t) // half of them at another process
	var wg sync.WaitGroup
	results := make(chan error, 100)
	for n := range 100 {
		e := enrolment(t, token)
		c := p.ControlPlane
		if n%2 == 1 {
			c = second
		}
		wg.Go(func() {
			_, err := c.Enroll(context.Background(), e)
			results <- err
		})
	}
	wg.Wait()
	close(results)
	won := 0
	for err := range results {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, controlplane.ErrTokenUsed):
			t.Error(err)
		}
	}
	out, err := p.DescribeInstances(t.Context(), p.admin, controlplane.DescribeInstancesRequest{StackId: stack})
	if won != 1 || err != nil || len(out.Instances) != 1 {
		t.Errorf("%d joined, %d instances, %v", won, len(out.Instances), err)
	}
	p.audit(t)
}

// The same machine sending the same enrolment many times at once is one instance.
func TestControlPlane_Enroll_SameTwiceAtOnce(t *testing.T) {
	p := newPlane(t)
	e := enrolment(t, p.token(t, p.stack(t, "stack")))
	answers := make(chan string, 20)
	for range cap(answers) {
		go func() {
			out, err := p.Enroll(context.Background(), e)
			if err != nil {
				t.Error(err)
			}
			answers <- out.Instance
		}()
	}
	first := <-answers
	for range cap(answers) - 1 {
		if id := <-answers; id != first {
			t.Errorf("got %s and %s", id, first)
		}
	}
}

// TestControlPlane_DescribeInstances holds R115 in part.
func TestControlPlane_DescribeInstances(t *testing.T) {
	p := newPlane(t)
	p.user(t, "alice")
	one, two := p.stack(t, "one"), p.stack(t, "two")
	p.grant(t, one, "alice", "show", false, false)
	a, _ := p.instance(t, one)
	b, _ := p.instance(t, two)
	t.Run("shape", func(t *testing.T) {
		out, err := p.DescribeInstances(t.Context(), as("alice"), controlplane.DescribeInstancesRequest{})
		want := []controlplane.Instance{{
			InstanceId: a, StackId: one, Arn: "arn:aws:opsworks:eu-west-1:123456789012:instance/" + a, Hostname: "web-1",
			Status: "registered", CreatedAt: "2026-03-01T12:00:00+00:00", Architecture: "x86_64", InfrastructureClass: "on-premises",
			Os: "debian 12", Platform: "linux", PrivateIp: "192.0.2.9", RegisteredBy: adminARN, ReportedAgentVersion: "1.0",
			ReportedOs: &controlplane.ReportedOs{Family: "linux", Name: "debian", Version: "12"},
		}}
		if diff := cmp.Diff(want, out.Instances); diff != "" || err != nil {
			t.Errorf("%v\n%s", err, diff)
		}
	})
	instanceDenied := "User: " + arn("alice") + " is not authorized to perform: opsworks:DescribeInstances on resource: " +
		"arn:aws:opsworks:eu-west-1:123456789012:instance/" + b + " because no policy and no level allows it"
	for _, tc := range []struct {
		name    string
		who     controlplane.Caller
		req     controlplane.DescribeInstancesRequest
		want    int
		code    controlplane.Code
		message string
	}{
		{"all", p.admin, controlplane.DescribeInstancesRequest{}, 2, "", ""},
		{"stack", as("alice"), controlplane.DescribeInstancesRequest{StackId: one}, 1, "", ""},
		{"named", p.admin, controlplane.DescribeInstancesRequest{InstanceIds: []string{a, b}}, 2, "", ""},
		{"layer", p.admin, controlplane.DescribeInstancesRequest{LayerId: "x"}, 0, "", ""},
		{"named-not-allowed", as("alice"), controlplane.DescribeInstancesRequest{InstanceIds: []string{b}}, 0, controlplane.Denied, instanceDenied},
		{"unknown", p.admin, controlplane.DescribeInstancesRequest{InstanceIds: []string{noStack}}, 0, controlplane.NotFound,
			"Unable to find instance with ID " + noStack},
		{"unknown-stack", p.admin, controlplane.DescribeInstancesRequest{StackId: noStack}, 0, controlplane.NotFound,
			"Unable to find stack with ID " + noStack},
		{"two-of-them", p.admin, controlplane.DescribeInstancesRequest{StackId: one, InstanceIds: []string{a}}, 0, controlplane.Invalid,
			"Stack Id, Layer Id, Instance Ids: only one of them can be given"},
		{"malformed", p.admin, controlplane.DescribeInstancesRequest{InstanceIds: []string{"x"}}, 0, controlplane.Invalid,
			"Instance Id: id is not a lower-case UUID"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, err := p.DescribeInstances(t.Context(), tc.who, tc.req)
			expectError(t, err, tc.code, tc.message)
			if len(out.Instances) != tc.want || out.Instances == nil {
				t.Errorf("%d instances, want %d", len(out.Instances), tc.want)
			}
		})
	}
}

// TestControlPlane_Status holds R154 in part.
func TestControlPlane_Status(t *testing.T) {
	p := newPlane(t)
	stack := p.stack(t, "stack")
	name, _ := p.instance(t, stack)
	id := must(authz.ParseInstanceID(name))
	expect := func(c *controlplane.ControlPlane, want string) {
		t.Helper()
		out, err := c.DescribeInstances(t.Context(), p.admin, controlplane.DescribeInstancesRequest{})
		if err != nil || out.Instances[0].Status != want {
			t.Errorf("status %q, %v, want %q", out.Instances[0].Status, err, want)
		}
	}
	expect(p.ControlPlane, "registered")
	for range 5 {
		if err := p.Seen(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		expect(p.ControlPlane, "online")
		p.pass(50 * time.Second)
	}
	p.pass(2*time.Minute + 10*time.Second) // three minutes after the last
	expect(p.ControlPlane, "online")
	p.pass(time.Second)
	expect(p.ControlPlane, "connection_lost")
	if err := p.Report(t.Context(), id, wire.Report{Epoch: 1, Serial: 1}); err != nil {
		t.Fatal(err)
	}
	expect(p.ControlPlane, "online")
	p.pass(time.Hour)
	if err := p.Seen(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	p.pass(10 * time.Second)
	if err := p.Seen(t.Context(), id); err != nil { // in memory only
		t.Fatal(err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.pass(3 * time.Minute)
	expect(p.another(t), "online") // so Close wrote the last sight
	p.pass(time.Second)
	expect(p.another(t), "connection_lost")
}

// A poll does not cost a disk flush: two thousand within a minute are one write.
func TestControlPlane_Seen_IsCheap(t *testing.T) {
	p := newPlane(t)
	name, _ := p.instance(t, p.stack(t, "stack"))
	before := walSize(t, p.path)
	for n := range 2000 {
		if n%40 == 39 {
			p.pass(time.Second)
		}
		if err := p.Seen(t.Context(), must(authz.ParseInstanceID(name))); err != nil {
			t.Fatal(err)
		}
	}
	// A commit for each second would add a page of 4 KiB for each.
	if grown := walSize(t, p.path) - before; grown > 64<<10 {
		t.Errorf("the write-ahead log grew by %d bytes", grown)
	}
}

func walSize(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func TestControlPlane_DeregisterInstance(t *testing.T) {
	p := newPlane(t)
	stack := p.stack(t, "stack")
	name, e := p.instance(t, stack)
	id := must(authz.ParseInstanceID(name))
	if err := p.Report(t.Context(), id, wire.Report{Epoch: 1, Serial: 1}); err != nil {
		t.Fatal(err)
	}
	_, err := p.DeregisterInstance(t.Context(), p.admin, controlplane.DeregisterInstanceRequest{InstanceId: name})
	expectError(t, err, "", "")
	invalid := "The security token included in the request is invalid."
	_, _, err = p.InstanceKey(t.Context(), id)
	expectError(t, err, controlplane.Unauthenticated, invalid)
	expectError(t, p.Report(t.Context(), id, wire.Report{Epoch: 1, Serial: 1}), controlplane.Unauthenticated, invalid)
	_, err = p.DeregisterInstance(t.Context(), p.admin, controlplane.DeregisterInstanceRequest{InstanceId: name})
	expectError(t, err, controlplane.NotFound, "Unable to find instance with ID "+name)
	// Its key may join again with a new token.
	e.Secret = must(wire.ParseJoinToken(p.token(t, stack))).Secret()
	_, key, _ := ed25519.GenerateKey(nil)
	e.Sign(key)
	_, err = p.Enroll(t.Context(), e)
	expectError(t, err, "", "")
}

// TestControlPlane_Report holds R81.
func TestControlPlane_Report(t *testing.T) {
	p := newPlane(t)
	stack := p.stack(t, "stack")
	name, _ := p.instance(t, stack)
	id := must(authz.ParseInstanceID(name))
	t.Run("hostile-text", func(t *testing.T) {
		r := wire.Report{
			Epoch: 1, Serial: 1, At: "now\x1b[2J",
			Steps: make([]wire.Result, 5000), Facts: wire.Facts{Hostname: "a\nb\u202e\xff" + strings.Repeat("é", 500), OS: "linux"},
		}
		r.Steps[0] = wire.Result{What: strings.Repeat("w", 10_000), Error: "e\x00"}
		if err := p.Report(t.Context(), id, r); err != nil {
			t.Fatal(err)
		}
		out, err := p.DescribeInstances(t.Context(), p.admin, controlplane.DescribeInstancesRequest{})
		if want := "ab" + strings.Repeat("é", 126); err != nil || out.Instances[0].Hostname != want {
			t.Errorf("hostname %q, %v", out.Instances[0].Hostname, err)
		}
		receipt := p.receipts(t, id)[0]
		if len(receipt.Body) > 100_000 || strings.Contains(string(receipt.Body), `\u0000`) || strings.Contains(string(receipt.Body), `\u001b`) {
			t.Errorf("receipt of %d bytes: %.200s", len(receipt.Body), receipt.Body)
		}
	})
	t.Run("keeps-ten", func(t *testing.T) {
		for range 15 {
			p.pass(time.Second)
			if err := p.Report(t.Context(), id, wire.Report{Epoch: 1, Serial: 1}); err != nil {
				t.Fatal(err)
			}
		}
		kept := p.receipts(t, id)
		if len(kept) != 10 || !kept[0].ReceivedAt.Equal(noon.Add(15*time.Second)) {
			t.Errorf("%d receipts, newest of %s", len(kept), kept[0].ReceivedAt)
		}
	})
	for name, r := range map[string]wire.Report{
		"serial-from-the-future": {Epoch: 1, Serial: 2}, "epoch-from-the-future": {Epoch: 2, Serial: 1},
		"negative-serial": {Epoch: 1, Serial: -1}, "negative-epoch": {Epoch: -1},
	} {
		t.Run(name, func(t *testing.T) {
			expectError(t, p.Report(t.Context(), id, r), controlplane.Invalid, "report is about a serial that was never issued")
		})
	}
}

func (p *plane) receipts(t *testing.T, id authz.InstanceID) (all []store.Receipt) {
	t.Helper()
	err := p.cfg.Store.Read(t.Context(), func(v store.View) (err error) {
		all, err = v.Receipts(t.Context(), id)
		return err
	})
	if err != nil || len(all) == 0 {
		t.Fatalf("%d receipts, %v", len(all), err)
	}
	return all
}
