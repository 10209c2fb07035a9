package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"latchkey/cmd/internal/cli"
	"latchkey/controlplane"
	"latchkey/controlplane/api"
)

// A file larger than a request is cut into parts of about maxPart bytes. Each part
// brings what its users and groups refer to, as far as the file has it, so that the
// plan of a part is the truth and a refusal reaches all that depends on it; what
// came already is unchanged the second time.
const (
	maxPart = 700 << 10
	maxUnit = api.MaxBody - 4<<10 // what must go together, with a request around it
)

const iamHint = "make it with: aws iam get-account-authorization-details > FILE"

// cutIam cuts IAM's listing into requests of ImportIam.
func cutIam(text []byte, apply bool) ([]any, error) {
	var listing struct {
		controlplane.ImportIamRequest
		UserDetailList *[]controlplane.IamUserDetail // must be there, if empty
		IsTruncated    bool
		NextToken      json.RawMessage
	}
	if err := json.Unmarshal(text, &listing); err != nil {
		return nil, cli.Usage(iamHint, "the file is no listing of IAM's: %v", err)
	}
	switch {
	case listing.UserDetailList == nil:
		return nil, cli.Usage(iamHint, "the file is no listing of IAM's: it has no UserDetailList")
	case listing.IsTruncated || len(listing.NextToken) > 0 && string(listing.NextToken) != "null":
		return nil, cli.Usage("run aws without --max-items and --no-paginate", "the listing is cut off")
	}
	c := &iamCutter{file: listing.ImportIamRequest, apply: apply, policies: map[string][]iamItem{}, groups: map[string][]iamItem{}}
	c.file.UserDetailList = *listing.UserDetailList
	if err := c.index(); err != nil {
		return nil, err
	}
	return c.cut()
}

// iamItem is one entry of the file: the list, and where in it.
type iamItem struct {
	list  iamList
	index int
}

type iamList int

const (
	iamPolicies iamList = iota
	iamGroups
	iamUsers
)

// iamCutter makes parts of a file. Names are in lower case: IAM tells none apart by
// their case.
type iamCutter struct {
	file             controlplane.ImportIamRequest
	apply            bool
	policies, groups map[string][]iamItem // by name
	sizes            map[iamItem]int      // in bytes

	parts []any
	in    map[iamItem]bool // the part that is being made
	part  controlplane.ImportIamRequest
	size  int
}

// index finds out what each name stands for, and leaves out what nobody reads.
func (c *iamCutter) index() error {
	c.sizes = map[iamItem]int{}
	c.indexPolicies()
	if err := c.indexGroups(); err != nil {
		return err
	}
	return c.indexUsers()
}

func (c *iamCutter) indexPolicies() {
	for i := range c.file.Policies {
		p := &c.file.Policies[i]
		kept := controlplane.IamPolicyDetail{PolicyName: p.PolicyName, Arn: p.Arn}
		for _, v := range p.PolicyVersionList {
			if v.IsDefaultVersion {
				kept.PolicyVersionList = append(kept.PolicyVersionList, controlplane.IamPolicyVersion{Document: v.Document, IsDefaultVersion: true})
			}
		}
		*p = kept
		folded := policyName(p.PolicyName, p.Arn)
		c.policies[folded] = append(c.policies[folded], iamItem{iamPolicies, i})
		c.measure(iamItem{iamPolicies, i}, kept)
	}
}

func (c *iamCutter) indexGroups() error {
	for i := range c.file.GroupDetailList {
		g := &c.file.GroupDetailList[i]
		g.Path, g.GroupId, g.Arn, g.CreateDate = nil, nil, nil, nil
		folded := strings.ToLower(g.GroupName)
		if len(c.groups[folded]) > 0 {
			return cli.Usage(iamHint, "the file has the group %q twice", g.GroupName)
		}
		c.groups[folded] = []iamItem{{iamGroups, i}}
		c.measure(iamItem{iamGroups, i}, g)
	}
	return nil
}

func (c *iamCutter) indexUsers() error {
	seen := map[string]bool{}
	for i := range c.file.UserDetailList {
		u := &c.file.UserDetailList[i]
		u.Path, u.UserName, u.UserId, u.CreateDate = nil, nil, nil, nil
		if seen[u.Arn] {
			return cli.Usage(iamHint, "the file has the user %q twice", u.Arn)
		}
		seen[u.Arn] = true
		c.measure(iamItem{iamUsers, i}, u)
	}
	return nil
}

func (c *iamCutter) measure(i iamItem, v any) { c.sizes[i] = len(encoded(v)) + 1 }

func encoded(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic("what was decoded does not encode: " + err.Error())
	}
	return text
}

// policyName is what a managed policy is called, by name or by ARN.
func policyName(given, arn string) string {
	if given == "" {
		given = arn[strings.LastIndexByte(arn, '/')+1:]
	}
	return strings.ToLower(given)
}

// cut makes the parts: policies, then groups, then users, each with what it refers to.
func (c *iamCutter) cut() ([]any, error) {
	c.begin()
	for _, p := range c.file.Policies {
		if err := c.add(first(p.Arn, p.PolicyName), c.policies[policyName(p.PolicyName, p.Arn)]); err != nil {
			return nil, err
		}
	}
	for i, g := range c.file.GroupDetailList {
		if err := c.add(g.GroupName, c.withGroup(nil, i)); err != nil {
			return nil, err
		}
	}
	for i, u := range c.file.UserDetailList {
		if err := c.add(u.Arn, c.withUser(i)); err != nil {
			return nil, err
		}
	}
	if len(c.in) > 0 {
		c.parts = append(c.parts, c.part)
	}
	return c.parts, nil
}

func (c *iamCutter) withGroup(unit []iamItem, i int) []iamItem {
	unit = append(unit, iamItem{iamGroups, i})
	for _, a := range c.file.GroupDetailList[i].AttachedManagedPolicies {
		unit = append(unit, c.policies[policyName(a.PolicyName, a.PolicyArn)]...)
	}
	return unit
}

func (c *iamCutter) withUser(i int) []iamItem {
	u := c.file.UserDetailList[i]
	unit := []iamItem{{iamUsers, i}}
	for _, a := range u.AttachedManagedPolicies {
		unit = append(unit, c.policies[policyName(a.PolicyName, a.PolicyArn)]...)
	}
	if u.PermissionsBoundary != nil {
		unit = append(unit, c.policies[policyName("", u.PermissionsBoundary.PermissionsBoundaryArn)]...)
	}
	for _, g := range u.GroupList {
		for _, at := range c.groups[strings.ToLower(g)] {
			unit = c.withGroup(unit, at.index)
		}
	}
	return unit
}

func (c *iamCutter) begin() {
	c.in, c.part, c.size = map[iamItem]bool{}, controlplane.ImportIamRequest{Apply: c.apply}, 0
}

// add puts a unit into the part, or, where it does not fit, into a new one.
func (c *iamCutter) add(label string, unit []iamItem) error {
	lacking, size := c.lacking(unit)
	if len(c.in) > 0 && c.size+size > maxPart {
		c.parts = append(c.parts, c.part)
		c.begin()
		lacking, size = c.lacking(unit)
	}
	if c.size+size > maxUnit {
		return fmt.Errorf("%s, with what it refers to, has %d bytes; a request has room for %d", label, size, maxUnit)
	}
	c.size += size
	for _, i := range lacking {
		c.in[i] = true
		switch i.list {
		case iamPolicies:
			c.part.Policies = append(c.part.Policies, c.file.Policies[i.index])
		case iamGroups:
			c.part.GroupDetailList = append(c.part.GroupDetailList, c.file.GroupDetailList[i.index])
		case iamUsers:
			c.part.UserDetailList = append(c.part.UserDetailList, c.file.UserDetailList[i.index])
		}
	}
	return nil
}

// lacking returns what of a unit is not in the part yet, each once, and its size.
func (c *iamCutter) lacking(unit []iamItem) (items []iamItem, size int) {
	for _, i := range unit {
		if !c.in[i] && !slices.Contains(items, i) {
			items, size = append(items, i), size+c.sizes[i]
		}
	}
	return items, size
}

// usersFormat is what an export of users says it is.
const usersFormat = "latchkey users 1"

// usersFile is an export of users.
type usersFile struct {
	Format       string
	UserProfiles []controlplane.ImportedProfile
}

const usersHint = "make it with: latchkey export users --out FILE"

// cutUsers cuts an export of users into requests of ImportUsers.
func cutUsers(text []byte, apply bool) ([]any, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	var file usersFile
	if err := dec.Decode(&file); err != nil {
		return nil, cli.Usage(usersHint, "the file is no export of users: %v", err)
	}
	if file.Format != usersFormat {
		return nil, cli.Usage(usersHint, "the file's Format is not %q", usersFormat)
	}
	var parts []any
	part, size, seen := controlplane.ImportUsersRequest{Apply: apply}, 0, map[string]bool{}
	for _, p := range file.UserProfiles {
		if seen[p.IamUserArn] {
			return nil, cli.Usage(usersHint, "the file has the user %q twice", p.IamUserArn)
		}
		seen[p.IamUserArn] = true
		n := len(encoded(p)) + 1
		if len(part.UserProfiles) > 0 && size+n > maxPart {
			parts, part.UserProfiles, size = append(parts, part), nil, 0
		}
		part.UserProfiles, size = append(part.UserProfiles, p), size+n
	}
	if len(part.UserProfiles) > 0 {
		parts = append(parts, part)
	}
	return parts, nil
}
