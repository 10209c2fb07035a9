package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"latchkey/controlplane"
)

// FuzzServe sends the administrator's bodies to every action, on both surfaces, of a
// whole control plane that lives as long as the process: whatever they are, the
// answer is a well-formed one, and never a fault of the server.
func FuzzServe(f *testing.F) {
	cp, dir := newControlPlane(f)
	key, err := dir.AdminKey()
	if err != nil {
		f.Fatal(err)
	}
	log := &lockedBuffer{}
	w := &fuzzed{server: server{url: "http://localhost", cp: cp, key: key, log: log}}
	h := New(Config{ControlPlane: cp, Region: "us-east-1", Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelError}))})
	w.handler = NewServer(h, &tls.Config{}, func(context.Context) error { return nil }, discard()).Handler
	for i, a := range Actions() {
		for _, body := range examples(a.Request) {
			f.Add(uint8(i), true, body)
			f.Add(uint8(i), false, body)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, plain bool, body []byte) {
		actions := Actions()
		a := actions[int(which)%len(actions)]
		w.furnish(t)
		before := log.String()
		got := w.call(t, a, plain, w.places.Replace(string(body)))
		if said := strings.TrimPrefix(log.String(), before); said != "" {
			t.Fatalf("%s of %q: %s", a.Name, body, said)
		}
		if plain {
			mustBeAnswer(t, a, got, honestStatus, "{}")
		} else {
			mustBeAnswer(t, a, got, awsStatus, "")
		}
	})
}

// fuzzed is a control plane in which the words STACK, INSTANCE, USER and ARN of a
// body name something.
type fuzzed struct {
	server
	handler http.Handler
	calls   int
	places  *strings.Replacer
	stale   bool // something may have been deleted
}

const fuzzUser = "arn:aws:iam::000000000000:user/alice"

func (w *fuzzed) furnish(t *testing.T) {
	if w.places != nil && !w.stale {
		return
	}
	w.stale = false
	stack := w.stack(t)
	instance, _ := enrolled(t, w.cp, w.admin(t), stack)
	w.cp.CreateUserProfile(t.Context(), w.admin(t), controlplane.CreateUserProfileRequest{IamUserArn: fuzzUser}) // he may be there
	w.places = strings.NewReplacer("STACK", stack, "INSTANCE", instance, "USER", fuzzUser,
		"ARN", "arn:aws:opsworks:us-east-1:000000000000:stack/"+stack+"/")
}

// call sends one request, whose signature no other had.
func (w *fuzzed) call(t *testing.T, a Action, plain bool, body string) *httptest.ResponseRecorder {
	t.Helper()
	path := "/"
	if plain {
		path = plainPath + a.Name
	}
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	if plain {
		r.Header.Set("Content-Type", plainJSON)
		r.SetBasicAuth(w.key.ID, w.key.Secret)
	} else {
		w.calls++
		r.Header.Set("Content-Type", awsJSON)
		r.Header.Set("X-Amz-Target", awsTarget+a.Name)
		r.Header.Set("X-Call", strconv.Itoa(w.calls))
		w.sign(t, r, body, awsService)
	}
	got := httptest.NewRecorder()
	w.handler.ServeHTTP(got, r)
	if got.Code == http.StatusOK && a.Changes && strings.HasPrefix(a.Name, "De") {
		w.stale = true
	}
	return got
}

// mustBeAnswer wants an object where there is output and nothing where there is
// none, or an error with its own status.
func mustBeAnswer(t *testing.T, a Action, got *httptest.ResponseRecorder, status func(controlplane.Code) int, nothing string) {
	t.Helper()
	body := got.Body.Bytes()
	if got.Code == http.StatusOK {
		var out map[string]json.RawMessage
		if isNothing := string(body) == nothing; a.Response == nil && !isNothing || a.Response != nil && json.Unmarshal(body, &out) != nil {
			t.Fatalf("%s: %s", a.Name, body)
		}
		return
	}
	var e struct {
		Type    controlplane.Code `json:"__type"`
		Message string            `json:"message"`
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&e); err != nil || e.Type == "" || e.Type == Internal || e.Message == "" || got.Code != status(e.Type) {
		t.Fatalf("%s: %d %s", a.Name, got.Code, body)
	}
}

// examples makes bodies for a request: one with every member, one with those that
// have to be there, and these with each of the others.
func examples(request reflect.Type) (all [][]byte) {
	full, least := object{}, object{}
	for _, m := range membersOf(request) {
		full[m.name] = example(m.kind, m.name)
		if m.required {
			least[m.name] = full[m.name]
		}
	}
	bodies := []object{full, least}
	for _, m := range membersOf(request) {
		one := maps.Clone(least)
		one[m.name] = full[m.name]
		bodies = append(bodies, one)
	}
	for _, body := range bodies {
		text, err := json.Marshal(body)
		if err != nil {
			panic(err)
		}
		all = append(all, text)
	}
	return all
}

// example makes a value for a member, which the name of a well-known one tells.
func example(t reflect.Type, name string) any {
	switch t.Kind() {
	case reflect.Pointer:
		return example(t.Elem(), name)
	case reflect.Struct:
		all := object{}
		for _, m := range membersOf(t) {
			all[m.name] = example(m.kind, m.name)
		}
		return all
	case reflect.Slice:
		if t == reflect.TypeFor[json.RawMessage]() {
			return object{}
		}
		return []any{example(t.Elem(), strings.TrimSuffix(name, "s"))}
	case reflect.Map:
		return object{"x": example(t.Elem(), name)}
	case reflect.Bool:
		return true
	case reflect.Int64:
		return 60
	}
	switch name {
	case "StackId", "SourceStackId":
		return "STACK"
	case "InstanceId":
		return "INSTANCE"
	case "IamUserArn":
		return "USER"
	case "ResourceArn":
		return "ARN"
	case "Level":
		return "show"
	case "Region":
		return "us-east-1"
	}
	return "x"
}
