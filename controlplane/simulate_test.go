package controlplane_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/authz/iam"
	"latchkey/controlplane"
)

// simulated asks one case as its JSON says and prints the answer as JSON.
func (p *plane) simulated(t *testing.T, cases string) (string, error) {
	t.Helper()
	var req controlplane.SimulatePolicyRequest
	if err := json.Unmarshal([]byte(`{"Cases":[`+cases+`]}`), &req); err != nil {
		t.Fatal(err)
	}
	got, err := p.SimulatePolicy(t.Context(), p.admin, req)
	text, errText := json.Marshal(got.Decisions)
	if errText != nil {
		t.Fatal(errText)
	}
	return string(text), err
}

func TestControlPlane_SimulatePolicy(t *testing.T) {
	p := newPlane(t)
	const (
		stops  = `"Action":"opsworks:StopInstance","Resource":"arn:aws:opsworks:us-east-1:1:stack/x/"`
		allow  = `{"Statement":{"Effect":"Allow","Action":"opsworks:*","Resource":"*"}}`
		deny   = `{"Statement":[{"Effect":"Allow","Action":"ec2:*","Resource":"*"},{"Effect":"Deny","Action":"opsworks:Stop*","Resource":"*"}]}`
		office = `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"10.1.0.0/16"}}}}`
		own    = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:username":"bob"}}}}`
		timely = `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"DateGreaterThan":{"aws:CurrentTime":"2000-01-01T00:00:00Z"}}}}`
		bob    = `"Principal":"arn:aws:iam::123456789012:user/bob",`
	)
	quoted := string(must(json.Marshal(allow)))
	for name, tc := range map[string]struct{ given, want string }{
		"allowed":                  {`{"Policies":[` + allow + `],` + stops + `}`, `{"Decision":"allowed","MatchedStatements":[{"Policy":0,"Statement":0}]}`},
		"no-policies":              {`{"Policies":[],` + stops + `}`, `{"Decision":"implicitDeny","MatchedStatements":[]}`},
		"second-denies":            {`{"Policies":[` + allow + `,` + deny + `],` + stops + `}`, `{"Decision":"explicitDeny","MatchedStatements":[{"Policy":1,"Statement":1}]}`},
		"several-allow":            {`{"Policies":[` + allow + `,` + allow + `],` + stops + `}`, `{"Decision":"allowed","MatchedStatements":[{"Policy":0,"Statement":0},{"Policy":1,"Statement":0}]}`},
		"boundary-allows":          {`{"Policies":[` + allow + `],"PermissionsBoundary":` + allow + `,` + stops + `}`, `{"Decision":"allowed","MatchedStatements":[{"Policy":0,"Statement":0},{"Boundary":true,"Statement":0}]}`},
		"boundary-denies":          {`{"Policies":[` + allow + `],"PermissionsBoundary":` + deny + `,` + stops + `}`, `{"Decision":"explicitDeny","MatchedStatements":[{"Boundary":true,"Statement":1}]}`},
		"boundary-silent":          {`{"Policies":[` + allow + `],"PermissionsBoundary":` + office + `,` + stops + `}`, `{"Decision":"implicitDeny","MatchedStatements":[]}`},
		"context":                  {`{"Policies":[` + office + `],` + stops + `,"Context":{"aws:SourceIp":["10.1.2.3"]}}`, `{"Decision":"allowed","MatchedStatements":[{"Policy":0,"Statement":0}]}`},
		"no-context":               {`{"Policies":[` + office + `],` + stops + `}`, `{"Decision":"implicitDeny","MatchedStatements":[]}`},
		"no-time":                  {`{"Policies":[` + timely + `],` + stops + `}`, `{"Decision":"implicitDeny","MatchedStatements":[]}`},
		"principal-fills-nothing":  {`{` + bob + `"Policies":[` + own + `],` + stops + `}`, `{"Decision":"implicitDeny","MatchedStatements":[]}`},
		"principal-by-the-context": {`{` + bob + `"Policies":[` + own + `],` + stops + `,"Context":{"aws:username":["bob"]}}`, `{"Decision":"allowed","MatchedStatements":[{"Policy":0,"Statement":0}]}`},
		"text":                     {`{"Policies":[` + quoted + `],` + stops + `}`, `{"Decision":"allowed","MatchedStatements":[{"Policy":0,"Statement":0}]}`},
		"any-service":              {`{"Policies":[` + deny + `],"Action":"ec2:RunInstances"}`, `{"Decision":"allowed","MatchedStatements":[{"Policy":0,"Statement":0}]}`},
		"unknown-action-of-ours":   {`{"Policies":[` + allow + `],"Action":"opsworks:Bogus"}`, `{"Decision":"allowed","MatchedStatements":[{"Policy":0,"Statement":0}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := p.simulated(t, tc.given)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff("["+tc.want+"]", got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestControlPlane_SimulatePolicy_Refuses(t *testing.T) {
	p := newPlane(t)
	const allow = `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`
	const good = `{"Policies":[` + allow + `],"Action":"opsworks:StopInstance"},`
	large := `{"Statement":{"Sid":"` + strings.Repeat("x", iam.MaxDocument) + `","Effect":"Allow","Action":"*","Resource":"*"}}`
	for name, tc := range map[string]struct{ given, want string }{
		"effect":        {`{"Policies":[{"Statement":[{"Effect":"Maybe","Action":"*","Resource":"*"}]}],"Action":"a:B"}`, "Policies[0]: Statement[0].Effect (byte 24): effect is neither Allow nor Deny"},
		"second-policy": {`{"Policies":[` + allow + `,{}],"Action":"a:B"}`, "Policies[1]: document (byte 0): statement lacks Effect, Action or NotAction, or Resource or NotResource, or document lacks Statement"},
		"boundary":      {`{"Policies":[],"PermissionsBoundary":{"Statement":[]},"Action":"a:B"}`, "PermissionsBoundary: Statement (byte 13): list or object is empty"},
		"number":        {`{"Policies":[7],"Action":"a:B"}`, "Policies[0]: is neither a JSON object nor text that holds one"},
		"word":          {`{"Policies":["x"],"Action":"a:B"}`, "Policies[0]: is neither a JSON object nor text that holds one"},
		"large":         {`{"Policies":[` + large + `],"Action":"a:B"}`, "Policies[0]: document (byte 65536): document is longer than 65536 bytes"},
		"no-action":     {`{"Policies":[]}`, "Action: not an action of the form service:Name"},
		"action-wild":   {`{"Policies":[],"Action":"opsworks:*"}`, "Action: not an action of the form service:Name"},
		"resource":      {`{"Policies":[],"Action":"a:B","Resource":"web"}`, "Resource: neither * nor an ARN of six parts without wildcards"},
		"principal":     {`{"Policies":[],"Action":"a:B","Principal":"bob"}`, "Principal: neither * nor an ARN of six parts without wildcards"},
		"context":       {`{"Policies":[],"Action":"a:B","Context":{"a":[],"A":[]}}`, "Context: a context key is empty, or is given twice in different case"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := p.simulated(t, good+good+good+tc.given)
			expectError(t, err, controlplane.Invalid, "Cases[3]."+tc.want)
		})
	}
	one := controlplane.PolicyCase{Policies: []json.RawMessage{json.RawMessage(allow)}, Action: "a:B"}
	for n, code := range map[int]controlplane.Code{0: controlplane.Invalid, 1000: "", 1001: controlplane.Invalid} {
		_, err := p.SimulatePolicy(t.Context(), p.admin, controlplane.SimulatePolicyRequest{Cases: slices.Repeat([]controlplane.PolicyCase{one}, n)})
		expectError(t, err, code, "Cases: must be 1 to 1000")
	}
	p.user(t, "alice")
	_, err := p.SimulatePolicy(t.Context(), as("alice"), controlplane.SimulatePolicyRequest{})
	expectError(t, err, controlplane.Denied, "User: "+arn("alice")+
		" is not authorized to perform: latchkey:SimulatePolicy on resource: * because no policy and no level allows it")
}

// TestSimulatePolicy_Thousand prints how long a thousand cases of five policies take.
func TestSimulatePolicy_Thousand(t *testing.T) {
	p := newPlane(t)
	for name, distinct := range map[string]bool{"the-same-documents": false, "all-distinct": true} {
		t.Run(name, func(t *testing.T) {
			var req controlplane.SimulatePolicyRequest
			for i := range 1000 {
				given := controlplane.PolicyCase{Action: "opsworks:StopInstance", Context: map[string][]string{"aws:SourceIp": {"10.1.2.3"}}}
				for j := range 5 {
					n := j
					if distinct {
						n += 5 * i
					}
					given.Policies = append(given.Policies, json.RawMessage(fmt.Sprintf(
						`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["opsworks:Stop*","ec2:*"],"Resource":"*","Condition":{"NumericEquals":{"a:n":"%d"}}}]}`, n)))
				}
				req.Cases = append(req.Cases, given)
			}
			began := time.Now()
			got, err := p.SimulatePolicy(t.Context(), p.admin, req)
			t.Logf("1000 cases of 5 policies: %v", time.Since(began))
			if err != nil || len(got.Decisions) != 1000 || got.Decisions[999].Decision != "implicitDeny" {
				t.Errorf("%d decisions, %v", len(got.Decisions), err)
			}
		})
	}
}
