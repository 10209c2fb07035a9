package iam_test

import (
	"strings"

	"latchkey/authz/iam"
)

// one makes the question of an example: a condition of one operator, on an
// otherwise open allow.
func one(op string, block map[string]values, context map[string][]string) question {
	return question{
		Action: "opsworks:StopInstance", Resource: "arn:aws:opsworks:us-east-1:111122223333:stack/ann/", Context: context,
		Policies: []policyDoc{{Version: "2012-10-17", Statement: []statementDoc{{
			Effect: "Allow", Action: values{"*"}, Resource: values{"*"}, Condition: map[string]map[string]values{op: block},
		}}}},
	}
}

// on makes the question of an example that is about resources.
func on(version, effect string, resource, notResource values) question {
	q := one("", nil, map[string][]string{})
	q.Policies[0].Version = version
	q.Policies[0].Statement = []statementDoc{{Effect: effect, Action: values{"*"}, Resource: resource, NotResource: notResource}}
	return q
}

func unresolved(q question, list values) bool {
	return contains(list, func(v string) bool {
		_, ok := reference{q}.replace(v, true, true)
		return !ok
	})
}

// explained lists every way in which the simulator is known to differ, and why the
// package decides as it does.
var explained = []difference{
	{
		name: "variables-in-2008", why: "the guide: variables are literal text before version 2012-10-17; the simulator does not look at the version",
		holds: func(_ question, p policyDoc, s statementDoc) bool {
			dollar := func(v string) bool { return strings.Contains(v, "${") }
			return p.Version != "2012-10-17" && (contains(s.Resource, dollar) || contains(s.NotResource, dollar) ||
				conditionsOf(s, func(_, _ string, list values) bool { return contains(list, dollar) }))
		},
		example: on("2008-10-17", "Allow", values{"arn:aws:opsworks:*:*:stack/${aws:absent, 'ann'}/"}, nil), ours: iam.ImplicitDeny, theirs: iam.Allowed,
	},
	{
		name: "null-variable-negated", why: "the guide, variables with no value: inverted operators do match against a null value",
		holds: func(q question, _ policyDoc, s statementDoc) bool {
			return conditionsOf(s, func(op, _ string, list values) bool { return strings.Contains(op, "Not") && unresolved(q, list) })
		},
		example: one("StringNotEquals", map[string]values{"aws:username": {"${aws:absent}"}}, map[string][]string{"aws:username": {"ann"}}), ours: iam.Allowed, theirs: iam.ImplicitDeny,
	},
	{
		name: "null-variable-in-not-resource-of-deny", why: "nothing is spared from the deny, because nobody can say what; the simulator drops the statement",
		holds: func(q question, _ policyDoc, s statementDoc) bool {
			return s.Effect == "Deny" && unresolved(q, s.NotResource)
		},
		example: on("2012-10-17", "Deny", nil, values{"arn:aws:opsworks:*:*:stack/${aws:absent}/"}), ours: iam.ExplicitDeny, theirs: iam.ImplicitDeny,
	},
	{
		name: "special-character-in-equals", why: "the guide: ${*} stands for * wherever a variable may; the simulator compares it as text without wildcards",
		holds: func(_ question, _ policyDoc, s statementDoc) bool {
			return conditionsOf(s, func(op, _ string, list values) bool {
				return hasPrefixIn(op, "String") && !strings.Contains(op, "Like") && contains(list, func(v string) bool {
					return strings.Contains(v, "${*}") || strings.Contains(v, "${?}") || strings.Contains(v, "${$}")
				})
			})
		},
		example: one("StringEquals", map[string]values{"aws:username": {"a${*}b"}}, map[string][]string{"aws:username": {"a*b"}}), ours: iam.Allowed, theirs: iam.ImplicitDeny,
	},
	{
		name: "empty-list", why: "a key without a value is absent to us; the simulator takes it for present",
		holds: func(q question, _ policyDoc, s statementDoc) bool {
			return conditionsOf(s, func(_, key string, _ values) bool {
				list := reference{q}.get(key)
				return list != nil && len(list) == 0
			})
		},
		example: one("Null", map[string]values{"aws:username": {"true"}}, map[string][]string{"aws:username": {}}), ours: iam.Allowed, theirs: iam.ImplicitDeny,
	},
	{
		name: "empty-string-is-empty-set", why: "the guide: to ForAllValues and ForAnyValue an empty string is an empty data set",
		holds: func(q question, _ policyDoc, s statementDoc) bool {
			return conditionsOf(s, func(op, key string, _ values) bool {
				list := reference{q}.get(key)
				return strings.HasPrefix(op, "For") && len(list) == 1 && list[0] == ""
			})
		},
		example: one("ForAllValues:StringEquals", map[string]values{"aws:TagKeys": {"a"}}, map[string][]string{"aws:TagKeys": {""}}), ours: iam.Allowed, theirs: iam.ImplicitDeny,
	},
	{
		name: "address-without-prefix", why: "an address is a range of one; the simulator compares its text, and negates that only within one family",
		holds: func(_ question, _ policyDoc, s statementDoc) bool {
			return conditionsOf(s, func(op, _ string, list values) bool {
				return strings.Contains(op, "IpAddress") && contains(list, func(v string) bool { return !strings.Contains(v, "/") })
			})
		},
		example: one("IpAddress", map[string]values{"aws:SourceIp": {"2001:DB8::1"}}, map[string][]string{"aws:SourceIp": {"2001:db8::1"}}), ours: iam.Allowed, theirs: iam.ImplicitDeny,
	},
	{
		name: "every-ipv4-address", why: "0.0.0.0/0 holds every IPv4 address; the simulator shifts a 32-bit mask by 32, which leaves it whole",
		holds: func(_ question, _ policyDoc, s statementDoc) bool {
			return conditionsOf(s, func(op, _ string, list values) bool {
				return strings.Contains(op, "IpAddress") && contains(list, func(v string) bool { return v == "0.0.0.0/0" })
			})
		},
		example: one("IpAddress", map[string]values{"aws:SourceIp": {"0.0.0.0/0"}}, map[string][]string{"aws:SourceIp": {"10.1.2.3"}}), ours: iam.Allowed, theirs: iam.ImplicitDeny,
	},
	{
		name: "mapped-address", why: "an IPv4 client of an IPv6 socket is an IPv4 client; to the simulator it is an IPv6 one",
		holds: func(q question, _ policyDoc, s statementDoc) bool {
			return conditionsOf(s, func(op, key string, _ values) bool {
				return strings.Contains(op, "IpAddress") && contains(reference{q}.get(key), func(v string) bool { return strings.HasPrefix(v, "::ffff:") })
			})
		},
		example: one("IpAddress", map[string]values{"aws:SourceIp": {"10.0.0.0/8"}}, map[string][]string{"aws:SourceIp": {"::ffff:10.1.2.3"}}), ours: iam.Allowed, theirs: iam.ImplicitDeny,
	},
	{
		name: "epoch-seconds", why: "the guide: epoch time is in seconds; the simulator compares it with milliseconds",
		holds: func(q question, _ policyDoc, s statementDoc) bool {
			digits := func(v string) bool { return v != "" && strings.Trim(v, "0123456789") == "" }
			return conditionsOf(s, func(op, key string, list values) bool {
				return hasPrefixIn(op, "Date") && (contains(list, digits) || contains(reference{q}.get(key), digits))
			})
		},
		example: one("DateEquals", map[string]values{"aws:CurrentTime": {"1704067200"}}, map[string][]string{"aws:CurrentTime": {"2024-01-01T00:00:00Z"}}), ours: iam.Allowed, theirs: iam.ImplicitDeny,
	},
	{
		name: "exponent", why: "1e1 is ten, as in JSON; the simulator reads the digits before the e",
		holds: func(q question, _ policyDoc, s statementDoc) bool {
			exponent := func(v string) bool { return strings.Contains(v, "e") }
			return conditionsOf(s, func(op, key string, list values) bool {
				return hasPrefixIn(op, "Numeric") && (contains(list, exponent) || contains(reference{q}.get(key), exponent))
			})
		},
		example: one("NumericEquals", map[string]values{"a:number": {"1e1"}}, map[string][]string{"a:number": {"10"}}), ours: iam.Allowed, theirs: iam.ImplicitDeny,
	},
	{
		name: "wildcard-in-resource-type", why: "a * is a wildcard wherever it stands in the last part; the simulator reads it as text before the first / or :",
		holds: func(_ question, _ policyDoc, s statementDoc) bool {
			early := func(v string) bool {
				part := strings.SplitN(v, ":", 6)
				return len(part) == 6 && strings.ContainsAny(part[5][:max(0, strings.IndexAny(part[5], "/:"))], "*?")
			}
			return contains(s.Resource, early) || contains(s.NotResource, early)
		},
		example: on("2012-10-17", "Allow", values{"arn:aws:opsworks:*:*:st*/ann/"}, nil), ours: iam.Allowed, theirs: iam.ImplicitDeny,
	},
	{
		name: "short-arn-in-not-resource", why: "a shortened ARN that does not match spares nothing; the simulator drops the statement",
		holds: func(_ question, _ policyDoc, s statementDoc) bool {
			return contains(s.NotResource, func(v string) bool { return v != "*" && strings.Count(v, ":") < 5 })
		},
		example: on("2012-10-17", "Allow", nil, values{"arn:aws:sns*"}), ours: iam.Allowed, theirs: iam.ImplicitDeny,
	},
	{
		name: "case-of-arn", why: "an ARN's case matters; the simulator ignores it before the fifth colon",
		holds: func(_ question, _ policyDoc, s statementDoc) bool {
			upper := func(v string) bool {
				part := strings.SplitN(v, ":", 6)
				return len(part) > 3 && part[3] != strings.ToLower(part[3])
			}
			return contains(s.Resource, upper) || contains(s.NotResource, upper)
		},
		example: on("2012-10-17", "Allow", values{"arn:aws:opsworks:US-EAST-1:*:stack/ann/"}, nil), ours: iam.ImplicitDeny, theirs: iam.Allowed,
	},
	{
		name: "star-colon-star", why: "*:* is every action of every service; to the simulator it is a service named *",
		holds: func(_ question, _ policyDoc, s statementDoc) bool {
			star := func(v string) bool { return v == "*:*" }
			return contains(s.Action, star) || contains(s.NotAction, star)
		},
		example: func() question {
			q := on("2012-10-17", "Allow", values{"*"}, nil)
			q.Policies[0].Statement[0].Action = values{"*:*"}
			return q
		}(), ours: iam.Allowed, theirs: iam.ImplicitDeny,
	},
	{
		name: "arn-variable-before-last-part", why: "a variable in an ARN is one thing; the simulator cuts the ARN at the colon of the variable's own key",
		holds: func(_ question, _ policyDoc, s statementDoc) bool {
			return conditionsOf(s, func(op, _ string, list values) bool {
				return hasPrefixIn(op, "Arn") && contains(list, func(v string) bool {
					part := strings.SplitN(v, ":", 6)
					return strings.Contains(strings.Join(part[:min(5, len(part))], ""), "${")
				})
			})
		},
		example: one("ArnEquals", map[string]values{"aws:PrincipalArn": {"${aws:PrincipalArn}"}}, map[string][]string{"aws:PrincipalArn": {"arn:aws:iam::1:user/x"}}), ours: iam.Allowed, theirs: iam.ImplicitDeny,
	},
}
