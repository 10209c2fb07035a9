package controlplane

import (
	"bytes"
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"latchkey/authz"
	"latchkey/authz/iam"
	"latchkey/authz/name"
	"latchkey/controlplane/store"
)

// IAM's limits on tags of users ("IAM and AWS STS quotas"), wider than the original's
// on those of stacks.
const (
	maxImportTags     = 50
	maxImportTagKey   = 128 // characters
	maxImportTagValue = 256
)

// Reasons for refusing what IAM's listing holds.
var (
	errImportPolicyARN = name.Refuse("import_policy_arn", "is not the ARN of a policy, or of one with another name than the one beside it")
	errImportSameName  = name.Refuse("import_same_name", "two policies of the file have this name and different documents")
	errImportBuiltin   = name.Refuse("import_builtin", "is the name of a built-in policy, and the file's is another one")
	errImportDefault   = name.Refuse("import_default", "one version, and only one, must be the default")
	errImportAttached  = name.Refuse("import_attached_many", "more than 10 are attached")
	errImportGroups    = name.Refuse("import_groups_many", "the user is in more than 10")
	errImportTag       = name.Refuse("import_tag", "not more than 50, each key once in any case, 1 to 128 characters, each value up to 256, of letters, numbers, spaces and _ . : / = + - @")
)

// importRef is a managed policy as IAM's listing refers to it.
type importRef struct {
	name string
	arn  string // "" where only the name is known
}

// importedPolicy is a managed policy of the file. A fault is why it is refused.
type importedPolicy struct {
	importRef
	arns     []string // of all policies of that name and document
	document document
	fault    error
}

// importedHolder is what the file says that a user or a group has for itself.
type importedHolder struct {
	inline   map[string]document  // by name; zero: malformed, as the fault says
	attached map[string]importRef // by name in lower case
	fault    error                // why it is refused
}

type importedGroup struct {
	name string
	importedHolder
}

type importedUser struct {
	name string // as the answer has it
	arn  authz.ARN
	importedHolder
	groups   map[string]string // by name in lower case
	boundary *importRef
	tags     []store.Tag
}

// faulty keeps the first fault.
func (h *importedHolder) faulty(err error) { h.fault = cmp.Or(h.fault, err) }

// policyARNForm takes a policy's ARN apart: the account, which is aws for AWS's own,
// and the name, which is unique in its account whatever the path is.
var policyARNForm = regexp.MustCompile(`^arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/(?:[!-~]*/)?([A-Za-z0-9+=,.@_-]{1,128})$`)

// byAWS reports whether a policy is one of AWS's own, or not said to be anybody's.
func (r importRef) byAWS() bool {
	parts := policyARNForm.FindStringSubmatch(r.arn)
	return parts == nil || parts[1] == "aws"
}

// parseRef reads the name and the ARN of a managed policy, one of which is enough.
// The name of a built-in policy means ours, but not for a policy of an account.
func parseRef(given, arn string) (importRef, error) {
	if arn != "" {
		parts := policyARNForm.FindStringSubmatch(arn)
		if parts == nil || given != "" && given != parts[2] {
			return importRef{}, invalid("Policy Arn", errImportPolicyARN)
		}
		given = parts[2]
	}
	parsed, err := parseName("Policy Name", given)
	if err != nil {
		return importRef{}, err
	}
	ref := importRef{parsed, arn}
	if builtin := builtIn(parsed); builtin != "" {
		ref.name = builtin
		if !ref.byAWS() {
			return ref, invalid("Policy "+builtin, errImportBuiltin)
		}
	}
	return ref, nil
}

// parsePolicies reads the managed policies of a file, those of one name together.
func parsePolicies(given []IamPolicyDetail) []importedPolicy {
	var all []importedPolicy
	at := map[string]int{}
	for _, g := range given {
		p := parseImportedPolicy(g)
		i, there := at[strings.ToLower(p.name)]
		switch {
		case !there:
			at[strings.ToLower(p.name)] = len(all)
			all = append(all, p)
			continue
		case all[i].fault == nil && p.fault != nil:
			all[i].fault = p.fault
		case all[i].fault == nil && !bytes.Equal(all[i].document.text, p.document.text):
			all[i].fault = invalid("Policy "+p.name, errImportSameName)
		}
		all[i].arns = append(all[i].arns, p.arns...)
	}
	return all
}

func parseImportedPolicy(given IamPolicyDetail) importedPolicy {
	ref, err := parseRef(given.PolicyName, given.Arn)
	p := importedPolicy{importRef: ref, arns: []string{ref.arn}, fault: err}
	if err != nil {
		p.name = ref.name
		if p.name == "" {
			p.name = importQuoted(given.PolicyName + given.Arn)
		}
		return p
	}
	if builtIn(p.name) != "" { // ours counts, whatever the document
		return p
	}
	defaults := slices.DeleteFunc(slices.Clone(given.PolicyVersionList), func(v IamPolicyVersion) bool { return !v.IsDefaultVersion })
	if len(defaults) != 1 {
		p.fault = invalid("Policy Version List", errImportDefault)
		return p
	}
	limit := iam.MaxManaged
	if p.arn != "" && p.byAWS() { // AWS does not hold its own policies to its limit
		limit = iam.MaxDocument
	}
	p.document, p.fault = parseDocumentOf("Policy Document", defaults[0].Document, limit)
	return p
}

func parseHolder(inline []IamInlinePolicy, attached []IamAttachedPolicy) importedHolder {
	h := importedHolder{inline: map[string]document{}, attached: map[string]importRef{}}
	for _, g := range inline {
		label, err := parseName("Policy Name", g.PolicyName)
		if err != nil {
			h.faulty(err)
			continue
		}
		if _, twice := h.inline[label]; twice {
			h.faulty(invalid("Inline policy "+label, errImportTwice))
		}
		h.inline[label], err = parseDocument("Inline policy "+label, g.PolicyDocument)
		h.faulty(err)
	}
	for _, g := range attached {
		ref, err := parseRef(g.PolicyName, g.PolicyArn)
		if err != nil {
			h.faulty(err)
			continue
		}
		h.attached[strings.ToLower(ref.name)] = ref
	}
	if len(h.attached) > maxAttached {
		h.faulty(invalid("Attached Managed Policies", errImportAttached))
	}
	return h
}

func parseGroup(given IamGroupDetail) importedGroup {
	g := importedGroup{importedHolder: parseHolder(given.GroupPolicyList, given.AttachedManagedPolicies)}
	parsed, err := parseName("Group Name", given.GroupName)
	if err != nil {
		return importedGroup{name: importQuoted(given.GroupName), importedHolder: importedHolder{fault: err}}
	}
	g.name = parsed
	return g
}

func parseUser(given IamUserDetail) importedUser {
	arn, err := parseARN(given.Arn)
	if err != nil {
		return importedUser{name: importQuoted(given.Arn), importedHolder: importedHolder{fault: err}}
	}
	u := importedUser{name: arn.String(), arn: arn, groups: map[string]string{}}
	u.importedHolder = parseHolder(given.UserPolicyList, given.AttachedManagedPolicies)
	for _, g := range given.GroupList {
		group, err := parseName("Group List", g)
		if err != nil {
			u.faulty(err)
			continue
		}
		u.groups[strings.ToLower(group)] = group
	}
	if len(u.groups) > maxGroups {
		u.faulty(invalid("Group List", errImportGroups))
	}
	if b := given.PermissionsBoundary; b != nil {
		ref, err := parseRef("", b.PermissionsBoundaryArn)
		u.faulty(err)
		u.boundary = &ref
	}
	for _, t := range given.Tags {
		u.tags = append(u.tags, store.Tag(t))
	}
	if !tagsOfIAM(u.tags) {
		u.faulty(invalid("Tags", errImportTag))
	}
	return u
}

// tagsOfIAM reports whether tags are such as IAM has. Those that AWS itself gives,
// whose keys begin with aws:, are.
func tagsOfIAM(tags []store.Tag) bool {
	seen := map[string]bool{}
	for _, t := range tags {
		folded := strings.ToLower(t.Key) // as context keys are compared
		if seen[folded] || t.Key == "" || !importTagText(t.Key, maxImportTagKey) || !importTagText(t.Value, maxImportTagValue) {
			return false
		}
		seen[folded] = true
	}
	return len(tags) <= maxImportTags
}

func importTagText(s string, limit int) bool {
	for _, r := range s {
		if r == utf8.RuneError || !unicode.IsLetter(r) && !unicode.IsNumber(r) && !unicode.Is(unicode.Zs, r) && !strings.ContainsRune("_.:/=+-@", r) {
			return false
		}
	}
	return utf8.RuneCountInString(s) <= limit
}

// importQuoted shows what did not parse, so that it can be found in the file.
func importQuoted(s string) string { return fmt.Sprintf("%.64q", s) }

// importedIam is the whole of a file.
type importedIam struct {
	policies []importedPolicy
	groups   []importedGroup
	users    []importedUser
}

func parseIam(req ImportIamRequest) (f importedIam) {
	f.policies = parsePolicies(req.Policies)
	for _, g := range req.GroupDetailList {
		f.groups = append(f.groups, parseGroup(g))
	}
	for _, u := range req.UserDetailList {
		f.users = append(f.users, parseUser(u))
	}
	return f
}
