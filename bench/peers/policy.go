package main

// statement is one of the policy: what it does with the actions and resources that
// its patterns match, in the words of IAM.
type statement struct{ Effect, Action, Resource string }

// statements are the policy of P8: eight that allow and two that deny, with
// wildcards.
var statements = []statement{
	{"Allow", "s3:Get*", "arn:aws:s3:::logs/*"},
	{"Allow", "ec2:Describe*", "*"},
	{"Deny", "opsworks:Delete*", "arn:aws:opsworks:*:*:stack/*"},
	{"Allow", "opsworks:Describe*", "arn:aws:opsworks:us-east-1:111122223333:stack/*"},
	{"Allow", "opsworks:*Instance", "arn:aws:opsworks:eu-west-1:*:stack/*/"},
	{"Allow", "iam:PassRole", "arn:aws:iam::111122223333:role/ops-*"},
	{"Deny", "opsworks:S*Instance", "arn:aws:opsworks:*:*:stack/b4d2*/"},
	{"Allow", "sns:Publish", "arn:aws:sns:*:111122223333:alarms-*"},
	{"Allow", "opsworks:Set*", "*"},
	{"Allow", stopPattern, "arn:aws:opsworks:*:111122223333:stack/2f18*/"},
}

// stopPattern is a pattern that Cedar has no word for. StopInstance is the only
// action of the API that it matches.
const stopPattern = "opsworks:St??Instance"

const stackInUSEast = "arn:aws:opsworks:us-east-1:111122223333:stack/2f18b4cb-4de5-4429-a149-ff7da9f0d8ee/"

// question is one request: may the action be done on the resource?
type question struct{ action, resource string }

// questions are every action on every resource of two lists that between them make
// every statement the one that decides.
func questions() []question {
	actions := []string{
		"s3:GetObject", "s3:PutObject", "ec2:DescribeInstances", "ec2:RunInstances", "iam:PassRole", "iam:PassRoles", "sns:Publish",
		"opsworks:DescribeStacks", "opsworks:DeleteStack", "opsworks:DeleteInstance", "opsworks:SetPermission", "opsworks:RebootInstance",
		"opsworks:StartInstance", "opsworks:StopInstance", "opsworks:StopStack",
	}
	resources := []string{
		stackInUSEast,
		"arn:aws:opsworks:us-east-1:111122223333:stack/2f18b4cb-4de5-4429-a149-ff7da9f0d8ee",
		"arn:aws:opsworks:us-east-1:444455556666:stack/2f18b4cb-4de5-4429-a149-ff7da9f0d8ee/",
		"arn:aws:opsworks:us-east-1:111122223333:stack/b4d2a5c1-11aa-42bb-93cc-0123456789ab/",
		"arn:aws:opsworks:eu-west-1:111122223333:stack/b4d2a5c1-11aa-42bb-93cc-0123456789ab/",
		"arn:aws:opsworks:eu-west-1:444455556666:stack/77aa0000-11aa-42bb-93cc-0123456789ab/",
		"arn:aws:s3:::logs/2026/03/01", "arn:aws:s3:::logs", "arn:aws:s3:::old-logs/2026",
		"arn:aws:iam::111122223333:role/ops-deploy", "arn:aws:iam::111122223333:role/admin",
		"arn:aws:sns:eu-west-1:111122223333:alarms-disk", "arn:aws:sns:eu-west-1:444455556666:alarms-disk",
	}
	var all []question
	for _, a := range actions {
		for _, r := range resources {
			all = append(all, question{a, r})
		}
	}
	return all
}

// scan is the floor: the policy read as text, each pattern matched by the usual
// loop over a glob.
func scan(policy []statement, q question) bool {
	allowed := false
	for i := range policy {
		s := &policy[i]
		if glob(s.Action, q.action) && glob(s.Resource, q.resource) {
			if s.Effect == "Deny" {
				return false
			}
			allowed = true
		}
	}
	return allowed
}

func glob(pattern, s string) bool {
	p, i, star, mark := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
