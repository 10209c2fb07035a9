package host

import (
	"fmt"
	"strings"
	"testing"

	"latchkey/agent/plan"
	"latchkey/authz/name"
)

func ruleFor(t *testing.T, user, notAfter string) plan.Rule {
	t.Helper()
	u, err := name.ParseUsername(user)
	if err != nil {
		t.Fatal(err)
	}
	return plan.Rule{User: u, NotAfter: notAfter}
}

// The texts are what sudo 1.9.13 and sudo-rs 0.2.5 print (requirement R51).
func TestReadListing(t *testing.T) {
	const head = "User bob may run the following commands on web-1:\n"
	const ours = "    (ALL : ALL) NOPASSWD: ALL\n"
	for situation, c := range map[string]struct {
		text                 string
		denied, gives, holds bool
	}{
		"ours":            {head + ours, false, true, true},
		"twice":           {head + ours + ours, false, true, true},
		"after-another":   {head + "    (root) /bin/ls\n" + ours, false, true, true},
		"before-another":  {head + ours + "    (root) /bin/ls\n", false, false, true},
		"with-password":   {head + "    (ALL : ALL) ALL\n", false, false, false},
		"with-an-end":     {head + "    (ALL : ALL) NOTAFTER=20261122000000Z NOPASSWD: ALL\n", false, false, false},
		"less":            {head + "    (ALL) NOPASSWD: ALL\n", false, false, false},
		"more-than-ours":  {head + "    (ALL : ALL) NOPASSWD: SETENV: ALL\n", false, false, false},
		"wrapped":         {head + ours + "    (root) /bin/ls, /bin/cat,\n        /bin/sh\n", false, false, true},
		"defaults":        {"Matching Defaults entries for bob on web-1:\n    env_reset, mail_badpass,\n    secure_path=/bin\n\n" + head + ours, false, true, true},
		"noexec":          {"Matching Defaults entries for bob on web-1:\n    env_reset, noexec,\n    lecture\n\n" + head + ours, false, false, true},
		"denied":          {"User bob is not allowed to run sudo on web-1.\n", true, false, false},
		"denied-defaults": {"Matching Defaults entries for bob on web-1:\n    env_reset\n\nUser bob is not allowed to run sudo on web-1.\n", true, false, false},
		"denied-sudo-rs":  {"sudo-rs: Sorry, user root is not allowed to execute 'list' as bob on web-1.\n", true, false, false},
		"ours-of-1.9.5":   {head + "    (ALL : ALL) NOPASSWD: /usr/bin/id \\\"\\\"\n" + ours, false, true, true},
		"no-rules":        {head, false, false, false},
		"empty":           {"", false, false, false},
		"rule-alone":      {ours, false, false, false},
		"error":           {"sudo: unknown user bob\n", false, false, false},
	} {
		t.Run(situation, func(t *testing.T) {
			l, bob := readListing(c.text), ruleFor(t, "bob", "")
			if l.denied != c.denied || l.gives(bob) != c.gives || l.holds(bob) != c.holds {
				t.Errorf("denied %t, gives %t, holds %t: %+v", l.denied, l.gives(bob), l.holds(bob), l)
			}
		})
	}
	ends := ruleFor(t, "bob", "20261122000000Z")
	if !readListing(head + "    (ALL : ALL) NOTAFTER=20261122000000Z NOPASSWD: ALL\n").gives(ends) {
		t.Error("a rule with an end is not known again")
	}
}

func TestToProve(t *testing.T) {
	a, b, c, ends := ruleFor(t, "a", ""), ruleFor(t, "b", ""), ruleFor(t, "c", ""), ruleFor(t, "a", "20261122000000Z")
	for situation, test := range map[string]struct {
		old, next  []plan.Rule
		have, lost string
	}{
		"first":             {nil, []plan.Rule{a, b}, "a b", ""},
		"one-more":          {[]plan.Rule{a, b}, []plan.Rule{a, b, c}, "c a", ""},
		"one-less":          {[]plan.Rule{a, b, c}, []plan.Rule{a, c}, "a", "b"},
		"another-end":       {[]plan.Rule{a, b}, []plan.Rule{ends, b}, "a b", ""},
		"nothing-differs":   {[]plan.Rule{a, b}, []plan.Rule{a, b}, "a b", ""},
		"none-left":         {[]plan.Rule{a, b}, nil, "", "a b"},
		"one-for-the-other": {[]plan.Rule{a}, []plan.Rule{b}, "b", "a"},
	} {
		t.Run(situation, func(t *testing.T) {
			p := toProve(test.old, test.next)
			if have, lost := users(p.have), users(p.lost); have != test.have || lost != test.lost {
				t.Errorf("have %q, lost %q", have, lost)
			}
		})
	}
	var many []plan.Rule
	for i := range 5000 {
		many = append(many, ruleFor(t, fmt.Sprintf("u%04d", i), ""))
	}
	p := toProve(nil, many)
	if len(p.have) != mostProved || p.have[0] != many[0] || p.have[mostProved-1] != many[4999] {
		t.Errorf("of 5000 these are proved: %s", users(p.have))
	}
}

func users(rules []plan.Rule) string {
	var names []string
	for _, r := range rules {
		names = append(names, r.User.String())
	}
	return strings.Join(names, " ")
}
