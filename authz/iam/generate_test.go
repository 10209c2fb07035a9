package iam_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
)

// question is a generated case: policies, maybe a boundary, and a request.
type question struct {
	Policies []policyDoc         `json:"policies"`
	Boundary *policyDoc          `json:"boundary,omitempty"`
	Action   string              `json:"action"`
	Resource string              `json:"resource"`
	Context  map[string][]string `json:"context"`
}

type policyDoc struct {
	Version   string `json:",omitempty"`
	Statement []statementDoc
}

type statementDoc struct {
	Effect      string
	Action      values                       `json:",omitempty"`
	NotAction   values                       `json:",omitempty"`
	Resource    values                       `json:",omitempty"`
	NotResource values                       `json:",omitempty"`
	Condition   map[string]map[string]values `json:",omitempty"`
}

// values prints as IAM's authors write them: one by itself, several as a list.
type values []string

func (v values) MarshalJSON() ([]byte, error) {
	if len(v) == 1 {
		return json.Marshal(v[0])
	}
	return json.Marshal([]string(v))
}

// generator makes questions that are near each other, so that patterns often
// match and often just do not. rare is how often it uses, in a thousand, what the
// simulator is known to decide otherwise.
type generator struct {
	*rand.Rand
	rare int
}

func newGenerator(seed uint64, rare int) *generator {
	return &generator{rand.New(rand.NewPCG(seed, 0x1a3)), rare}
}

func pick[T any](g *generator, from ...T) T { return from[g.IntN(len(from))] }

// in reports true n times in a hundred.
func (g *generator) in(n int) bool { return g.IntN(100) < n }

func (g *generator) odd() bool { return g.IntN(1000) < g.rare }

func (g *generator) question() question {
	q := question{Action: g.action(), Resource: g.arn(), Context: g.context()}
	for range 1 + g.IntN(2) {
		q.Policies = append(q.Policies, g.policy())
	}
	if g.in(20) {
		b := g.policy()
		q.Boundary = &b
	}
	return q
}

func (g *generator) action() string {
	return pick(g, "opsworks", "opsworks", "opsworks", "latchkey") + ":" +
		pick(g, "StopInstance", "StartInstance", "RebootInstance", "DescribeStacks", "SetPermission", "CreateLayer", "Authorize")
}

func (g *generator) arn() string {
	return "arn:" + pick(g, "aws", "aws", "aws", "aws-cn") + ":" + pick(g, "opsworks", "opsworks", "opsworks", "sns") + ":" +
		pick(g, "us-east-1", "us-east-1", "eu-west-1", "") + ":" + pick(g, "111122223333", "111122223333", "444455556666") + ":" +
		pick(g, "stack/", "stack/", "stack/", "layer:") + pick(g, "ann", "bob", "web", "a+b", "x:y", "2f18b4cb") + pick(g, "/", "/", "", "/deep/er")
}

// blur turns a text into a pattern that may or may not match it.
func (g *generator) blur(s string) string {
	for range g.IntN(3) {
		if s == "" {
			break
		}
		i := g.IntN(len(s))
		j := i + g.IntN(min(5, len(s)-i))
		if s[i:j] != "" && strings.ContainsAny(s[i:j], ":$*{}") {
			continue
		}
		s = s[:i] + pick(g, "*", "*", strings.Repeat("?", j-i), "?", "**") + s[j:]
	}
	return s
}

func (g *generator) some(one func() string) values {
	var v values
	for range pick(g, 1, 1, 1, 2, 3) {
		v = append(v, one())
	}
	return v
}

func (g *generator) actionPattern() string {
	if g.in(15) {
		return "*"
	}
	if g.odd() {
		return "*:*"
	}
	service, verb, _ := strings.Cut(g.action(), ":")
	if g.in(30) {
		verb = "*"
	}
	if g.in(10) {
		service, verb = strings.ToUpper(service), strings.ToLower(verb)
	}
	return service + ":" + g.blur(verb)
}

func (g *generator) resourcePattern() string {
	if g.in(15) {
		return "*"
	}
	part := strings.SplitN(g.arn(), ":", 6)
	for i := 1; i < 5; i++ {
		if g.in(25) {
			part[i] = "*"
		} else if g.in(10) {
			part[i] = g.blur(part[i])
		}
	}
	for i := range part[1:3] { // may not be empty
		if part[i+1] == "" {
			part[i+1] = "*"
		}
	}
	if g.odd() {
		part[3] = strings.ToUpper(part[3])
	}
	kind, name := "stack/", strings.TrimPrefix(part[5], "stack/")
	if name == part[5] {
		kind, name = "layer:", strings.TrimPrefix(part[5], "layer:")
	}
	switch {
	case g.in(10):
		return strings.Join(part[:3+g.IntN(3)], ":") + "*"
	case g.odd():
		kind = g.blur(kind)
	case g.in(25):
		name = pick(g, "*", "*/", name+"*")
	case g.in(30):
		name = g.variable() + pick(g, "/", "", "*", "/*")
	case g.in(10):
		name = pick(g, "a${*}b", "${*}", "a${?}b", "${$}") + pick(g, "/", "", "*")
	default:
		name = g.blur(name)
	}
	return strings.Join(part[:5], ":") + ":" + kind + name
}

func (g *generator) variable() string {
	return pick(g, "${aws:username}", "${AWS:UserName}", "${aws:PrincipalTag/team}", "${aws:PrincipalTag/team, 'web'}", "${aws:absent, 'ann'}", "${aws:absent}", "${aws:TagKeys}")
}

func (g *generator) policy() policyDoc {
	p := policyDoc{Version: "2012-10-17"}
	if g.odd() {
		p.Version = pick(g, "2008-10-17", "")
	}
	for range 1 + g.IntN(3) {
		p.Statement = append(p.Statement, g.statement())
	}
	if doc, _ := json.Marshal(p); bytes.Contains(doc, []byte("${a:flag}")) || bytes.Contains(doc, []byte(`"${aws:PrincipalArn}"`)) {
		p.Version = "2012-10-17" // without variables these are no values of their operators
	}
	return p
}

func (g *generator) statement() statementDoc {
	s := statementDoc{Effect: pick(g, "Allow", "Allow", "Allow", "Deny")}
	if g.in(15) {
		s.NotAction = g.some(g.actionPattern)
	} else {
		s.Action = g.some(g.actionPattern)
	}
	if g.in(15) {
		s.NotResource = g.some(g.resourcePattern)
	} else {
		s.Resource = g.some(g.resourcePattern)
	}
	if g.in(60) {
		s.Condition = map[string]map[string]values{}
		for range pick(g, 1, 1, 1, 2) {
			op, block := g.condition()
			s.Condition[op] = block
		}
	}
	return s
}

// condition makes one operator's block.
func (g *generator) condition() (string, map[string]values) {
	block := map[string]values{}
	key := func(name string) string {
		if g.in(10) {
			return strings.ToUpper(name)
		}
		return name
	}
	var op string
	switch g.IntN(9) {
	case 0, 1:
		op = pick(g, "StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase")
		block[key(pick(g, "aws:username", "aws:PrincipalTag/team", "aws:TagKeys"))] = g.some(g.plainText)
	case 2:
		op = pick(g, "StringLike", "StringNotLike")
		block[key(pick(g, "aws:username", "aws:PrincipalTag/team", "aws:TagKeys"))] = g.some(func() string {
			if g.in(15) {
				return pick(g, "a${*}b", "a${?}*", "*${$}*")
			}
			if text := g.plainText(); strings.Contains(text, "$") {
				return pick(g, "", "*", "a") + text + pick(g, "", "*", "?")
			} else {
				return g.blur(text)
			}
		})
	case 3:
		op = "Numeric" + pick(g, "Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")
		block[key("a:number")] = g.some(func() string { return g.number() })
	case 4:
		op = "Date" + pick(g, "Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")
		block[key("aws:CurrentTime")] = g.some(func() string { return g.date() })
	case 5:
		op = pick(g, "IpAddress", "NotIpAddress")
		block[key("aws:SourceIp")] = g.some(g.network)
	case 6:
		op = pick(g, "ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike")
		block[key("aws:PrincipalArn")] = g.some(g.arnValue)
	case 7:
		op = pick(g, "Bool", "BinaryEquals")
		if op == "Bool" {
			block[key("aws:SecureTransport")] = g.some(func() string { return pick(g, "true", "false", "True", "${a:flag}") })
		} else {
			block[key("a:blob")] = g.some(func() string { return pick(g, "AQID", "AQI=", "") })
		}
	default:
		block[key(g.key())] = g.some(func() string { return pick(g, "true", "false", "TRUE") })
		return "Null", block
	}
	return pick(g, "", "", "ForAllValues:", "ForAnyValue:") + op + pick(g, "", "", "IfExists"), block
}

func (g *generator) key() string {
	return pick(g, "aws:username", "aws:PrincipalTag/team", "aws:TagKeys", "a:number", "aws:CurrentTime", "aws:SourceIp", "aws:PrincipalArn", "aws:SecureTransport", "a:blob")
}

func (g *generator) plainText() string {
	if g.in(15) {
		return g.variable()
	}
	if g.odd() {
		return pick(g, "a${*}b", "${$}x")
	}
	return pick(g, "ann", "Ann", "bob", "web", "a*b", "annabel", "")
}

func (g *generator) number() string {
	if g.odd() {
		return pick(g, "1e1", "+10")
	}
	return pick(g, "9", "10", "10.0", "10.5", "-3", "0")
}

func (g *generator) date() string {
	if g.odd() {
		return pick(g, "1704067200", "0", "1709251200")
	}
	return pick(g, "2024-01-01T00:00:00Z", "2024-01-01", "2024-01", "2024-01-01T02:00:00+02:00", "2024-03-01T00:00:00.5Z", "2024-03-01T00:00Z", "2023-12-31T23:59:59Z")
}

func (g *generator) network() string {
	if g.odd() {
		return pick(g, "10.1.2.3", "2001:DB8::1", "0.0.0.0/0")
	}
	return pick(g, "10.0.0.0/8", "10.1.2.3/16", "10.1.2.3/32", "10.1.2.3/1", "192.168.0.0/31", "2001:db8::/32", "2001:DB8:1::/48", "::/0")
}

func (g *generator) arnValue() string {
	if g.odd() {
		return pick(g, "${aws:PrincipalArn}", "arn:aws:iam::${a:account}:user/ann")
	}
	part := strings.SplitN(g.principal(), ":", 6)
	for i := 1; i < 5; i++ {
		if g.in(20) {
			part[i] = "*"
		}
	}
	if g.in(30) {
		part[5] = pick(g, "*", "user/${aws:username}", "user/*")
	} else {
		part[5] = g.blur(part[5])
	}
	return strings.Join(part, ":")
}

func (g *generator) principal() string {
	return pick(g, "arn:aws:iam::111122223333:user/ann", "arn:aws:iam::111122223333:user/dev/bob", "arn:aws:sts::111122223333:assumed-role/r/ann", "arn:aws:iam::444455556666:user/a:b")
}

// context leaves a third of the keys out, gives some several values and some a
// value that is not of their type.
func (g *generator) context() map[string][]string {
	c := map[string][]string{}
	put := func(key string, good func() string, bad ...string) {
		if g.in(33) {
			return
		}
		n := pick(g, 1, 1, 1, 1, 2, 3)
		if g.odd() {
			n = 0
		}
		c[key] = []string{}
		for range n {
			v := good()
			if g.in(8) {
				v = pick(g, bad...)
			}
			c[key] = append(c[key], v)
		}
	}
	text := func() string { return pick(g, "ann", "Ann", "bob", "web", "a*b", "annabel", "$x") }
	put("aws:username", text, "ann2", "*")
	put("aws:PrincipalTag/team", text, "ann2", "?")
	put("aws:TagKeys", text, "zzz")
	if g.odd() {
		c["aws:TagKeys"] = []string{""}
	}
	put("a:number", g.number, "ten", "")
	put("aws:CurrentTime", g.date, "yesterday", "")
	put("aws:SourceIp", func() string {
		if g.odd() {
			return "::ffff:10.1.2.3"
		}
		return pick(g, "10.1.2.3", "10.200.0.1", "192.168.0.1", "192.168.0.2", "2001:db8::1", "2001:db8:1::5")
	}, "10.1.2", "nowhere", "")
	put("aws:PrincipalArn", g.principal, "ann", "arn:aws:iam", "")
	put("aws:SecureTransport", func() string { return pick(g, "true", "false", "TRUE") }, "yes", "")
	put("a:blob", func() string { return pick(g, "AQID", "AQI=") }, "AQI", "!")
	put("a:flag", func() string { return pick(g, "true", "false") }, "perhaps")
	put("a:account", func() string { return "111122223333" }, "1:2")
	return c
}
