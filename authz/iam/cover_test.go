package iam_test

import (
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/authz/iam"
)

// allow writes a statement of an action and a resource, and more members if any.
func allow(action, resource string, more ...string) string {
	return `{"Effect":"Allow","Action":"` + action + `","Resource":"` + resource + `"` + strings.Join(append([]string{""}, more...), ",") + `}`
}

func deny(action, resource string, more ...string) string {
	return strings.Replace(allow(action, resource, more...), "Allow", "Deny", 1)
}

// where writes a Condition member of one operator, key and value.
func where(op, key, value string) string {
	return `"Condition":{"` + op + `":{"` + key + `":"` + value + `"}}`
}

// coverCase asks whether a holder of statements (and of those of a boundary, if
// any) covers a policy of other statements.
type coverCase struct {
	holder, boundary, policy string
	want                     bool
}

func runCovers(t *testing.T, cases map[string]coverCase) {
	t.Helper()
	for situation, c := range cases {
		t.Run(situation, func(t *testing.T) {
			var boundary *iam.Policy
			if c.boundary != "" {
				b := mustParse(t, c.boundary)
				boundary = &b
			}
			if got, at := iam.Covers([]iam.Policy{mustParse(t, c.holder)}, boundary, mustParse(t, c.policy)); got != c.want {
				t.Errorf("%v (%+v), want %v", got, at, c.want)
			}
		})
	}
}

const (
	anyStack = "arn:aws:opsworks:*:*:stack/*"
	home     = "arn:aws:s3:::home/"
)

func TestCovers_Actions(t *testing.T) {
	runCovers(t, map[string]coverCase{
		"star-star":                 {allow("*", "*"), "", allow("*", "*"), true},
		"star-something":            {allow("*", "*"), "", allow("opsworks:Stop?nstance", stackA), true},
		"star-not-action":           {allow("*", "*"), "", `{"Effect":"Allow","NotAction":"a:B","NotResource":"` + stackA + `"}`, true},
		"service-not-action":        {allow("opsworks:*", "*"), "", `{"Effect":"Allow","NotAction":"iam:*","Resource":"*"}`, false},
		"service-its-actions":       {allow("opsworks:*", "*"), "", allow("OpsWorks:Get*", "*"), true},
		"service-star":              {allow("opsworks:*", "*"), "", allow("*", "*"), false},
		"service-other":             {allow("opsworks:*", "*"), "", allow("latchkey:Get", "*"), false},
		"every-service":             {allow("*:Get*", "*"), "", allow("opsworks:GetX", "*"), true},
		"every-service-wanted":      {allow("opsworks:Get*", "*"), "", allow("*:Get*", "*"), false},
		"case":                      {allow("OPSWORKS:stop*", "*"), "", allow("opsworks:STOPInstance", "*"), true},
		"one-for-star":              {allow("a:Get?", "*"), "", allow("a:Get*", "*"), false},
		"one-for-nothing":           {allow("a:Get?", "*"), "", allow("a:Get", "*"), false},
		"one-for-one":               {allow("a:Get?", "*"), "", allow("a:G?t?", "*"), false},
		"one-in-place":              {allow("a:G?t?", "*"), "", allow("a:Get?", "*"), true},
		"star-for-one":              {allow("a:Get*", "*"), "", allow("a:Get?", "*"), true},
		"stars-in-order":            {allow("a:*Get*Put*", "*"), "", allow("a:xGet*yPut", "*"), true},
		"stars-out-of-order":        {allow("a:*Get*Put*", "*"), "", allow("a:Put*Get", "*"), false},
		"holder-not-action":         {`{"Effect":"Allow","NotAction":"iam:*","Resource":"*"}`, "", allow("iam:A", "*"), false},
		"only-denies":               {deny("a:B", "*"), "", deny("*", "*"), true},
		"pairs-of-two-statements":   {allow("a:B", home+"x") + "," + allow("a:C", home+"y"), "", `{"Effect":"Allow","Action":["a:B","a:C"],"Resource":["` + home + `x","` + home + `y"]}`, false},
		"pairs-complete":            {allow("a:B", home+"*") + "," + allow("a:*", home+"y") + "," + allow("a:C", home+"x"), "", `{"Effect":"Allow","Action":["a:B","a:C"],"Resource":["` + home + `x","` + home + `y"]}`, true},
		"boundary-covers-too":       {allow("*", "*"), allow("a:*", "*"), allow("a:B", "*"), true},
		"boundary-does-not":         {allow("*", "*"), allow("a:*", "*"), allow("b:B", "*"), false},
		"boundary-alone":            {allow("b:*", "*"), allow("*", "*"), allow("a:B", "*"), false},
		"boundary-denies":           {allow("*", "*"), allow("*", "*") + "," + deny("a:B*", "*"), allow("a:*", "*"), false},
		"boundary-denies-elsewhere": {allow("*", "*"), allow("*", "*") + "," + deny("a:B*", "*"), allow("a:C*", "*"), true},
	})
}

func TestCovers_Resources(t *testing.T) {
	runCovers(t, map[string]coverCase{
		"same":                   {allow("*", stackA), "", allow("*", stackA), true},
		"other":                  {allow("*", stackA), "", allow("*", stackB), false},
		"all-stacks":             {allow("*", anyStack), "", allow("*", stackB), true},
		"some-stacks":            {allow("*", anyStack), "", allow("*", "arn:aws:opsworks:us-*:1:stack/?*"), true},
		"shortened":              {allow("*", "arn:aws:opsworks:*"), "", allow("*", anyStack), true},
		"shortened-within":       {allow("*", "arn:aws:*"), "", allow("*", "arn:aws:ops*"), true},
		"shortened-wanted":       {allow("*", "arn:aws:opsworks:*:*:*"), "", allow("*", "arn:aws:o*"), false},
		"shortened-and-in-full":  {allow("*", "arn:aws:opsworks:*:*:*"), "", allow("*", "arn:aws:opsworks:us*"), true},
		"star-ends-at-colon":     {allow("*", "arn:aws:opsworks:*:1:stack/x"), "", allow("*", "arn:aws:opsworks:eu:2:1:stack/x"), false},
		"star-past-last-colon":   {allow("*", "arn:aws:sns:eu:1:*"), "", allow("*", "arn:aws:sns:eu:1:a:b:*"), true},
		"case":                   {allow("*", home+"x"), "", allow("*", home+"X"), false},
		"arn-for-star":           {allow("*", "arn:*"), "", allow("*", "*"), false},
		"star-for-arn":           {allow("*", "*"), "", allow("*", "arn:*"), true},
		"holder-not-resource":    {`{"Effect":"Allow","Action":"*","NotResource":"` + stackB + `"}`, "", allow("*", stackB), false},
		"wanted-not-resource":    {allow("*", "arn:*"), "", `{"Effect":"Allow","Action":"*","NotResource":"` + stackA + `"}`, false},
		"variable-of-holder":     {allow("*", home+"${aws:username}"), "", allow("*", home+"${aws:username}"), false},
		"variable-of-policy":     {allow("*", home+"*"), "", allow("*", home+"${aws:username, 'x'}"), true},
		"variable-as-one":        {allow("*", home+"?"), "", allow("*", home+"${aws:username}"), false},
		"variable-and-one":       {allow("*", home+"??*"), "", allow("*", home+"${aws:username}??"), false},
		"special-star":           {allow("*", home+"${*}"), "", allow("*", home+"*"), false},
		"special-star-wanted":    {allow("*", home+"?"), "", allow("*", home+"${*}"), true},
		"special-question-alike": {allow("*", home+"a${?}"), "", allow("*", home+"a?"), false},
		"text-in-2008":           {`{"Statement":` + allow("*", home+"${aws:username}") + `}`, "", `{"Statement":` + allow("*", home+"${aws:username}") + `}`, true},
		"text-in-2008-of-policy": {`{"Statement":` + allow("*", home+"${aws:username}") + `}`, "", allow("*", home+"${aws:username}"), false},
		"wide-characters":        {allow("*", home+"?"), "", allow("*", home+"é"), true},
	})
}

func TestCovers_Denials(t *testing.T) {
	all := allow("*", "*") + ","
	runCovers(t, map[string]coverCase{
		"same":                   {all + deny("a:B", "*"), "", allow("a:B", "*"), false},
		"part-of-it":             {all + deny("a:B", "*"), "", allow("a:*", "*"), false},
		"patterns-cross":         {all + deny("a:*Stop", "*"), "", allow("a:Get*", "*"), false},
		"patterns-apart":         {all + deny("a:*Stop", "*"), "", allow("a:Get*Start", "*"), true},
		"other-service":          {all + deny("b:*", "*"), "", allow("a:*", "*"), true},
		"other-resource":         {all + deny("*", stackB), "", allow("*", stackA), true},
		"resources-cross":        {all + deny("*", "arn:aws:*:eu-west-1:*:*"), "", allow("*", anyStack), false},
		"resource-star":          {all + deny("*", stackB), "", allow("*", "*"), false},
		"denies-the-star":        {all + deny("*", "*"), "", allow("*", stackA), false},
		"with-condition":         {all + deny("a:B", "*", where("Bool", "aws:SecureTransport", "false")), "", allow("a:B", "*"), false},
		"with-condition-apart":   {all + deny("a:B", "*", where("Bool", "aws:SecureTransport", "false")), "", allow("a:C", "*"), true},
		"not-action-spares":      {all + `{"Effect":"Deny","NotAction":["a:*","b:C"],"Resource":"*"}`, "", `{"Effect":"Allow","Action":["a:B*","b:C"],"Resource":"*"}`, true},
		"not-action-hits":        {all + `{"Effect":"Deny","NotAction":["a:*","b:C"],"Resource":"*"}`, "", `{"Effect":"Allow","Action":["a:B*","b:*"],"Resource":"*"}`, false},
		"not-action-twice":       {all + `{"Effect":"Deny","NotAction":"a:*","Resource":"*"}`, "", `{"Effect":"Allow","NotAction":"b:*","Resource":"*"}`, false},
		"not-resource-spares":    {all + `{"Effect":"Deny","Action":"*","NotResource":"` + anyStack + `"}`, "", allow("*", stackA), true},
		"not-resource-hits":      {all + `{"Effect":"Deny","Action":"*","NotResource":"` + anyStack + `"}`, "", allow("*", "arn:aws:opsworks:*"), false},
		"not-resource-variable":  {all + `{"Effect":"Deny","Action":"*","NotResource":"` + home + `${aws:username}"}`, "", allow("*", home+"ann"), false},
		"variable-may-be-it":     {all + deny("*", home+"${aws:username}/x"), "", allow("*", home+"ann/*"), false},
		"variable-cannot-be-it":  {all + deny("*", home+"${aws:username}/x"), "", allow("*", home+"ann/y"), true},
		"variables-of-both":      {all + deny("*", home+"a/${aws:username}"), "", allow("*", home+"b/${aws:username}"), true},
		"of-policy-change-no-no": {allow("a:B", "*"), "", allow("a:*", "*") + "," + deny("a:C", "*"), false},
	})
}

func TestCovers_Conditions(t *testing.T) {
	secure, from := where("Bool", "aws:SecureTransport", "true"), where("IpAddress", "aws:SourceIp", "10.0.0.0/8")
	both := `"Condition":{"Bool":{"AWS:securetransport":"true"},"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}`
	name := where("StringEquals", "aws:RequestTag/owner", "${aws:username}")
	runCovers(t, map[string]coverCase{
		"holder-has-none":         {allow("*", "*"), "", allow("*", "*", secure), true},
		"same":                    {allow("*", "*", secure), "", allow("a:B", "*", secure), true},
		"policy-has-none":         {allow("*", "*", secure), "", allow("a:B", "*"), false},
		"policy-has-another":      {allow("*", "*", secure), "", allow("a:B", "*", from), false},
		"policy-has-more":         {allow("*", "*", secure), "", allow("a:B", "*", both), true},
		"policy-has-less":         {allow("*", "*", both), "", allow("a:B", "*", secure), false},
		"other-value":             {allow("*", "*", from), "", allow("a:B", "*", strings.Replace(from, "/8", "/7", 1)), false},
		"if-exists":               {allow("*", "*", secure), "", allow("a:B", "*", strings.Replace(secure, "Bool", "BoolIfExists", 1)), false},
		"boundary-has-it":         {allow("*", "*"), allow("*", "*", secure), allow("a:B", "*"), false},
		"boundary-and-policy":     {allow("*", "*"), allow("*", "*", secure), allow("a:B", "*", secure), true},
		"about-the-name":          {allow("*", "*", where("StringEquals", "AWS:username", "ann")), "", allow("*", "*", where("StringEquals", "AWS:username", "ann")), false},
		"about-the-id":            {allow("*", "*", where("StringLike", "aws:userid", "A*")), "", allow("*", "*", where("StringLike", "aws:userid", "A*")), false},
		"about-the-arn":           {allow("*", "*", where("Null", "aws:PrincipalArn", "false")), "", allow("*", "*", where("Null", "aws:PrincipalArn", "false")), false},
		"about-a-tag":             {allow("*", "*", where("StringEquals", "aws:principaltag/a", "b")), "", allow("*", "*", where("StringEquals", "aws:principaltag/a", "b")), false},
		"about-our-own-principal": {allow("*", "*", where("StringEquals", "latchkey:PrincipalLevel", "b")), "", allow("*", "*", where("StringEquals", "latchkey:PrincipalLevel", "b")), false},
		"variable":                {allow("*", "*", name), "", allow("*", "*", name), false},
		"variable-in-one-version": {allow("*", "*", name), "", `{"Statement":` + allow("*", "*", name) + `}`, false},
		"about-the-resource":      {allow("*", "*", where("StringEquals", "aws:ResourceTag/a", "b")), "", allow("*", "*", where("StringEquals", "aws:ResourceTag/a", "b")), true},
	})
}

// TestCovers_Match names the statement, and covers nothing with a malformed policy.
func TestCovers_Match(t *testing.T) {
	all, narrow, none := mustParse(t, allow("*", "*")), mustParse(t, allow("a:*", "*")), mustParse(t, deny("a:*", "*"))
	p := mustParse(t, deny("*", "*")+","+allow("a:B", "*")+","+allow("b:B", "*", `"Sid":"Second"`)+","+allow("c:B", "*"))
	for situation, c := range map[string]struct {
		holder   []iam.Policy
		boundary *iam.Policy
		policy   iam.Policy
		want     bool
		at       iam.Match
	}{
		"covered":            {[]iam.Policy{narrow, all}, &all, p, true, iam.Match{}},
		"third":              {[]iam.Policy{narrow}, nil, p, false, iam.Match{Statement: 2, Sid: "Second"}},
		"third-of-boundary":  {[]iam.Policy{all}, &narrow, p, false, iam.Match{Statement: 2, Sid: "Second"}},
		"denied-in-another":  {[]iam.Policy{all, none}, nil, p, false, iam.Match{Statement: 1}},
		"nothing-held":       {nil, nil, p, false, iam.Match{Statement: 1}},
		"nothing-wanted":     {nil, nil, none, true, iam.Match{}},
		"policy-malformed":   {[]iam.Policy{all}, nil, iam.Policy{}, false, iam.Match{}},
		"holder-malformed":   {[]iam.Policy{all, {}}, nil, none, false, iam.Match{}},
		"boundary-malformed": {[]iam.Policy{all}, &iam.Policy{}, p, false, iam.Match{}},
	} {
		t.Run(situation, func(t *testing.T) {
			if got, at := iam.Covers(c.holder, c.boundary, c.policy); got != c.want || at != c.at {
				t.Errorf("%v, %+v", got, at)
			}
		})
	}
}

// TestCovers_EveryPattern compares all patterns of up to three symbols with each
// other, by all names of up to six letters that they match: a third letter stands
// for those that no pattern has. What is covered is so for every name, and a
// denial is in the way exactly where one name is of both.
func TestCovers_EveryPattern(t *testing.T) {
	patterns, names := words("ab?*", 3), words("abc", 6)
	type side struct {
		allows, denies iam.Policy
		matches        []bool
	}
	sides := make([]side, len(patterns))
	for i, p := range patterns {
		sides[i] = side{mustParse(t, allow("x:"+p, "*")), mustParse(t, allow("*", "*")+","+deny("x:"+p, "*")), nil}
		for _, name := range names {
			matched, err := path.Match(p, name)
			if err != nil {
				t.Fatal(err)
			}
			sides[i].matches = append(sides[i].matches, matched)
		}
	}
	proved, included := 0, 0
	for i, a := range sides {
		for j, b := range sides {
			inside, common := true, false
			for k, of := range b.matches {
				inside, common = inside && (!of || a.matches[k]), common || of && a.matches[k]
			}
			covers, _ := iam.Covers([]iam.Policy{a.allows}, nil, b.allows)
			apart, _ := iam.Covers([]iam.Policy{a.denies}, nil, b.allows)
			if covers && !inside || apart == common {
				t.Errorf("%s and %s: covers is %v and should be %v, apart is %v and has common names: %v", patterns[i], patterns[j], covers, inside, apart, common)
			}
			proved, included = proved+count(covers), included+count(inside)
		}
	}
	t.Logf("%d of %d proved", proved, included)
	if proved*5 < included*4 {
		t.Error("too few to be of use")
	}
}

func count(b bool) int { return map[bool]int{true: 1}[b] }

// words lists all texts of letters up to a length.
func words(letters string, most int) []string {
	all, last := []string{}, []string{""}
	for range most {
		var longer []string
		for _, w := range last {
			for _, c := range letters {
				longer = append(longer, w+string(c))
			}
		}
		all, last = slices.Concat(all, longer), longer
	}
	return all
}

// TestCovers_Time: documents as large as IAM lets them be, and as unlike a
// practical one as can be, are compared in little time.
func TestCovers_Time(t *testing.T) {
	list := func(one string) string {
		return strings.Repeat(one+`","`, iam.MaxManaged/(len(one)+3)-40/len(one)) + one
	}
	long := strings.Repeat("a*", iam.MaxManaged/2-100)
	for situation, c := range map[string]coverCase{
		"long-patterns": {allow("*", home+long+"b"), "", allow("*", home+long+"c"), false},
		"many-actions":  {`{"Effect":"Allow","Action":["` + list("a:b*c") + `"],"Resource":"*"}`, "", `{"Effect":"Allow","Action":["` + list("a:*") + `"],"Resource":"*"}`, false},
	} {
		t.Run(situation, func(t *testing.T) {
			holder, p := mustParse(t, c.holder), mustParse(t, c.policy)
			start := time.Now()
			got, _ := iam.Covers([]iam.Policy{holder}, nil, p)
			if spent := time.Since(start); got != c.want || spent > 2*time.Second {
				t.Errorf("%v after %v", got, spent)
			} else {
				t.Log(spent)
			}
		})
	}
}
