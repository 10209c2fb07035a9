package apimodel

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// model is the API's model as far as the tests read it.
type model struct {
	Operations map[string]operation
	Shapes     map[string]shape
}

type operation struct {
	Input, Output *reference
	Errors        []reference
}

type reference struct{ Shape string }

type shape struct {
	Type       string
	Members    map[string]reference
	Required   []string
	Member     *reference // of a list
	Key, Value *reference // of a map
	Enum       []string
	Box        bool
}

// readModel reads it from where the go command keeps the module of the AWS client.
func readModel(t *testing.T) model {
	t.Helper()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/aws/aws-sdk-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "models/apis/opsworks/2013-02-18/api-2.json"))
	if err != nil {
		t.Fatal(err)
	}
	var m model
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	if len(m.Operations) != 74 {
		t.Fatalf("the model has %d operations", len(m.Operations))
	}
	return m
}

// own lists the members that are our addition, by the model's shape. A stock client
// passes over those of an answer.
func own() []string {
	return []string{"CreateUserProfileResult.SshUsername", "SetPermissionRequest.ExpiresAt", "Permission.ExpiresAt",
		"SetPermissionRequest.SudoCommands", "Permission.SudoCommands", "SetPermissionRequest.Restricted", "Permission.Restricted"}
}

// check compares a JSON value with a shape and returns what is wrong: a member that
// is not in the model, a required one that is not there, another type, a word that
// is not among those allowed.
func (m model) check(name string, v any, path string) (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, path+": "+fmt.Sprintf(format, args...)) }
	s := m.Shapes[name]
	switch is := v.(type) {
	case map[string]any:
		switch s.Type {
		case "map":
			for _, key := range slices.Sorted(maps.Keys(is)) {
				faults = append(faults, m.check(s.Key.Shape, key, path+" key "+key)...)
				faults = append(faults, m.check(s.Value.Shape, is[key], path+"."+key)...)
			}
			return faults
		case "structure":
			for _, member := range slices.Sorted(maps.Keys(is)) {
				ref, known := s.Members[member]
				switch {
				case known:
					faults = append(faults, m.check(ref.Shape, is[member], path+"."+member)...)
				case !slices.Contains(own(), name+"."+member):
					fault("%s is not in the model", member)
				}
			}
			for _, member := range s.Required {
				if _, there := is[member]; !there {
					fault("%s is required", member)
				}
			}
			return faults
		}
	case []any:
		if s.Type == "list" {
			for i, e := range is {
				faults = append(faults, m.check(s.Member.Shape, e, fmt.Sprintf("%s[%d]", path, i))...)
			}
			return faults
		}
	case string:
		if s.Type == "string" {
			if len(s.Enum) > 0 && !slices.Contains(s.Enum, is) {
				fault("%q is none of %s", is, strings.Join(s.Enum, ", "))
			}
			return faults
		}
	case bool:
		if s.Type == "boolean" {
			return faults
		}
	case json.Number:
		if _, err := is.Int64(); s.Type == "integer" && err == nil {
			return faults
		}
	}
	fault("%T where the model has a %s", v, s.Type)
	return faults
}

// TestCheck shows that each kind of fault is found.
func TestCheck(t *testing.T) {
	m := readModel(t)
	for name, tc := range map[string]struct{ shape, json, want string }{
		"sound":          {"SetPermissionRequest", `{"StackId":"s","IamUserArn":"a","AllowSsh":true}`, ""},
		"own":            {"SetPermissionRequest", `{"StackId":"s","IamUserArn":"a","ExpiresAt":""}`, ""},
		"required":       {"SetPermissionRequest", `{"StackId":"s"}`, "x: IamUserArn is required"},
		"unknown":        {"SetPermissionRequest", `{"StackId":"s","IamUserArn":"a","Allow":true}`, "x: Allow is not in the model"},
		"own-elsewhere":  {"DeleteStackRequest", `{"StackId":"s","ExpiresAt":""}`, "x: ExpiresAt is not in the model"},
		"type":           {"SetPermissionRequest", `{"StackId":"s","IamUserArn":"a","AllowSsh":"true"}`, "x.AllowSsh: string where the model has a boolean"},
		"null":           {"DeleteStackRequest", `{"StackId":null}`, "x.StackId: <nil> where the model has a string"},
		"number":         {"GrantAccessRequest", `{"InstanceId":"i","ValidForInMinutes":1.5}`, "x.ValidForInMinutes: json.Number where the model has a integer"},
		"enumeration":    {"Instance", `{"Architecture":"arm64"}`, `x.Architecture: "arm64" is none of x86_64, i386`},
		"key-of-a-map":   {"UpdateStackRequest", `{"StackId":"s","Attributes":{"Size":"1"}}`, `x.Attributes key Size: "Size" is none of Color`},
		"inside-a-list":  {"DescribePermissionsResult", `{"Permissions":[{"StackId":1}]}`, "x.Permissions[0].StackId: json.Number where the model has a string"},
		"object-as-list": {"DescribeStacksResult", `{"Stacks":{}}`, "x.Stacks: map[string]interface {} where the model has a list"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := strings.Join(m.check(tc.shape, decode(t, []byte(tc.json)), "x"), "\n"); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// decode reads JSON with numbers as they are written.
func decode(t *testing.T, text []byte) any {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}
