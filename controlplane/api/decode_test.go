package api

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/controlplane"
)

func ptr[T any](v T) *T { return &v }

func TestDecode(t *testing.T) {
	type request = controlplane.CreateStackRequest
	for _, tt := range []struct {
		name, body string
		want       request
	}{
		{"empty-body", ``, request{}},
		{"empty-object", ` {} `, request{}},
		{"null-is-absent", `{"Name":null,"Attributes":null,"UseCustomCookbooks":null,"CustomCookbooksSource":null}`, request{}},
		{"all-kinds", `{"Name":"n","Attributes":{"Color":"red"},"UseCustomCookbooks":false,"CustomCookbooksSource":{"Url":"u"}}`,
			request{Name: "n", Attributes: map[string]string{"Color": "red"}, UseCustomCookbooks: ptr(false),
				CustomCookbooksSource: &controlplane.Source{Url: "u"}}},
		{"escapes", `{"Name":"\u00e9\n<&>"}`, request{Name: "é\n<&>"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got request
			if err := decode([]byte(tt.body), &got, refuseUnknown); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	deep := strings.Repeat(`{"CustomCookbooksSource":`, 5) + "1" + strings.Repeat("}", 5)
	for _, tt := range []struct{ name, body, want string }{
		{"not-json", `{`, "SerializationException: the body is not one JSON document"},
		{"trailing", `{} {}`, "SerializationException: the body is not one JSON document"},
		{"not-utf-8", "{\"Name\":\"\xff\"}", "SerializationException: the body is not UTF-8"},
		{"utf-16", "\xff\xfe{\x00}\x00", "SerializationException: the body is not UTF-8"},
		{"a-list", `[]`, "SerializationException: the body: an object is wanted, a list was given"},
		{"null", `null`, "SerializationException: the body: an object is wanted, null was given"},
		{"string-for-boolean", `{"UseCustomCookbooks":"false"}`, "SerializationException: UseCustomCookbooks: true or false is wanted, a string was given"},
		{"number-for-boolean", `{"UseCustomCookbooks":1}`, "SerializationException: UseCustomCookbooks: true or false is wanted, a number was given"},
		{"object-for-string", `{"Name":{}}`, "SerializationException: Name: a string is wanted, an object was given"},
		{"string-for-object", `{"CustomCookbooksSource":"x"}`, "SerializationException: CustomCookbooksSource: an object is wanted, a string was given"},
		{"inside", `{"CustomCookbooksSource":{"Url":true}}`, "SerializationException: CustomCookbooksSource.Url: a string is wanted, a boolean was given"},
		{"in-a-map", `{"Attributes":{"Color":[]}}`, "SerializationException: Attributes.Color: a string is wanted, a list was given"},
		{"twice", `{"Name":"a","Name":"b"}`, `SerializationException: "Name" is given twice`},
		{"twice-escaped", `{"Name":"a","\u004eame":"b"}`, `SerializationException: "Name" is given twice`},
		{"unknown", `{"Nmae":"a"}`, `ValidationException: "Nmae" is not a member of this request`},
		{"other-case", `{"name":"a"}`, `ValidationException: "name" is not a member of this request`},
		{"unknown-inside", `{"CustomCookbooksSource":{"X":1}}`, `ValidationException: "CustomCookbooksSource.X" is not a member of this request`},
		{"too-deep", deep, `ValidationException: "CustomCookbooksSource.CustomCookbooksSource" is not a member of this request`},
		{"deeper-than-any-parser", strings.Repeat("[", 1<<20), "SerializationException: the body is not one JSON document"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := decode([]byte(tt.body), &controlplane.CreateStackRequest{}, refuseUnknown)
			if err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// TestDecodeNumbers: the one request with a number, and lists of strings.
func TestDecodeNumbers(t *testing.T) {
	for body, want := range map[string]string{
		`{"TtlSeconds":1.5}`:     "SerializationException: TtlSeconds: a whole number is wanted, a number was given",
		`{"TtlSeconds":1e400}`:   "SerializationException: TtlSeconds: a whole number is wanted, a number was given",
		`{"TtlSeconds":"60"}`:    "SerializationException: TtlSeconds: a whole number is wanted, a string was given",
		`{"TtlSeconds":9e18999}`: "SerializationException: TtlSeconds: a whole number is wanted, a number was given",
	} {
		if err := decode([]byte(body), &controlplane.CreateJoinTokenRequest{}, refuseUnknown); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", body, err, want)
		}
	}
	for body, want := range map[string]string{
		`{"StackIds":"a"}`:    "SerializationException: StackIds: a list is wanted, a string was given",
		`{"StackIds":[null]}`: "SerializationException: StackIds[0]: a list holds null",
		`{"StackIds":[[]]}`:   "SerializationException: StackIds[0]: a string is wanted, a list was given",
	} {
		if err := decode([]byte(body), &controlplane.DescribeStacksRequest{}, refuseUnknown); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", body, err, want)
		}
	}
}

// TestDecodeIgnores: the AWS surface lets unknown members pass, and a member in
// another case is one of those, not the known one.
func TestDecodeIgnores(t *testing.T) {
	var got controlplane.SetPermissionRequest
	body := `{"StackId":"s","AllowSudo":false,"allowsudo":true,"New":{"deep":[1,{"x":null}]}}`
	if err := decode([]byte(body), &got, ignoreUnknown); err != nil {
		t.Fatal(err)
	}
	want := controlplane.SetPermissionRequest{StackId: "s", AllowSudo: ptr(false)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
