package iam_test

import (
	"strings"
	"testing"

	"latchkey/authz/iam"
)

// conditionCase is one condition on key k:k and what it makes of a context. The
// context is nil where the key is absent.
type conditionCase struct {
	operator string
	values   string // JSON
	context  []string
	want     bool
}

// holds decides a condition by an allow, and by a deny, which must agree.
func holds(t *testing.T, version, operator, values string, context map[string][]string) bool {
	t.Helper()
	doc := func(effect string) string {
		return `{"Version":"` + version + `","Statement":{"Effect":"` + effect + `","Action":"*","Resource":"*","Condition":{"` + operator + `":{"k:k":` + values + `}}}}`
	}
	r := mustRequest(t, "a:B", "*", context)
	allow := iam.Evaluate([]iam.Policy{mustParse(t, doc("Allow"))}, nil, r).Outcome == iam.Allowed
	deny := iam.Evaluate([]iam.Policy{mustParse(t, doc("Deny"))}, nil, r).Outcome == iam.ExplicitDeny
	if allow != deny {
		t.Errorf("allow applies: %v, deny applies: %v", allow, deny)
	}
	return allow
}

func runConditions(t *testing.T, cases []conditionCase) {
	t.Helper()
	for _, c := range cases {
		context := map[string][]string{"k:other": {"x"}}
		if c.context != nil {
			context["K:k"] = c.context
		}
		if got := holds(t, "2012-10-17", c.operator, c.values, context); got != c.want {
			t.Errorf("%s %s of %q: holds is %v, want %v", c.operator, c.values, c.context, got, c.want)
		}
	}
}

// family is one operator family: a policy value, contexts that are like it and
// not, and one that is not of its type.
type family struct {
	positive, negative  []string // operator names
	value               string   // JSON
	like, unlike, wrong string   // wrong is "" where any text is of the type
}

var families = []family{
	{[]string{"StringEquals"}, []string{"StringNotEquals"}, `["x","y"]`, "y", "Y", ""},
	{[]string{"StringEqualsIgnoreCase"}, []string{"StringNotEqualsIgnoreCase"}, `["x","é"]`, "É", "e", ""},
	{[]string{"StringLike"}, []string{"StringNotLike"}, `["a*","?é"]`, "éé", "A", ""},
	{[]string{"NumericEquals"}, []string{"NumericNotEquals"}, `[1,"2.50"]`, "2.5", "2", "two"},
	{[]string{"NumericLessThan"}, nil, `"10"`, "9.99", "10", "9x"},
	{[]string{"NumericLessThanEquals"}, nil, `10`, "10", "10.01", ""},
	{[]string{"NumericGreaterThan"}, nil, `["10",12]`, "11", "10", "0x11"},
	{[]string{"NumericGreaterThanEquals"}, nil, `-1`, "-1", "-1.5", "Inf"},
	{[]string{"DateEquals"}, []string{"DateNotEquals"}, `"2024-01-01T00:00:00Z"`, "2023-12-31T23:00:00-01:00", "2024-01-01T00:00:00.001Z", "today"},
	{[]string{"DateLessThan"}, nil, `"2024-01-01"`, "2023-12-31T23:59:59.999Z", "2024-01-01T00:00Z", "202-1"},
	{[]string{"DateLessThanEquals"}, nil, `1704067200`, "2024-01-01T00:00:00Z", "1704067201", "2024-13"},
	{[]string{"DateGreaterThan"}, nil, `"2024-01"`, "2024-01-01T00:00:01Z", "2024-01-01T00:00:00Z", "-5"},
	{[]string{"DateGreaterThanEquals"}, nil, `"2024-01-01T00:00Z"`, "1704067200", "1704067199", "2024-01-01T00:00:00"},
	{[]string{"Bool"}, nil, `true`, "TRUE", "false", "1"},
	{[]string{"BinaryEquals"}, nil, `["AQI=","AQID"]`, "AQID", "AQIE", "AQI"},
	{[]string{"IpAddress"}, []string{"NotIpAddress"}, `["10.0.0.0/8","2001:DB8::/32"]`, "2001:db8:ffff::1", "11.0.0.1", "10.0.0"},
	{[]string{"ArnEquals", "ArnLike"}, []string{"ArnNotEquals", "ArnNotLike"}, `"arn:aws:iam::*:user/a?n*"`, "arn:aws:iam::1:user/ann:x", "arn:aws:iam:x:1:role/ann", "arn:aws:iam"},
}

// TestCondition_Operators runs every operator with every prefix and suffix over a
// key that is absent, empty, alike, unlike, of the wrong type and multi-valued.
func TestCondition_Operators(t *testing.T) {
	count := 0
	for _, f := range families {
		for _, operator := range append(append([]string{}, f.positive...), f.negative...) {
			count++
			not := strings.Contains(operator, "Not")
			for _, ifExists := range []string{"", "IfExists"} {
				plain, all, any := operator+ifExists, "ForAllValues:"+operator+ifExists, "ForAnyValue:"+operator+ifExists
				cases := []conditionCase{
					{plain, f.value, nil, not || ifExists != ""},
					{plain, f.value, []string{}, not || ifExists != ""},
					{plain, f.value, []string{f.like}, !not},
					{plain, f.value, []string{f.unlike}, not},
					{plain, f.value, []string{f.like, f.like}, false},
					{plain, f.value, []string{f.unlike, f.unlike}, false},
					{all, f.value, nil, true},
					{all, f.value, []string{}, true},
					{all, f.value, []string{""}, true},
					{all, f.value, []string{f.like}, !not},
					{all, f.value, []string{f.like, f.like}, !not},
					{all, f.value, []string{f.like, f.unlike}, false},
					{all, f.value, []string{f.unlike, f.unlike}, not},
					{any, f.value, nil, false},
					{any, f.value, []string{}, false},
					{any, f.value, []string{""}, false},
					{any, f.value, []string{f.like, f.like}, !not},
					{any, f.value, []string{f.unlike, f.like}, true},
					{any, f.value, []string{f.unlike, f.unlike}, not},
				}
				if f.wrong != "" {
					cases = append(cases, conditionCase{plain, f.value, []string{f.wrong}, false}, conditionCase{plain, f.value, []string{""}, false},
						conditionCase{all, f.value, []string{f.wrong}, false}, conditionCase{any, f.value, []string{f.wrong}, false},
						conditionCase{any, f.value, []string{f.wrong, f.like}, !not}, conditionCase{all, f.value, []string{f.wrong, f.unlike}, false})
				}
				t.Run(strings.ToLower(plain), func(t *testing.T) { runConditions(t, cases) })
			}
		}
	}
	if count != 26 {
		t.Errorf("%d operators besides Null, want IAM's 26", count)
	}
}

// TestCondition_Details holds the single rules of each family.
func TestCondition_Details(t *testing.T) {
	runConditions(t, []conditionCase{
		{"Null", `"true"`, nil, true},
		{"Null", `"true"`, []string{}, true},
		{"Null", `"true"`, []string{""}, false},
		{"Null", `true`, []string{"x", "y"}, false},
		{"Null", `false`, nil, false},
		{"Null", `"False"`, []string{"x"}, true},
		{"Null", `["true","false"]`, nil, true},
		{"Null", `["true","false"]`, []string{"x"}, true},

		{"StringEquals", `"a*"`, []string{"a*"}, true},
		{"StringEquals", `"a*"`, []string{"ab"}, false},
		{"StringEquals", `"a${*}${?}${$}"`, []string{"a*?$"}, true},
		{"StringEquals", `""`, []string{""}, true},
		{"StringEquals", `"$"`, []string{"$"}, true},
		{"StringEquals", `"$}{"`, []string{"$}{"}, true},
		{"StringLike", `"*"`, []string{""}, true},
		{"StringLike", `""`, []string{""}, true},
		{"StringLike", `""`, []string{"x"}, false},
		{"StringLike", `"?"`, []string{""}, false},
		{"StringLike", `"a${*}b"`, []string{"a*b"}, true},
		{"StringLike", `"a${*}b"`, []string{"axb"}, false},
		{"StringLike", `"*${?}"`, []string{"ab?"}, true},
		{"StringLike", `"*a*b*c*"`, []string{"xxaxxbxxcxx"}, true},
		{"StringLike", `"*a*b*c*"`, []string{"xxaxxcxxbxx"}, false},
		{"StringLike", `"a*a"`, []string{"a"}, false},
		{"StringLike", `"a*a"`, []string{"aa"}, true},
		{"StringLike", `"*ab*ab"`, []string{"ab"}, false},
		{"StringLike", `"a?c*?e"`, []string{"abcde"}, true},
		{"StringLike", `"*?*?*"`, []string{"é"}, false},
		{"StringLike", `"*?b"`, []string{"b"}, false},
		{"StringLike", `"line*"`, []string{"line\nline"}, true},

		{"NumericEquals", `"1e3"`, []string{"1000"}, true},
		{"NumericEquals", `1000`, []string{"1E+3"}, true},
		{"NumericEquals", `"0"`, []string{"-0"}, true},
		{"NumericEquals", `"1"`, []string{"1_0"}, false},
		{"NumericEquals", `"1"`, []string{" 1"}, false},
		{"NumericEquals", `"1"`, []string{"NaN"}, false},
		{"NumericNotEquals", `"1"`, []string{"NaN"}, false},
		{"NumericEquals", `"1"`, []string{"1,0"}, false},

		{"DateEquals", `"2024-02-29"`, []string{"2024-02-29T00:00:00Z"}, true},
		{"DateEquals", `"2024-02"`, []string{"2024-02-01"}, true},
		{"DateEquals", `"2024-02-01"`, []string{"2024-02-01T00:00:00,5Z"}, false},
		{"DateEquals", `0`, []string{"1970-01-01T00:00:00Z"}, true},
		{"DateLessThan", `"9999-12-31T23:59:59Z"`, []string{"253402300800"}, false},
		{"DateGreaterThan", `"2024-01-01"`, []string{"253402300800"}, false},
		{"DateGreaterThan", `"2024-01-01"`, []string{"99999999999999999999"}, false},

		{"IpAddress", `"10.1.2.3"`, []string{"10.1.2.3"}, true},
		{"IpAddress", `"10.1.2.3"`, []string{"10.1.2.4"}, false},
		{"IpAddress", `"10.1.2.3/8"`, []string{"10.9.9.9"}, true},
		{"IpAddress", `"0.0.0.0/0"`, []string{"255.1.1.1"}, true},
		{"IpAddress", `"0.0.0.0/0"`, []string{"::1"}, false},
		{"IpAddress", `"::/0"`, []string{"10.1.1.1"}, false},
		{"IpAddress", `"10.0.0.0/8"`, []string{"::ffff:10.1.1.1"}, true},
		{"IpAddress", `"2001:DB8::1"`, []string{"2001:db8:0::1"}, true},
		{"IpAddress", `"fe80::/10"`, []string{"fe80::1%eth0"}, false},
		{"IpAddress", `"10.0.0.0/8"`, []string{"10.0.0.0/8"}, false},
		{"NotIpAddress", `"10.0.0.0/8"`, []string{"::1"}, true},
		{"NotIpAddress", `"10.1.2.3"`, []string{"::1"}, true},
		{"NotIpAddress", `"10.0.0.0/8"`, []string{"::ffff:10.1.1.1"}, false},

		{"ArnLike", `"arn:aws:s:*:111122223333:finance/*"`, []string{"arn:aws:s:us-east-2:999999999999:store/abc:111122223333:finance/document.txt"}, false},
		{"StringLike", `"arn:aws:s:*:111122223333:finance/*"`, []string{"arn:aws:s:us-east-2:999999999999:store/abc:111122223333:finance/document.txt"}, true},
		{"ArnEquals", `"arn:*:*:*:*:*"`, []string{"arn:aws:sns:::a:b"}, true},
		{"ArnEquals", `"arn:aws:sns:::a"`, []string{"arn:aws:sns:::A"}, false},
		{"ArnEquals", `"arn:aws:sns:::a"`, []string{"xrn:aws:sns:::a"}, false},

		{"BinaryEquals", `""`, []string{""}, true},
		{"BinaryEquals", `"AQI="`, []string{"AQJ="}, false},
		{"Bool", `"true"`, []string{"true "}, false},
	})
}

// TestCondition_Variables holds the rules of policy variables.
func TestCondition_Variables(t *testing.T) {
	context := map[string][]string{
		"k:k": {"ann/x"}, "aws:username": {"ann"}, "aws:Star": {"*"}, "k:list": {"ann", "bob"}, "k:empty": {""}, "k:arn": {"arn:aws:iam::1:user/ann"},
		"aws:PrincipalTag/Cost Center": {"ann"}, "k:flag": {"True"},
	}
	for situation, c := range map[string]struct {
		version, operator, values string
		key                       string // the value of k:k, if not ann/x
		want                      bool
	}{
		"equals":                   {"2012-10-17", "StringEquals", `"${aws:username}/x"`, "", true},
		"key-ignores-case":         {"2012-10-17", "StringEquals", `"${AWS:UserName}/x"`, "", true},
		"key-with-space":           {"2012-10-17", "StringEquals", `"${aws:PrincipalTag/Cost Center}/x"`, "", true},
		"like":                     {"2012-10-17", "StringLike", `"${aws:username}/*"`, "", true},
		"like-between-stars":       {"2012-10-17", "StringLike", `"*${aws:username}*?"`, "", true},
		"ignore-case":              {"2012-10-17", "StringEqualsIgnoreCase", `"${aws:username}/X"`, "", true},
		"value-is-not-a-wildcard":  {"2012-10-17", "StringLike", `"${aws:Star}"`, "", false},
		"value-is-itself":          {"2012-10-17", "StringLike", `"a${aws:Star}b"`, "a*b", true},
		"value-is-not-read-again":  {"2012-10-17", "StringEquals", `"${aws:username}"`, "${aws:username}", false},
		"absent":                   {"2012-10-17", "StringLike", `"*${aws:absent}*"`, "", false},
		"absent-negated":           {"2012-10-17", "StringNotLike", `"*${aws:absent}*"`, "", true},
		"absent-if-exists":         {"2012-10-17", "StringEqualsIfExists", `"${aws:absent}"`, "", false},
		"absent-beside-another":    {"2012-10-17", "StringEquals", `["${aws:absent}","ann/x"]`, "", true},
		"empty-is-no-value":        {"2012-10-17", "StringEquals", `"ann/x${k:empty}"`, "", false},
		"multi-valued-is-no-value": {"2012-10-17", "StringLike", `"${k:list}*"`, "", false},
		"default-unused":           {"2012-10-17", "StringEquals", `"${aws:username, 'bob'}/x"`, "", true},
		"default-for-absent":       {"2012-10-17", "StringEquals", `"${aws:absent, 'ann'}/x"`, "", true},
		"default-for-empty":        {"2012-10-17", "StringEquals", `"${k:empty, 'ann'}/x"`, "", true},
		"default-for-multi-valued": {"2012-10-17", "StringEquals", `"${k:list, 'ann'}/x"`, "", true},
		"default-empty":            {"2012-10-17", "StringEquals", `"ann/x${aws:absent, ''}"`, "", true},
		"default-is-not-wildcard":  {"2012-10-17", "StringLike", `"${aws:absent, '*'}"`, "", false},
		"default-with-comma":       {"2012-10-17", "StringEquals", `"${aws:absent, 'a, b'}"`, "a, b", true},
		"2008-is-text":             {"2008-10-17", "StringEquals", `"${aws:username}/x"`, "", false},
		"2008-text-is-itself":      {"2008-10-17", "StringEquals", `"${aws:username}/x"`, "${aws:username}/x", true},
		"2008-star-in-braces":      {"2008-10-17", "StringLike", `"${*}"`, "${ann}", true},
		"2008-unclosed":            {"2008-10-17", "StringEquals", `"${"`, "${", true},
		"arn-whole":                {"2012-10-17", "ArnEquals", `"${k:arn}"`, "arn:aws:iam::1:user/ann", true},
		"arn-whole-other":          {"2012-10-17", "ArnNotEquals", `"${k:arn}"`, "arn:aws:iam::1:user/bob", true},
		"arn-last-part":            {"2012-10-17", "ArnLike", `"arn:aws:iam::*:user/${aws:username}"`, "arn:aws:iam::1:user/ann", true},
		"arn-middle-part":          {"2012-10-17", "ArnLike", `"arn:aws:iam::${aws:username}:user/*"`, "arn:aws:iam::ann:user/ann", true},
		"arn-absent":               {"2012-10-17", "ArnNotLike", `"arn:aws:iam::*:user/${aws:absent}"`, "arn:aws:iam::1:user/ann", true},
		"bool":                     {"2012-10-17", "Bool", `"${k:flag}"`, "true", true},
		"bool-not-a-flag":          {"2012-10-17", "Bool", `"${aws:username}"`, "true", false},
	} {
		t.Run(situation, func(t *testing.T) {
			values := map[string][]string{}
			for k, v := range context {
				values[k] = v
			}
			if c.key != "" {
				values["k:k"] = []string{c.key}
			}
			if got := holds(t, c.version, c.operator, c.values, values); got != c.want {
				t.Errorf("holds is %v, want %v", got, c.want)
			}
		})
	}
}

// TestCondition_AllMustHold: operators and keys are a conjunction.
func TestCondition_AllMustHold(t *testing.T) {
	p := mustParse(t, `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"a:x":"1","a:y":"2"},"Bool":{"a:z":"true"}}}`)
	for situation, c := range map[string]struct {
		x, y, z string
		want    iam.Outcome
	}{
		"all": {"1", "2", "true", iam.Allowed}, "not-first": {"0", "2", "true", iam.ImplicitDeny},
		"not-second-key": {"1", "0", "true", iam.ImplicitDeny}, "not-second-operator": {"1", "2", "false", iam.ImplicitDeny},
	} {
		r := mustRequest(t, "a:B", "*", map[string][]string{"a:x": {c.x}, "a:y": {c.y}, "a:z": {c.z}})
		if got := iam.Evaluate([]iam.Policy{p}, nil, r).Outcome; got != c.want {
			t.Errorf("%s: %v, want %v", situation, got, c.want)
		}
	}
}

// TestResource_Variables: a variable in Resource and NotResource.
func TestResource_Variables(t *testing.T) {
	const arn = "arn:aws:s3:::bucket/ann/file"
	statement := func(effect, element, pattern string) string {
		return `{"Effect":"` + effect + `","Action":"*","` + element + `":"arn:aws:s3:::bucket/` + pattern + `"}`
	}
	ann := map[string][]string{"aws:username": {"ann"}}
	for situation, c := range map[string]struct {
		statement string
		context   map[string][]string
		want      iam.Outcome
	}{
		"own":                         {statement("Allow", "Resource", "${aws:username}/*"), ann, iam.Allowed},
		"another's":                   {statement("Allow", "Resource", "${aws:username}/*"), map[string][]string{"aws:username": {"bob"}}, iam.ImplicitDeny},
		"wildcard-as-name":            {statement("Allow", "Resource", "${aws:username}/*"), map[string][]string{"aws:username": {"*"}}, iam.ImplicitDeny},
		"absent":                      {statement("Allow", "Resource", "${aws:username}/*"), nil, iam.ImplicitDeny},
		"default":                     {statement("Allow", "Resource", "${aws:username, 'ann'}/*"), nil, iam.Allowed},
		"deny-absent":                 {statement("Deny", "Resource", "${aws:username}/*"), nil, iam.ImplicitDeny},
		"not-own":                     {statement("Allow", "NotResource", "${aws:username}/*"), ann, iam.ImplicitDeny},
		"not-absent":                  {statement("Allow", "NotResource", "${aws:username}/*"), nil, iam.ImplicitDeny},
		"not-absent-elsewhere":        {statement("Allow", "NotResource", "home/${aws:username}/*"), nil, iam.Allowed},
		"deny-not-own":                {statement("Deny", "NotResource", "${aws:username}/*"), ann, iam.ImplicitDeny},
		"deny-not-absent":             {statement("Deny", "NotResource", "${aws:username}/*"), nil, iam.ExplicitDeny},
		"special-star":                {statement("Allow", "Resource", "${*}/*"), nil, iam.ImplicitDeny},
		"special-dollar-then-literal": {statement("Allow", "Resource", "${$}{aws:username}/*"), ann, iam.ImplicitDeny},
	} {
		t.Run(situation, func(t *testing.T) {
			r := mustRequest(t, "s3:GetObject", arn, c.context)
			if got := iam.Evaluate([]iam.Policy{mustParse(t, c.statement)}, nil, r).Outcome; got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}
