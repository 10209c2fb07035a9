package main

import (
	"strings"
	"testing"
)

func TestParseDecision(t *testing.T) {
	t.Parallel()
	const samples = `"Samples":{"latchkey":[40,42,41],"scan":[130],"cedar-go":[1200],"opa":[50000]}`
	for _, bad := range []string{"", "{}", `{` + samples + `}`, `{"Allocations":0,"Samples":{"latchkey":[40]}}`} {
		if _, err := parseDecision([]byte(bad)); err == nil {
			t.Errorf("accepted %q", bad)
		}
	}
	rows, err := parseDecision([]byte(`{"Allocations":2,` + samples + `}`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range rows {
		got = append(got, r.Target.String()+" "+r.Floor+" "+r.Verdict())
	}
	want := "p50 ≤ 1.0× glob scan by hand met\np50 ≤ 0  missed\np50 ≤ 1/10 cedar-go met\np50 ≤ 1/400 OPA, prepared query met"
	if text := strings.Join(got, "\n"); text != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
}

// TestDecision_notBuilt: tests do not run where make builds programs.
func TestDecision_notBuilt(t *testing.T) {
	t.Parallel()
	if _, err := decision(t.Context()); err == nil || !strings.Contains(err.Error(), "run make bench") {
		t.Errorf("decision = %v", err)
	}
}
