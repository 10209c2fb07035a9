package api

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"latchkey/authz"
	"latchkey/controlplane"
)

var update = flag.Bool("update", false, "write docs/api.md anew")

const referencePage = "../../docs/api.md"

// TestReferencePage: docs/api.md is what the registry says. After a change write it
// with  go test ./controlplane/api -run TestReferencePage -update
func TestReferencePage(t *testing.T) {
	want := reference()
	if *update {
		if err := os.WriteFile(referencePage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(referencePage)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/api.md is not what the registry says; write it with  go test ./controlplane/api -run TestReferencePage -update")
	}
}

const preface = `# The API

Made from the registry of actions by a test; ` + "`go test ./controlplane/api -run TestReferencePage -update`" + ` writes it anew.

Every action is ` + "`POST /api/v1/ACTION`" + ` with a JSON object and HTTP Basic (access key id and secret) or AWS Signature Version 4, or
` + "`latchkey call ACTION --json '{…}'`" + `. An action of OpsWorks is also ` + "`POST /`" + ` with ` + "`X-Amz-Target: OpsWorks_20130218.ACTION`" + ` in AWS JSON 1.1, as
every stock AWS client sends it. ` + "`GET /api/v1/openapi.json`" + `, with the same credentials, is this page for programs.

A member that a request leaves out stays as it is. An answer leaves out what is not set. Times are text like
` + "`2026-08-01T22:53:42+00:00`" + `. An error is ` + "`{\"__type\":…,\"message\":…}`" + `, with HTTP status 400 at ` + "`/`" + ` and with an honest one elsewhere:

| type | status | when |
|---|---|---|
`

// reference makes the page.
func reference() string {
	var b strings.Builder
	b.WriteString(preface)
	for _, e := range []struct{ code, when string }{
		{"ValidationException", "the request is malformed or forbidden"}, {"SerializationException", "the body is not the JSON that is wanted"},
		{"UnknownOperationException", "no action has the name"}, {"MissingAuthenticationTokenException", "the request carries no credentials"},
		{"UnrecognizedClientException", "the access key is not known"}, {"InvalidSignatureException", "the signature is another"},
		{"AccessDeniedException", "the caller may not"}, {"ResourceNotFoundException", "something named does not exist"},
		{"RequestEntityTooLargeException", "the body is larger than 1 MiB, or than the action says"}, {"ThrottlingException", "sign the request again"},
	} {
		fmt.Fprintf(&b, "| `%s` | %d | %s |\n", e.code, honestStatus(controlplane.Code(e.code)), e.when)
	}
	b.WriteString("\n## Actions\n\n")
	for _, a := range Actions() {
		fmt.Fprintf(&b, "- [%s](#%s) — %s\n", a.Name, strings.ToLower(a.Name), a.Doc)
	}
	types := map[reflect.Type]bool{}
	for _, a := range Actions() {
		describe(&b, a, types)
	}
	b.WriteString("\n## Types\n")
	var named []reflect.Type
	for t := range types {
		named = append(named, t)
	}
	slices.SortFunc(named, func(x, y reflect.Type) int { return strings.Compare(x.Name(), y.Name()) })
	for _, t := range named {
		fmt.Fprintf(&b, "\n### %s\n\n", t.Name())
		table(&b, t, types)
	}
	b.WriteString("\n## Known and not served\n\nThe authoriser decides about these too. Calling one is a `ValidationException`.\n\n")
	for _, name := range strings.Fields(originalActions) {
		if !slices.ContainsFunc(Actions(), func(a Action) bool { return a.Name == name }) {
			fmt.Fprintf(&b, "`%s`\n", name)
		}
	}
	return b.String()
}

func describe(b *strings.Builder, a Action, types map[reflect.Type]bool) {
	fmt.Fprintf(b, "\n### %s\n\n%s `%s`: %s.\n\n", a.Name, a.Doc, a.IAM, whoMay(a.IAM.Rule()))
	if a.MaxBody != MaxBody {
		fmt.Fprintf(b, "The request may have up to %d MiB.\n\n", a.MaxBody>>20)
	}
	if a.Request.NumField() == 0 {
		b.WriteString("The request has no members.\n")
	} else {
		b.WriteString("Request:\n\n")
		table(b, a.Request, types)
	}
	if a.Response == nil {
		b.WriteString("\nThe answer is empty.\n")
		return
	}
	b.WriteString("\nAnswer:\n\n")
	table(b, a.Response, types)
}

func whoMay(r authz.ActionRule) string {
	switch {
	case r.Scope == authz.ScopeSelf:
		return "those whose profile allows self-management, or by policy"
	case r.Scope == authz.ScopeUser:
		return "by policy on the user's ARN"
	case r.Level == authz.LevelDeny:
		return "by policy only"
	}
	return "from the level " + r.Level.String() + " on the stack, or by policy"
}

// table lists the members of a struct, and notes the structs that they are.
func table(b *strings.Builder, t reflect.Type, types map[reflect.Type]bool) {
	b.WriteString("| member | type | |\n|---|---|---|\n")
	for _, m := range membersOf(t) {
		note := m.doc
		if !m.required {
			note = strings.TrimSuffix("optional; "+note, "; ")
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", m.name, typeWords(m.kind, types), note)
	}
}

func typeWords(t reflect.Type, types map[reflect.Type]bool) string {
	if t == anyJSON {
		return "JSON"
	}
	switch t.Kind() {
	case reflect.Struct:
		note(t, types)
		return fmt.Sprintf("[%s](#%s)", t.Name(), strings.ToLower(t.Name()))
	case reflect.Slice:
		return "list of " + typeWords(t.Elem(), types)
	case reflect.Map:
		return "map of string to " + typeWords(t.Elem(), types)
	case reflect.Bool:
		return "boolean"
	case reflect.Int64:
		return "integer"
	}
	return "string"
}

// note adds a struct and those that its members are.
func note(t reflect.Type, types map[reflect.Type]bool) {
	if types[t] {
		return
	}
	types[t] = true
	for _, m := range membersOf(t) {
		typeWords(m.kind, types)
	}
}
