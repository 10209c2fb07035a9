package wire_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"latchkey/authz/wire"
)

const canonicalReport = `{"epoch":1,"serial":7,"at":"2026-11-22T12:00:00Z","steps":[{"what":"account alice","code":"","error":""}],` +
	`"refused":[],"facts":{"hostname":"web-1","os":"linux","platform":"debian 12","architecture":"x86_64","agent":"1","address":"10.0.0.1"},` +
	`"uses":[{"name":"alice","fingerprint":"SHA256:fe85JkIjo8VPe+XqXJGH5Mau1EMFdK1OdKvJUFicyA8","at":"2026-11-22T11:59:00Z","proved":true}],` +
	`"inventory":{"at":"","entries":[],"more":0}}` + "\n"

func TestDecode(t *testing.T) {
	var r wire.Report
	if err := wire.Decode([]byte(canonicalReport), &r); err != nil {
		t.Fatal(err)
	}
	if r.Serial != 7 || len(r.Steps) != 1 || r.Steps[0].What != "account alice" || r.Facts.Platform != "debian 12" {
		t.Errorf("got %+v", r)
	}
}

// TestDecode_Refused changes a canonical document in one place each (requirement R76
// in part).
func TestDecode_Refused(t *testing.T) {
	for situation, c := range map[string][2]string{
		"duplicate-key":         {`"serial":7`, `"serial":7,"serial":7`},
		"duplicate-other-value": {`"serial":7`, `"serial":6,"serial":7`},
		"case-changed-key":      {`"serial":7`, `"Serial":7`},
		"unknown-field":         {`"serial":7`, `"serial":7,"command":"id"`},
		"missing-field":         {`"serial":7,`, ``},
		"null-number":           {`"serial":7`, `"serial":null`},
		"null-string":           {`"at":"2026-11-22T12:00:00Z"`, `"at":null`},
		"null-list":             {`"refused":[]`, `"refused":null`},
		"null-element":          {`"refused":[]`, `"refused":[null]`},
		"null-object":           {`{"what":"account alice","code":"","error":""}`, `null`},
		"object-for-list":       {`"refused":[]`, `"refused":{}`},
		"string-for-number":     {`"serial":7`, `"serial":"7"`},
		"number-for-string":     {`"code":""`, `"code":0`},
		"float":                 {`"serial":7`, `"serial":7.0`},
		"exponent":              {`"serial":7`, `"serial":7e0`},
		"1e400":                 {`"serial":7`, `"serial":1e400`},
		"2^63":                  {`"serial":7`, `"serial":9223372036854775808`},
		"2^64-1":                {`"serial":7`, `"serial":18446744073709551615`},
		"minus-zero":            {`"serial":7`, `"serial":-0`},
		"leading-zero":          {`"serial":7`, `"serial":07`},
		"other-order":           {`"epoch":1,"serial":7`, `"serial":7,"epoch":1`},
		"white-space":           {`"serial":7`, `"serial": 7`},
		"escaped-letter":        {`account alice`, `account \u0061lice`},
		"escaped-slash":         {`debian 12`, `debian\/12`},
		"escaped-key":           {`"serial":7`, `"seri\u0061l":7`},
		"invalid-utf-8":         {`debian 12`, "debian \xff"},
		"lone-surrogate":        {`debian 12`, `debian \ud800`},
		"control-character":     {`debian 12`, "debian\t12"},
		"trailing-document":     {"}\n", "}\n{}\n"},
		"trailing-newline":      {"}\n", "}\n\n"},
		"trailing-nul":          {"}\n", "}\n\x00"},
		"no-newline":            {"}\n", "}"},
		"byte-order-mark":       {`{"epoch"`, "\ufeff" + `{"epoch"`},
		"cut-short":             {`,"facts"`, "\n"},
	} {
		t.Run(situation, func(t *testing.T) {
			text := strings.Replace(canonicalReport, c[0], c[1], 1)
			if text == canonicalReport {
				t.Fatalf("%q is not in the document", c[0])
			}
			var r wire.Report
			if err := wire.Decode([]byte(text), &r); !errors.Is(err, wire.ErrNotCanonical) {
				t.Errorf("got error %v, want %v", err, wire.ErrNotCanonical)
			}
		})
	}
	for situation, text := range map[string]string{
		"nothing": "", "null": "null\n", "list": "[]\n", "string": `"x"` + "\n", "deep": strings.Repeat(`{"epoch":`, 1_000_000),
		"deep-list": strings.Repeat("[", 1_000_000), "many-keys": "{" + strings.Repeat(`"epoch":1,`, 1_000_000) + `"serial":1}` + "\n",
		"utf-16": "\xff\xfe{\x00}\x00", "html": "<html>", "empty-object": "{}\n",
	} {
		var r wire.Report
		if err := wire.Decode([]byte(text), &r); !errors.Is(err, wire.ErrNotCanonical) {
			t.Errorf("%s: got error %v, want %v", situation, err, wire.ErrNotCanonical)
		}
	}
}

// TestDecode_ErrorIsSilent: an error names places, never what stood there (requirement
// R79 in part).
func TestDecode_ErrorIsSilent(t *testing.T) {
	for _, text := range []string{
		`{"hunter2":1}`, `{"epoch":"hunter2"}`, `{"epoch":hunter2}`, `{"epoch":1} hunter2`, `hunter2`, `{"epoch":31337e999}`, `{"at":"hunter2`,
	} {
		var r wire.Report
		err := wire.Decode([]byte(text), &r)
		if err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "31337") {
			t.Errorf("%s: got error %v", text, err)
		}
	}
}

func TestEncode(t *testing.T) {
	got, err := wire.Encode(wire.Report{At: `null "null" \`, Facts: wire.Facts{Hostname: "<a&b>\n", OS: `\"n`}})
	want := `{"epoch":0,"serial":0,"at":"null \"null\" \\","steps":[],"refused":[],"facts":{"hostname":"<a&b>\n","os":"\\\"n",` +
		`"platform":"","architecture":"","agent":"","address":""},"uses":[],"inventory":{"at":"","entries":[],"more":0}}` + "\n"
	if err != nil || string(got) != want {
		t.Errorf("got  %swant %serror %v", got, want, err)
	}
	empty, err := wire.Encode(wire.Report{At: `null "null" \`, Steps: []wire.Result{}, Refused: []wire.Result{},
		Facts: wire.Facts{Hostname: "<a&b>\n", OS: `\"n`}})
	if err != nil || !bytes.Equal(empty, got) {
		t.Errorf("empty lists print as %s, error %v", empty, err)
	}
	var back wire.Report
	if err := wire.Decode(got, &back); err != nil || back.Steps == nil || back.Refused == nil {
		t.Errorf("read back: %+v, error %v", back, err)
	}
}

// FuzzDecode: what is accepted prints as it was, for every message.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(canonicalReport))
	for _, v := range []any{wire.Report{}, wire.Enroll{}, wire.Enrolled{}, wire.Bundle{Users: []wire.User{{}}}} {
		text, err := wire.Encode(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, v := range []any{new(wire.Report), new(wire.Enroll), new(wire.Enrolled), new(wire.Bundle)} {
			if err := wire.Decode(data, v); err != nil {
				if !errors.Is(err, wire.ErrNotCanonical) {
					t.Errorf("%T: got error %v", v, err)
				}
				continue
			}
			if again, err := wire.Encode(v); err != nil || !bytes.Equal(again, data) {
				t.Errorf("%T: %q was accepted and prints as %q, error %v", v, data, again, err)
			}
		}
	})
}
