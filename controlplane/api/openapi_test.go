package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestOpenAPI: every reference leads somewhere, every schema and every security
// scheme is used, every operation has what OpenAPI 3.1 demands. A validator that
// nobody here wrote looks at the document in e2e/apimodel.
func TestOpenAPI(t *testing.T) {
	text, err := OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := OpenAPI(); err != nil || string(again) != string(text) {
		t.Error("it is another document each time")
	}
	var d struct {
		OpenAPI    string
		Info       struct{ Title, Version string }
		Security   []map[string][]string
		Paths      map[string]map[string]operationObject
		Components struct{ Schemas, SecuritySchemes map[string]json.RawMessage }
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	if d.OpenAPI != "3.1.0" || d.Info.Title == "" || d.Info.Version == "" || len(d.Paths) != len(Actions()) {
		t.Errorf("document %+v", d.Info)
	}
	for _, a := range Actions() {
		op, found := d.Paths["/api/v1/"+a.Name]["post"]
		if !found || op.OperationID != a.Name || op.Summary != a.Doc || len(op.RequestBody.Content) != 1 {
			t.Errorf("%s: %+v", a.Name, op)
		}
		for status, r := range op.Responses {
			if r.Description == "" || len(r.Content) != 1 {
				t.Errorf("%s: %s is %+v", a.Name, status, r)
			}
		}
		if _, found := op.Responses["200"]; !found || len(op.Responses) != 9 {
			t.Errorf("%s: %d responses", a.Name, len(op.Responses))
		}
	}
	for _, part := range strings.Split(string(text), `"$ref":"`)[1:] {
		ref, _, _ := strings.Cut(part, `"`)
		name, found := strings.CutPrefix(ref, "#/components/schemas/")
		if _, there := d.Components.Schemas[name]; !found || !there {
			t.Errorf("%s leads nowhere", ref)
		}
	}
	for name := range d.Components.Schemas {
		if !strings.Contains(string(text), `"#/components/schemas/`+name+`"`) {
			t.Errorf("nothing refers to %s", name)
		}
	}
	if len(d.Security) != len(d.Components.SecuritySchemes) {
		t.Errorf("security %v", d.Security)
	}
}

type operationObject struct {
	OperationID string
	Summary     string
	RequestBody struct{ Content map[string]any }
	Responses   map[string]struct {
		Description string
		Content     map[string]any
	}
}

// A few schemas as they should be.
func TestOpenAPI_Schemas(t *testing.T) {
	text, err := OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Components struct{ Schemas map[string]json.RawMessage }
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"DeleteStackRequest": `{"additionalProperties":false,"properties":{"StackId":{"type":"string"}},"required":["StackId"],"type":"object"}`,
		"DescribeStacksRequest": `{"additionalProperties":false,"properties":{"StackIds":{"items":{"type":"string"},"type":"array"}},` +
			`"type":"object"}`,
		"ListTagsResponse": `{"properties":{"NextToken":{"type":"string"},` +
			`"Tags":{"additionalProperties":{"type":"string"},"type":"object"}},"required":["Tags"],"type":"object"}`,
		"DescribeMyUserProfileRequest": `{"additionalProperties":false,"properties":{},"type":"object"}`,
	} {
		if got := string(d.Components.Schemas[name]); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, want)
		}
	}
	// A stack is shown with the members that it was created with.
	var stack struct{ Properties map[string]any }
	if err := json.Unmarshal(d.Components.Schemas["Stack"], &stack); err != nil {
		t.Fatal(err)
	}
	for _, member := range []string{"StackId", "Arn", "Name", "CustomJson", "CreatedAt"} {
		if stack.Properties[member] == nil {
			t.Errorf("Stack has no %s", member)
		}
	}
}

func TestServeOpenAPI(t *testing.T) {
	s := newTestServer(t)
	want, err := OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	get := func(edit func(*http.Request)) (int, string, http.Header) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/api/v1/openapi.json", nil)
		if err != nil {
			t.Fatal(err)
		}
		edit(r)
		return s.do(t, r)
	}
	status, body, head := get(func(r *http.Request) { r.SetBasicAuth(s.key.ID, s.key.Secret) })
	if status != 200 || body != string(want) || head.Get("Content-Type") != "application/json" {
		t.Errorf("with a password: %d %.100s", status, body)
	}
	if status, body, _ := get(func(r *http.Request) { s.sign(t, r, "", ownService) }); status != 200 || body != string(want) {
		t.Errorf("signed: %d %.100s", status, body)
	}
	status, body, head = get(func(*http.Request) {})
	if status != 401 || !strings.Contains(body, "MissingAuthenticationTokenException") || head.Get("WWW-Authenticate") == "" {
		t.Errorf("nobody: %d %s", status, body)
	}
	if status, body, _ = s.post(t, "/api/v1/openapi.json", "{}", nil); status != 400 || !strings.Contains(body, "UnknownOperationException") {
		t.Errorf("as an action: %d %s", status, body)
	}
	if !slices.ContainsFunc(strings.Split(s.log.String(), "\n"), func(line string) bool {
		return field(line, "action") == openAPIName && field(line, "outcome") == "ok"
	}) {
		t.Error("the log has no line of it")
	}
}
