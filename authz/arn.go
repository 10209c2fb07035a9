package authz

import (
	"strings"

	"latchkey/authz/name"
)

// ErrARN is returned for text that is not the ARN of a user.
var ErrARN = name.Refuse("arn_malformed", "not the ARN of an IAM user, a federated user, an assumed role or an account root")

// ARN is the Amazon resource name of a person or robot: an IAM user, a
// federated user, an assumed role's session or the root of an account. Only
// ParseARN makes one.
type ARN struct{ s string }

// ParseARN accepts, of any account and partition,
//
//	arn:aws:iam::ACCOUNT:user/[PATH/]NAME      arn:aws:iam::ACCOUNT:root
//	arn:aws:sts::ACCOUNT:federated-user/NAME   arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION
//
// with names of IAM's characters (letters, digits and +=,.@_-). At most 512 bytes.
func ParseARN(s string) (ARN, error) {
	if len(s) > 512 {
		return ARN{}, ErrARN
	}
	part := strings.SplitN(s, ":", 6)
	if len(part) != 6 || part[0] != "arn" || part[3] != "" || !accountID(part[4]) {
		return ARN{}, ErrARN
	}
	switch part[1] {
	case "aws", "aws-cn", "aws-us-gov":
	default:
		return ARN{}, ErrARN
	}
	if !userResource(part[2], part[5]) {
		return ARN{}, ErrARN
	}
	return ARN{s}, nil
}

// String returns the ARN as it was parsed, or "" for the zero value.
func (a ARN) String() string { return a.s }

// IsZero reports whether a is no ARN.
func (a ARN) IsZero() bool { return a.s == "" }

// Name returns the last segment: the IAM user name, the federated user's name
// or the role session's name; "root" for the root of an account.
func (a ARN) Name() string {
	rest := a.s[strings.LastIndexByte(a.s, ':')+1:]
	return rest[strings.LastIndexByte(rest, '/')+1:]
}

// Account returns the account's 12 digits, or "" for the zero value.
func (a ARN) Account() string {
	if a.IsZero() {
		return ""
	}
	return strings.SplitN(a.s, ":", 6)[4]
}

func userResource(service, resource string) bool {
	segments := strings.Split(resource, "/")
	for _, s := range segments {
		if !iamName(s) {
			return false
		}
	}
	switch {
	case service == "iam" && resource == "root":
		return true
	case service == "iam" && segments[0] == "user":
		return len(segments) >= 2
	case service == "sts" && segments[0] == "federated-user":
		return len(segments) == 2
	case service == "sts" && segments[0] == "assumed-role":
		return len(segments) == 3
	}
	return false
}

func accountID(s string) bool {
	if len(s) != 12 {
		return false
	}
	return strings.Trim(s, "0123456789") == ""
}

func iamName(s string) bool {
	if s == "" || len(s) > 128 {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("+=,.@_-", c) >= 0:
		default:
			return false
		}
	}
	return true
}

// DeriveUsername gives the login name of a user whose SSH name was not chosen:
// the ARN's name in canonical form, and not-root for the root of an account.
func DeriveUsername(a ARN) (Username, error) {
	if strings.HasSuffix(a.s, ":root") {
		return name.ParseUsername("not-root")
	}
	return name.Canonical(a.Name())
}
