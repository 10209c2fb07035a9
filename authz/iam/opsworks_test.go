package iam_test

import (
	"strings"
	"testing"

	"latchkey/authz/iam"
)

// A level behaves as a policy that grants a fixed set of actions on one stack, and
// level deny as one that denies everything on it. These hold as much of each level
// as the examples ask about.
func level(t *testing.T, name string) []iam.Policy {
	t.Helper()
	grant := func(effect string, actions ...string) []iam.Policy {
		return []iam.Policy{mustParse(t, `{"Effect":"`+effect+`","Action":["opsworks:`+strings.Join(actions, `","opsworks:`)+`"],"Resource":"`+stackA+`"}`)}
	}
	switch name {
	case "deny":
		return grant("Deny", "*")
	case "deploy":
		return grant("Allow", "DescribeStacks", "CreateDeployment", "UpdateApp")
	case "manage":
		return grant("Allow", "DescribeStacks", "CreateDeployment", "UpdateApp", "StopInstance", "CreateLayer", "DeleteLayer", "CreateApp", "DeleteApp",
			"RegisterVolume", "DeregisterVolume", "RegisterElasticIp", "DeregisterElasticIp", "SetPermission")
	}
	return nil
}

// TestEvaluate_GuideExamples decides the ten examples of the OpsWorks guide. May
// and mayNot are tried on the stack itself, but for actions that have no stack,
// which are tried on *.
func TestEvaluate_GuideExamples(t *testing.T) {
	const wild = `"arn:aws:opsworks:*:*:stack/2f18b4cb-4de5-4429-a149-ff7da9f0d8ee/"`
	const full = `{"Effect":"Allow","Action":["opsworks:*","ec2:DescribeAvailabilityZones","iam:PassRole"],"Resource":"*"}`
	for _, c := range []struct {
		situation, level, policy string
		may, mayNot              string
	}{
		{"1-deny-stop-on-one-stack", "manage", `{"Effect":"Deny","Action":"opsworks:StopInstance","Resource":` + wild + `}`, "DescribeStacks CreateLayer", "StopInstance"},
		{"2-manage-minus-layers", "manage", `{"Effect":"Deny","Action":["opsworks:CreateLayer","opsworks:DeleteLayer"],"Resource":` + wild + `}`, "StopInstance SetPermission", "CreateLayer DeleteLayer"},
		{"3-manage-plus-stacks", "manage", `{"Effect":"Allow","Action":["opsworks:CreateStack","opsworks:CloneStack"],"Resource":"*"}`, "CreateStack CloneStack StopInstance", "DescribeUserProfiles"},
		{"4-manage-minus-registering", "manage", `{"Effect":"Deny","Action":["opsworks:RegisterVolume","opsworks:RegisterElasticIp"],"Resource":"*"}`, "DeregisterVolume DeregisterElasticIp CreateApp", "RegisterVolume RegisterElasticIp"},
		{"5-manage-plus-users", "manage", `{"Effect":"Allow","Action":["opsworks:DescribeUserProfiles","opsworks:CreateUserProfile","opsworks:DeleteUserProfile","iam:ListUsers"],"Resource":"*"}`, "DescribeUserProfiles CreateUserProfile DeleteUserProfile StopInstance", "UpdateUserProfile CreateStack"},
		{"6-deploy-plus-apps", "deploy", `{"Effect":"Allow","Action":["opsworks:CreateApp","opsworks:DeleteApp"],"Resource":` + wild + `}`, "CreateApp DeleteApp CreateDeployment", "CreateLayer"},
		{"7-deploy-plus-layer", "deploy", `{"Effect":"Allow","Action":"opsworks:CreateLayer","Resource":` + wild + `}`, "CreateLayer UpdateApp", "DeleteLayer"},
		{"8-deny-beats-full-access", "deny", full, "CreateStack", "DescribeStacks StopInstance SetPermission"},
		{"9-nothing", "iam_only", "", "", "DescribeStacks StopInstance CreateStack"},
		{"10-administrator", "iam_only", full, "DescribeStacks StopInstance SetPermission CreateStack DescribeUserProfiles", ""},
	} {
		t.Run(c.situation, func(t *testing.T) {
			policies := level(t, c.level)
			if c.policy != "" {
				policies = append(policies, mustParse(t, c.policy))
			}
			try := func(actions string, want bool) {
				for action := range strings.FieldsSeq(actions) {
					resource := stackA
					if action == "CreateStack" || strings.Contains(action, "UserProfile") {
						resource = "*"
					}
					d := iam.Evaluate(policies, nil, mustRequest(t, "opsworks:"+action, resource, nil))
					if (d.Outcome == iam.Allowed) != want {
						t.Errorf("%s: %v", action, d.Outcome)
					}
				}
			}
			try(c.may, true)
			try(c.mayNot, false)
		})
	}
}
