package apimodel

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"latchkey/controlplane/api"
)

// openAPI returns the document, read and found valid by a library that nobody here
// wrote and that knows OpenAPI 3.1.
func openAPI(t *testing.T) *openapi3.T {
	t.Helper()
	text, err := api.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := validDocument(t, string(text))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func validDocument(t *testing.T, text string) (*openapi3.T, error) {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData([]byte(text))
	if err != nil {
		return nil, err
	}
	return doc, doc.Validate(t.Context())
}

// TestOpenAPI_Broken: the validator refuses what is not OpenAPI, and what is 3.0 only
// where the document says 3.1.
func TestOpenAPI_Broken(t *testing.T) {
	sound, err := api.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	const version, number = `"openapi":"3.1.0"`, `"format":"int64"`
	for name, tc := range map[string]struct{ from, to string }{
		"reference":      {"schemas/DeleteStackRequest", "schemas/Nothing"},
		"type":           {`"type":"boolean"`, `"type":"bool"`},
		"responses":      {`"responses":{`, `"replies":{`},
		"security":       {`"security":[{"password":[]}`, `"security":[{"passport":[]}`},
		"unknown-member": {version, version + `,"answers":{}`},
		"bound-of-3.0":   {number, number + `,"minimum":0,"exclusiveMinimum":true`},
	} {
		t.Run(name, func(t *testing.T) {
			broken := strings.Replace(string(sound), tc.from, tc.to, 1)
			if broken == string(sound) {
				t.Fatalf("%s is not in the document", tc.from)
			}
			if _, err := validDocument(t, broken); err == nil {
				t.Error("it is found valid")
			}
		})
	}
}

// documented is a handler whose every call is held against the document: an answer
// must be one of those described, and a request that is carried out must be allowed.
// The AWS surface has the same requests and answers under other headers.
type documented struct {
	t    *testing.T
	doc  *openapi3.T
	next http.Handler
}

func (d documented) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		d.t.Error(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	got := httptest.NewRecorder()
	d.next.ServeHTTP(got, r)
	maps.Copy(w.Header(), got.Header())
	w.WriteHeader(got.Code)
	w.Write(got.Body.Bytes())

	path := r.URL.Path
	if action, found := strings.CutPrefix(r.Header.Get("X-Amz-Target"), "OpsWorks_20130218."); found {
		path = "/api/v1/" + action
	}
	answer := got.Body.Bytes()
	if path != r.URL.Path && len(answer) == 0 { // an action without output
		answer = []byte("{}")
	}
	for _, fault := range d.faults(path, body, got.Code, answer) {
		d.t.Error(fault)
	}
}

// faults says how a call is not as the document describes it.
func (d documented) faults(path string, request []byte, status int, answer []byte) (faults []string) {
	item := d.doc.Paths.Find(path)
	if item == nil {
		return nil // not an action
	}
	if len(request) == 0 {
		request = []byte("{}")
	}
	r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(request))
	r.Header.Set("Content-Type", "application/json")
	asked := &openapi3filter.RequestValidationInput{
		Request: r, Route: &routers.Route{Spec: d.doc, Path: path, PathItem: item, Method: r.Method, Operation: item.Post},
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true},
	}
	if err := openapi3filter.ValidateRequest(r.Context(), asked); err != nil && status == http.StatusOK {
		faults = append(faults, fmt.Sprintf("%s carries out what the document refuses: %v", path, err))
	}
	replied := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: asked, Status: status, Header: http.Header{"Content-Type": {"application/json"}}, Options: asked.Options,
	}
	if err := openapi3filter.ValidateResponse(r.Context(), replied.SetBodyBytes(answer)); err != nil {
		faults = append(faults, fmt.Sprintf("%s answers %d in another way than the document says: %v", path, status, err))
	}
	return faults
}

// TestDocumented shows that calls which are not as described are found.
func TestDocumented(t *testing.T) {
	d := documented{doc: openAPI(t)}
	for name, tc := range map[string]struct {
		action, request string
		status          int
		answer, want    string
	}{
		"sound":             {"DeleteStack", `{"StackId":"s"}`, 200, `{}`, ""},
		"sound-refusal":     {"DeleteStack", `{"StackId":1}`, 400, `{"__type":"a","message":"b"}`, ""},
		"member-missing":    {"DeleteStack", `{}`, 200, `{}`, "DeleteStack carries out"},
		"member-unknown":    {"DeleteStack", `{"StackId":"s","X":1}`, 200, `{}`, "DeleteStack carries out"},
		"member-mistyped":   {"DeleteStack", `{"StackId":1}`, 200, `{}`, "DeleteStack carries out"},
		"answer-not-empty":  {"DeleteStack", `{"StackId":"s"}`, 200, `{"X":1}`, "DeleteStack answers 200"},
		"answer-mistyped":   {"DescribeStacks", `{}`, 200, `{"Stacks":[{"StackId":1}]}`, "DescribeStacks answers 200"},
		"answer-incomplete": {"DescribeStacks", `{}`, 200, `{}`, "DescribeStacks answers 200"},
		"error-incomplete":  {"DeleteStack", `{"StackId":"s"}`, 404, `{"__type":"a"}`, "DeleteStack answers 404"},
		"status":            {"DeleteStack", `{"StackId":"s"}`, 418, `{}`, "DeleteStack answers 418"},
	} {
		t.Run(name, func(t *testing.T) {
			faults := strings.Join(d.faults("/api/v1/"+tc.action, []byte(tc.request), tc.status, []byte(tc.answer)), "\n")
			if !strings.Contains(faults, tc.want) || (tc.want == "") != (faults == "") {
				t.Errorf("got %q, want %q", faults, tc.want)
			}
		})
	}
}

// TestOpenAPI sends every action a request with every member that the document gives
// it, and one with the required ones, on the plain surface: none may be refused as
// malformed. What comes back is compared on the way, as in every test.
func TestOpenAPI(t *testing.T) {
	w := newWorld(t)
	doc := openAPI(t)
	for _, path := range slices.Sorted(maps.Keys(doc.Paths.Map())) {
		action := strings.TrimPrefix(path, "/api/v1/")
		schema := doc.Paths.Find(path).Post.RequestBody.Value.Content.Get("application/json").Schema.Value
		full, ok := example(schema).(members)
		if !ok {
			t.Fatalf("%s: the request is no object", action)
		}
		least := members{}
		for _, name := range schema.Required {
			least[name] = full[name]
		}
		for _, request := range []members{full, least} {
			status, body := w.plain(t, action, request)
			malformed := strings.Contains(body, "SerializationException") || strings.Contains(body, "is not a member")
			if malformed || status >= http.StatusInternalServerError {
				t.Errorf("%s with %v: %d %s", action, request, status, body)
			}
		}
	}
	made := w.call(t, "CreateStack", members{"Name": "web", "Region": region, "ServiceRoleArn": "r", "DefaultInstanceProfileArn": "p"})
	if status, body := w.plain(t, "CreateJoinToken", members{"StackId": made["StackId"]}); status != http.StatusOK {
		t.Errorf("CreateJoinToken: %d %s", status, body)
	}
}

// example makes a value of a schema, with every member.
func example(s *openapi3.Schema) any {
	switch {
	case s.Type.Is("object"):
		all := members{}
		for name, member := range s.Properties {
			all[name] = example(member.Value)
		}
		if values := s.AdditionalProperties.Schema; values != nil {
			all["x"] = example(values.Value)
		}
		return all
	case s.Type.Is("array"):
		return []any{example(s.Items.Value)}
	case s.Type.Is("boolean"):
		return true
	case s.Type.Is("integer"):
		return 60
	case s.Type.Is("string"):
		return "x"
	}
	return members{} // of any type
}
