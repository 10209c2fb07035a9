package iam_test

import (
	"errors"
	"strings"
	"testing"

	"latchkey/authz/iam"
	"latchkey/authz/name"
)

// refusal is a malformed document, why it is refused, and where.
type refusal struct {
	doc  string
	want *name.Refusal
	path string
}

// statement wraps statements in a document.
func statement(s string) string { return `{"Version":"2012-10-17","Statement":[` + s + `]}` }

// with adds elements to a statement that is good.
func with(s string) string {
	return statement(`{"Effect":"Allow","Action":"a:B","Resource":"*",` + s + `}`)
}

// condition adds a condition to a statement that is good.
func condition(op, value string) string {
	return with(`"Condition":{"` + op + `":{"aws:x":` + value + `}}`)
}

// refusedDocuments are malformed as JSON, or in the elements around the statements.
func refusedDocuments() map[string]refusal {
	return map[string]refusal{
		"nothing":               {``, iam.ErrSyntax, ""},
		"not-json":              {`{"Version":`, iam.ErrSyntax, ""},
		"trailing-data":         {statement(`{"Effect":"Allow","Action":"*","Resource":"*"}`) + `{}`, iam.ErrSyntax, ""},
		"trailing-comma":        {`{"Version":"2012-10-17",}`, iam.ErrSyntax, ""},
		"comment":               {`{/* */}`, iam.ErrSyntax, ""},
		"byte-order-mark":       {"\ufeff{}", iam.ErrSyntax, ""},
		"not-utf8":              {"{\"Id\":\"\xff\"}", iam.ErrEncoding, ""},
		"too-large":             {strings.Repeat(" ", iam.MaxDocument) + `{}`, iam.ErrTooLarge, ""},
		"too-deep":              {`{"Id":` + strings.Repeat("[", 7) + strings.Repeat("]", 7) + `}`, iam.ErrDepth, "Id[0][0][0][0][0]"},
		"not-an-object":         {`[]`, iam.ErrType, ""},
		"null":                  {`null`, iam.ErrType, ""},
		"empty-object":          {`{}`, iam.ErrMissing, ""},
		"unknown-element":       {`{"Statements":[]}`, iam.ErrElement, ""},
		"element-in-other-case": {`{"version":"2012-10-17"}`, iam.ErrElement, ""},
		"duplicate-element":     {`{"Version":"2012-10-17","Version":"2012-10-17"}`, iam.ErrDuplicate, ""},
		"duplicate-by-escape":   {statement(`{"Effect":"Deny","Effec\u0074":"Allow"}`), iam.ErrDuplicate, "Statement[0]"},
		"version-unknown":       {`{"Version":"2012-10-18"}`, iam.ErrVersion, "Version"},
		"version-number":        {`{"Version":20121017}`, iam.ErrVersion, "Version"},
		"id-not-text":           {`{"Id":1}`, iam.ErrType, "Id"},
		"statement-empty-list":  {`{"Statement":[]}`, iam.ErrEmptyList, "Statement"},
		"statement-not-object":  {statement(`"x"`), iam.ErrType, "Statement[0]"},
		"statement-null":        {`{"Statement":null}`, iam.ErrType, "Statement"},
		"statement-empty":       {statement(`{}`), iam.ErrMissing, "Statement[0]"},
	}
}

// refusedStatements are malformed in a statement outside its conditions.
func refusedStatements() map[string]refusal {
	return map[string]refusal{
		"statement-unknown-element":    {with(`"Actions":"*"`), iam.ErrElement, "Statement[0]"},
		"principal":                    {with(`"Principal":"*"`), iam.ErrPrincipal, "Statement[0].Principal"},
		"not-principal":                {with(`"NotPrincipal":"*"`), iam.ErrPrincipal, "Statement[0].NotPrincipal"},
		"no-effect":                    {statement(`{"Action":"*","Resource":"*"}`), iam.ErrMissing, "Statement[0]"},
		"no-action":                    {statement(`{"Effect":"Allow","Resource":"*"}`), iam.ErrMissing, "Statement[0]"},
		"no-resource":                  {statement(`{"Effect":"Allow","Action":"*"}`), iam.ErrMissing, "Statement[0]"},
		"effect-in-other-case":         {statement(`{"Effect":"allow","Action":"*","Resource":"*"}`), iam.ErrEffect, "Statement[0].Effect"},
		"action-and-not-action":        {with(`"NotAction":"a:C"`), iam.ErrBoth, "Statement[0].NotAction"},
		"resource-and-not-resource":    {with(`"NotResource":"*"`), iam.ErrBoth, "Statement[0].NotResource"},
		"sid-character":                {with(`"Sid":"a b"`), iam.ErrSid, "Statement[0].Sid"},
		"sid-not-text":                 {with(`"Sid":1`), iam.ErrType, "Statement[0].Sid"},
		"sid-twice":                    {statement(`{"Sid":"a","Effect":"Allow","Action":"*","Resource":"*"},{"Sid":"a","Effect":"Allow","Action":"*","Resource":"*"}`), iam.ErrSidTwice, "Statement[1]"},
		"action-empty":                 {statement(`{"Action":""}`), iam.ErrActionPattern, "Statement[0].Action"},
		"action-empty-list":            {statement(`{"Action":[]}`), iam.ErrEmptyList, "Statement[0].Action"},
		"action-nested-list":           {statement(`{"Action":[["a:B"]]}`), iam.ErrType, "Statement[0].Action[0]"},
		"action-without-service":       {statement(`{"Action":["a:B","StopInstance"]}`), iam.ErrActionPattern, "Statement[0].Action[1]"},
		"action-service-wildcard":      {statement(`{"Action":"ops*:Stop"}`), iam.ErrActionPattern, "Statement[0].Action"},
		"action-empty-name":            {statement(`{"Action":"opsworks:"}`), iam.ErrActionPattern, "Statement[0].Action"},
		"action-two-colons":            {statement(`{"Action":"opsworks:a:b"}`), iam.ErrActionPattern, "Statement[0].Action"},
		"action-variable":              {statement(`{"Action":"opsworks:${aws:username}"}`), iam.ErrActionPattern, "Statement[0].Action"},
		"action-white-space":           {statement(`{"Action":" opsworks:A"}`), iam.ErrActionPattern, "Statement[0].Action"},
		"not-action-empty-list":        {statement(`{"NotAction":[]}`), iam.ErrEmptyList, "Statement[0].NotAction"},
		"resource-empty":               {statement(`{"Resource":""}`), iam.ErrResourcePattern, "Statement[0].Resource"},
		"resource-empty-list":          {statement(`{"Resource":[]}`), iam.ErrEmptyList, "Statement[0].Resource"},
		"resource-no-arn":              {statement(`{"Resource":"stack/x"}`), iam.ErrResourcePattern, "Statement[0].Resource"},
		"resource-two-stars":           {statement(`{"Resource":"**"}`), iam.ErrResourcePattern, "Statement[0].Resource"},
		"resource-short":               {statement(`{"Resource":["*","arn:aws:opsworks:us-east-1"]}`), iam.ErrResourceShort, "Statement[0].Resource[1]"},
		"resource-empty-end":           {statement(`{"Resource":"arn:aws:opsworks:::"}`), iam.ErrResourcePattern, "Statement[0].Resource"},
		"resource-control":             {statement(`{"Resource":"arn:aws:s3:::a\u0000b"}`), iam.ErrResourcePattern, "Statement[0].Resource"},
		"resource-number":              {statement(`{"Resource":1}`), iam.ErrType, "Statement[0].Resource"},
		"variable-unclosed":            {statement(`{"Resource":"arn:aws:s3:::${aws:username"}`), iam.ErrVariable, "Statement[0].Resource"},
		"variable-empty":               {statement(`{"Resource":"arn:aws:s3:::${}"}`), iam.ErrVariable, "Statement[0].Resource"},
		"variable-nested":              {statement(`{"Resource":"arn:aws:s3:::${aws:${aws:x}}"}`), iam.ErrVariable, "Statement[0].Resource"},
		"variable-default-unquoted":    {statement(`{"Resource":"arn:aws:s3:::${aws:x, y}"}`), iam.ErrVariable, "Statement[0].Resource"},
		"variable-default-without-gap": {statement(`{"Resource":"arn:aws:s3:::${aws:x,'y'}"}`), iam.ErrVariable, "Statement[0].Resource"},
		"variable-default-quote":       {statement(`{"Resource":"arn:aws:s3:::${aws:x, 'y'z'}"}`), iam.ErrVariable, "Statement[0].Resource"},
		"variable-in-account":          {statement(`{"Resource":"arn:aws:iam::${aws:PrincipalAccount}:user/x"}`), iam.ErrVariablePlace, "Statement[0].Resource"},
	}
}

// refusedConditions are malformed in a condition.
func refusedConditions() map[string]refusal {
	const first = "Statement[0].Condition"
	return map[string]refusal{
		"condition-not-object":       {with(`"Condition":[]`), iam.ErrType, first},
		"condition-empty":            {with(`"Condition":{}`), iam.ErrEmptyList, first},
		"operator-empty":             {with(`"Condition":{"StringEquals":{}}`), iam.ErrEmptyList, first + ".StringEquals"},
		"operator-unknown":           {condition("StringEqual", `"x"`), iam.ErrOperator, first},
		"operator-in-other-case":     {condition("stringEquals", `"x"`), iam.ErrOperator, first},
		"operator-other-prefix":      {condition("ForSomeValues:StringEquals", `"x"`), iam.ErrOperator, first},
		"operator-two-prefixes":      {condition("ForAnyValue:ForAllValues:StringEquals", `"x"`), iam.ErrOperator, first},
		"operator-if-exists-twice":   {condition("StringEqualsIfExistsIfExists", `"x"`), iam.ErrOperator, first},
		"operator-null-if-exists":    {condition("NullIfExists", `"true"`), iam.ErrOperator, first},
		"operator-null-with-set":     {condition("ForAllValues:Null", `"true"`), iam.ErrOperator, first},
		"operator-binary-not":        {condition("BinaryNotEquals", `"eA=="`), iam.ErrOperator, first},
		"key-without-service":        {with(`"Condition":{"StringEquals":{"SourceIp":"x"}}`), iam.ErrKey, first + ".StringEquals[0]"},
		"key-twice":                  {with(`"Condition":{"StringEquals":{"aws:x":"1","aws:x":"2"}}`), iam.ErrDuplicate, first + ".StringEquals"},
		"key-twice-in-other-case":    {with(`"Condition":{"StringEquals":{"aws:x":"1","AWS:X":"2"}}`), iam.ErrDuplicate, first + ".StringEquals"},
		"value-empty-list":           {condition("StringEquals", `[]`), iam.ErrEmptyList, first + ".StringEquals[0]"},
		"value-null":                 {condition("StringEquals", `null`), iam.ErrType, first + ".StringEquals[0]"},
		"value-object":               {condition("StringEquals", `{"a":"b"}`), iam.ErrType, first + ".StringEquals[0]"},
		"value-nested-list":          {condition("StringEquals", `["x",["y"]]`), iam.ErrDepth, first + ".StringEquals[0][1]"},
		"value-variable":             {condition("StringEquals", `"${x"`), iam.ErrVariable, first + ".StringEquals[0]"},
		"value-not-number":           {condition("NumericEquals", `["1","x"]`), iam.ErrValue, first + ".NumericEquals[0][1]"},
		"value-number-infinite":      {condition("NumericEquals", `"1e999"`), iam.ErrValue, first + ".NumericEquals[0]"},
		"value-number-hex":           {condition("NumericEquals", `"0x10"`), iam.ErrValue, first + ".NumericEquals[0]"},
		"value-number-variable":      {condition("NumericEquals", `"${aws:x}"`), iam.ErrValue, first + ".NumericEquals[0]"},
		"value-not-date":             {condition("DateLessThan", `"tomorrow"`), iam.ErrValue, first + ".DateLessThan[0]"},
		"value-date-30-february":     {condition("DateLessThan", `"2024-02-30"`), iam.ErrValue, first + ".DateLessThan[0]"},
		"value-date-no-zone":         {condition("DateLessThan", `"2024-02-20T10:00:00"`), iam.ErrValue, first + ".DateLessThan[0]"},
		"value-date-one-digit-hour":  {condition("DateLessThan", `"2024-02-20T1:00:00Z"`), iam.ErrValue, first + ".DateLessThan[0]"},
		"value-not-bool":             {condition("Bool", `"yes"`), iam.ErrValue, first + ".Bool[0]"},
		"value-not-base64":           {condition("BinaryEquals", `"eA="`), iam.ErrValue, first + ".BinaryEquals[0]"},
		"value-not-address":          {condition("IpAddress", `"10.0.0.256"`), iam.ErrValue, first + ".IpAddress[0]"},
		"value-address-prefix":       {condition("IpAddress", `"10.0.0.0/33"`), iam.ErrValue, first + ".IpAddress[0]"},
		"value-address-leading-zero": {condition("IpAddress", `"010.0.0.1"`), iam.ErrValue, first + ".IpAddress[0]"},
		"value-address-variable":     {condition("IpAddress", `"${aws:SourceIp}"`), iam.ErrValue, first + ".IpAddress[0]"},
		"value-not-arn":              {condition("ArnLike", `"*"`), iam.ErrValue, first + ".ArnLike[0]"},
		"value-arn-dollar":           {condition("ArnLike", `"${*}"`), iam.ErrValue, first + ".ArnLike[0]"},
		"value-null-not-bool":        {condition("Null", `"maybe"`), iam.ErrValue, first + ".Null[0]"},
	}
}

// TestParse_Refusals asserts reason and place of every way to be malformed, and that
// what was refused denies (requirement R110).
func TestParse_Refusals(t *testing.T) {
	for _, group := range []map[string]refusal{refusedDocuments(), refusedStatements(), refusedConditions()} {
		for situation, c := range group {
			t.Run(situation, func(t *testing.T) { refuses(t, c) })
		}
	}
}

func refuses(t *testing.T, c refusal) {
	p, err := iam.Parse([]byte(c.doc))
	var at *iam.Error
	if !errors.As(err, &at) {
		t.Fatalf("%s: error is %v", c.doc, err)
	}
	if at.Reason != c.want || at.Path != c.path || at.Offset < 0 || at.Offset > len(c.doc) {
		t.Errorf("%s: %v at %q, want %v at %q", c.doc, at, at.Path, c.want, c.path)
	}
	if !errors.Is(err, c.want) || !p.IsZero() {
		t.Errorf("%v is not %v, or gave a policy", err, c.want)
	}
	if d := iam.Evaluate([]iam.Policy{p}, nil, mustRequest(t, "a:B", "*", nil)); d.Outcome != iam.ExplicitDeny || d.Reason != iam.ErrPolicy {
		t.Errorf("evaluated to %+v", d)
	}
}
