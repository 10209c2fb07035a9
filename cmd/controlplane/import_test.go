package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"latchkey/controlplane"
)

// account is a listing of many users: those of a team have its group, each group has
// a policy of its own, and every third user a boundary.
func account(users, groups, document int) string {
	type object = map[string]any
	var policies, teams, people []object
	doc := object{"Version": "2012-10-17", "Statement": []object{{
		"Effect": "Allow", "Action": "opsworks:Describe*", "Resource": "arn:aws:opsworks:::" + strings.Repeat("x", document),
	}}}
	version := []object{{"VersionId": "v1", "IsDefaultVersion": true, "Document": doc}, {"VersionId": "v0", "IsDefaultVersion": false, "Document": "old"}}
	for n := range groups {
		policies = append(policies, object{"PolicyName": fmt.Sprintf("P%d", n), "Arn": fmt.Sprintf("arn:aws:iam::123456789012:policy/P%d", n), "PolicyVersionList": version})
		teams = append(teams, object{"GroupName": fmt.Sprintf("team-%d", n), "AttachedManagedPolicies": []object{{"PolicyName": fmt.Sprintf("p%d", n)}}})
	}
	policies = append(policies, object{"Arn": "arn:aws:iam::123456789012:policy/x/Bound", "PolicyVersionList": version})
	for n := range users {
		u := object{"Arn": fmt.Sprintf("arn:aws:iam::123456789012:user/u%d", n), "GroupList": []string{fmt.Sprintf("TEAM-%d", n%groups)}}
		if n%3 == 0 {
			u["PermissionsBoundary"] = object{"PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/x/Bound"}
		}
		people = append(people, u)
	}
	text, err := json.Marshal(object{"UserDetailList": people, "GroupDetailList": teams, "Policies": policies})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// Every part is small enough, brings all that it refers to and nothing twice; together
// they are the file.
func TestCutIam(t *testing.T) {
	for _, tt := range []struct{ users, groups, document, parts int }{{3, 2, 10, 1}, {10_000, 20, 2000, 2}, {500, 100, 6000, 0}} {
		parts, err := cutIam([]byte(account(tt.users, tt.groups, tt.document)), true)
		if err != nil {
			t.Fatal(err)
		}
		if tt.parts > 0 && len(parts) != tt.parts || len(parts) == 0 {
			t.Errorf("%+v: %d parts", tt, len(parts))
		}
		seen := map[string]bool{}
		for n, part := range parts {
			req := part.(controlplane.ImportIamRequest)
			if size := len(encoded(req)); size > maxPart+1000 || !req.Apply {
				t.Errorf("%+v: part %d has %d bytes", tt, n, size)
			}
			here := map[string]bool{}
			note := func(name string) {
				if here[name] {
					t.Errorf("%+v: part %d has %s twice", tt, n, name)
				}
				here[name], seen[name] = true, true
			}
			for _, p := range req.Policies {
				note("policy " + policyName("", p.Arn))
				if len(p.PolicyVersionList) != 1 {
					t.Errorf("%+v: %d versions", tt, len(p.PolicyVersionList))
				}
			}
			for _, g := range req.GroupDetailList {
				note("group " + g.GroupName)
				if !here["policy "+g.AttachedManagedPolicies[0].PolicyName] {
					t.Errorf("%+v: part %d lacks what %s refers to", tt, n, g.GroupName)
				}
			}
			for _, u := range req.UserDetailList {
				note("user " + u.Arn)
				if !here["group "+strings.ToLower(u.GroupList[0])] || u.PermissionsBoundary != nil && !here["policy bound"] {
					t.Errorf("%+v: part %d lacks what %s refers to", tt, n, u.Arn)
				}
			}
		}
		if want := tt.users + 2*tt.groups + 1; len(seen) != want {
			t.Errorf("%+v: %d of %d are in the parts", tt, len(seen), want)
		}
	}
}

// What cannot go in one request is refused before anything is sent.
func TestCutIam_TooLarge(t *testing.T) {
	_, err := cutIam([]byte(account(1, 1, maxUnit)), false)
	if err == nil || !strings.Contains(err.Error(), "policy/P0, with what it refers to, has ") {
		t.Errorf("got %v", err)
	}
}

func TestCutUsers(t *testing.T) {
	file := usersFile{Format: usersFormat}
	for n := range 5000 {
		file.UserProfiles = append(file.UserProfiles, controlplane.ImportedProfile{
			IamUserArn: fmt.Sprintf("arn:aws:iam::123456789012:user/u%d", n), SshPublicKey: strings.Repeat("k", 300),
		})
	}
	parts, err := cutUsers(encoded(file), true)
	if err != nil || len(parts) != 3 {
		t.Fatalf("%d parts, %v", len(parts), err)
	}
	var all []controlplane.ImportedProfile
	for _, part := range parts {
		req := part.(controlplane.ImportUsersRequest)
		if size := len(encoded(req)); size > maxPart+1000 || !req.Apply {
			t.Errorf("a part of %d bytes", size)
		}
		all = append(all, req.UserProfiles...)
	}
	if !slices.Equal(all, file.UserProfiles) {
		t.Error("the parts are not the file")
	}
}

// An interruption waits for the part that is on its way, and says how far it came.
func TestImporting_Stops(t *testing.T) {
	change := func(name, does string) controlplane.ImportChange {
		return controlplane.ImportChange{Kind: "group", Name: name, Change: does}
	}
	answers := []controlplane.ImportOutcome{
		{Changes: []controlplane.ImportChange{change("a", "create"), change("b", "refused")}},
		{Changes: []controlplane.ImportChange{change("a", "unchanged"), change("c", "update")}},
		{Changes: []controlplane.ImportChange{change("d", "create")}},
	}
	for name, tc := range map[string]struct {
		interrupt, fault int // during which part
		apply            bool
		sent             int
		want             string
	}{
		"whole":            {-1, -1, true, 3, "<nil>"},
		"interrupted":      {1, -1, true, 2, "after part 2 of 3: interrupted; those parts are imported; the same command again does the rest"},
		"interrupted-plan": {0, -1, false, 1, "after part 1 of 3: interrupted"},
		"fault":            {-1, 1, true, 2, "after part 1 of 3: no server; those parts are imported; the same command again does the rest"},
		"fault-at-once":    {-1, 0, true, 1, "after part 0 of 3: no server"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			sent := 0
			s := importing{parts: []any{0, 1, 2}, apply: tc.apply, step: func(string, ...any) {}}
			s.send = func(ctx context.Context, part any) (controlplane.ImportOutcome, error) {
				sent++
				if part == tc.interrupt {
					cancel()
				}
				if part == tc.fault {
					return controlplane.ImportOutcome{}, errors.New("no server")
				}
				return answers[part.(int)], ctx.Err()
			}
			out, err := s.all(ctx)
			said := fmt.Sprint(err)
			var hint interface{ Hint() string }
			if errors.As(err, &hint) {
				said += "; " + hint.Hint()
			}
			if said != tc.want || sent != tc.sent {
				t.Errorf("%d parts, %s; want %d, %s", sent, said, tc.sent, tc.want)
			}
			if name == "whole" && (out.Created != 2 || out.Updated != 1 || out.Unchanged != 0 || out.Refused != 1 || len(out.Changes) != 4) {
				t.Errorf("%+v", out)
			}
		})
	}
}

// What a shell may make of the listing on its way into the file.
func TestReadImport(t *testing.T) {
	for name, tc := range map[string]struct{ text, want, fault string }{
		"plain":  {" {}\n", "{}", ""},
		"mark":   {"\ufeff{}\r\n", "{}", ""},
		"utf-16": {"\xff\xfe{\x00}\x00", "", "- is not text in UTF-8"},
		"empty":  {"", "", "- is not JSON: EOF"},
		"cut":    {`{"UserDetailList": [`, "", "- is not JSON: unexpected EOF"},
		"more":   {"{} {}", "", "- holds more than one JSON document"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := readImport(strings.NewReader(tc.text), "-")
			if string(got) != tc.want || err != nil && err.Error() != tc.fault || (err == nil) != (tc.fault == "") {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}
