package iam_test

import (
	"testing"

	"latchkey/authz/iam"
)

func TestPolicy_Denies(t *testing.T) {
	for situation, c := range map[string]struct {
		statements string
		want       bool
	}{
		"allows-only":    {allow("*", "*"), false},
		"denies-too":     {allow("*", "*") + "," + deny("a:B", "*"), true},
		"denies-nothing": {deny("a:B", "*", where("StringEquals", "a:b", "c")), true},
	} {
		t.Run(situation, func(t *testing.T) {
			if got := mustParse(t, c.statements).Denies(); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
	if !(iam.Policy{}).Denies() {
		t.Error("a malformed policy does not deny")
	}
}

func TestPolicy_Mentions(t *testing.T) {
	for situation, c := range map[string]struct {
		statement string
		want      bool
	}{
		"nothing":           {allow("a:B", "*"), false},
		"condition":         {allow("a:B", "*", where("StringEquals", "aws:PrincipalTag/team", "x")), true},
		"condition-in-case": {deny("a:B", "*", where("Null", "AWS:principaltag/team", "true")), true},
		"another-condition": {allow("a:B", "*", where("StringEquals", "aws:ResourceTag/team", "x")), false},
		"value-variable":    {allow("a:B", "*", where("StringEquals", "aws:ResourceTag/team", "${aws:PrincipalTag/team}")), true},
		"resource-variable": {allow("a:B", "arn:aws:s3:::home/x${aws:principalTAG/team, 'y'}"), true},
		"another-variable":  {allow("a:B", "arn:aws:s3:::home/${aws:username}"), false},
		"text":              {allow("a:B", "arn:aws:s3:::aws:PrincipalTag/"), false},
	} {
		t.Run(situation, func(t *testing.T) {
			if got := mustParse(t, c.statement).Mentions("aws:PrincipalTag/"); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
	if (iam.Policy{}).Mentions("aws:PrincipalTag/") {
		t.Error("a malformed policy mentions something")
	}
}
