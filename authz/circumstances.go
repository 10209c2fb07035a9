package authz

import (
	"maps"
	"strconv"
	"strings"
	"time"
)

// Circumstances are what is known of a request besides its action and resource:
// the source of the condition keys that policies read.
type Circumstances struct {
	Principal Profile
	// PrincipalTags and Groups are the principal's.
	PrincipalTags map[string]string
	Groups        []string
	SourceIP      string // "" where not known
	UserAgent     string
	Secure        bool // came over TLS
	Region        string
	Now           time.Time
}

// Keys returns the condition keys ("AWS global condition context keys" of the IAM
// user guide): those of the principal and those of the request. aws:TokenIssueTime
// is never among them: the original documented that it cannot be used.
func (c Circumstances) Keys() map[string][]string {
	keys := c.PrincipalKeys()
	maps.Copy(keys, c.RequestKeys())
	return keys
}

// PrincipalKeys returns the keys that say who asks. aws:username is there for IAM
// users alone, and aws:PrincipalArn of an assumed role's session is the role's, as the
// guide says. latchkey:PrincipalGroups is our own: the names of the principal's groups.
func (c Circumstances) PrincipalKeys() map[string][]string {
	who := c.Principal.ARN
	keys := map[string][]string{
		"aws:PrincipalArn":     {who.principal()},
		"aws:PrincipalAccount": {who.Account()},
		"aws:userid":           {userID(c.Principal)},
	}
	if who.kind() == "user" {
		keys["aws:username"] = []string{who.Name()}
	}
	if len(c.Groups) > 0 {
		keys["latchkey:PrincipalGroups"] = c.Groups
	}
	for key, value := range c.PrincipalTags {
		keys["aws:PrincipalTag/"+key] = []string{value}
	}
	return keys
}

// RequestKeys returns the keys that say how, when and from where it is asked.
func (c Circumstances) RequestKeys() map[string][]string {
	keys := map[string][]string{
		"aws:SecureTransport": {strconv.FormatBool(c.Secure)},
		"aws:RequestedRegion": {c.Region},
		"aws:CurrentTime":     {c.Now.UTC().Format(time.RFC3339)},
		"aws:EpochTime":       {strconv.FormatInt(c.Now.Unix(), 10)},
	}
	if c.SourceIP != "" {
		keys["aws:SourceIp"] = []string{c.SourceIP}
	}
	if c.UserAgent != "" {
		keys["aws:UserAgent"] = []string{c.UserAgent}
	}
	return keys
}

// userID follows the guide's table of principals: an IAM user's is his id, which is
// ours here, a role session's ends in its name, a federated user's and a root's are
// made of the account.
func userID(p Profile) string {
	switch p.ARN.kind() {
	case "root":
		return p.ARN.Account()
	case "federated-user":
		return p.ARN.Account() + ":" + p.ARN.Name()
	case "assumed-role":
		return p.ID.String() + ":" + p.ARN.Name()
	}
	return p.ID.String()
}

// kind is the first word of the ARN's last part: user, root, federated-user or
// assumed-role.
func (a ARN) kind() string {
	kind, _, _ := strings.Cut(a.s[strings.LastIndexByte(a.s, ':')+1:], "/")
	return kind
}

// principal is the ARN that aws:PrincipalArn holds.
func (a ARN) principal() string {
	if a.kind() != "assumed-role" {
		return a.s
	}
	part := strings.SplitN(a.s, ":", 6)
	role := strings.Split(part[5], "/")[1]
	return part[0] + ":" + part[1] + ":iam::" + part[4] + ":role/" + role
}
