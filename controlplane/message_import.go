package controlplane

import "encoding/json"

// What is ignored of IAM's listing is taken as any JSON, since programs print dates
// and numbers in more than one way.

// ImportIamRequest has the shape of what aws iam get-account-authorization-details
// answers, and Apply.
type ImportIamRequest struct {
	UserDetailList  []IamUserDetail   `json:",omitempty"`
	GroupDetailList []IamGroupDetail  `json:",omitempty"`
	Policies        []IamPolicyDetail `json:",omitempty" doc:"managed policies that are not built in"`
	RoleDetailList  []json.RawMessage `json:",omitempty" doc:"ignored: roles have no profiles"`
	IsTruncated     json.RawMessage   `json:",omitempty" doc:"ignored: a listing may come in parts"`
	Marker          json.RawMessage   `json:",omitempty" doc:"ignored"`
	Apply           bool              `json:",omitempty" doc:"do it; without, the answer is a plan and nothing is changed"`
}

// IamUserDetail is a user of IAM's listing.
type IamUserDetail struct {
	Arn                     string
	UserPolicyList          []IamInlinePolicy   `json:",omitempty"`
	GroupList               []string            `json:",omitempty"`
	AttachedManagedPolicies []IamAttachedPolicy `json:",omitempty"`
	PermissionsBoundary     *IamBoundary        `json:",omitempty"`
	Tags                    []IamTag            `json:",omitempty"`
	Path                    json.RawMessage     `json:",omitempty" doc:"ignored"`
	UserName                json.RawMessage     `json:",omitempty" doc:"ignored: it stands in the ARN"`
	UserId                  json.RawMessage     `json:",omitempty" doc:"ignored"`
	CreateDate              json.RawMessage     `json:",omitempty" doc:"ignored"`
}

// IamGroupDetail is a group of IAM's listing.
type IamGroupDetail struct {
	GroupName               string
	GroupPolicyList         []IamInlinePolicy   `json:",omitempty"`
	AttachedManagedPolicies []IamAttachedPolicy `json:",omitempty"`
	Path                    json.RawMessage     `json:",omitempty" doc:"ignored"`
	GroupId                 json.RawMessage     `json:",omitempty" doc:"ignored"`
	Arn                     json.RawMessage     `json:",omitempty" doc:"ignored"`
	CreateDate              json.RawMessage     `json:",omitempty" doc:"ignored"`
}

// IamPolicyDetail is a managed policy of IAM's listing.
type IamPolicyDetail struct {
	PolicyName                    string             `json:",omitempty" doc:"default: from the ARN"`
	Arn                           string             `json:",omitempty"`
	PolicyVersionList             []IamPolicyVersion `json:",omitempty" doc:"only the default version is kept"`
	PolicyId                      json.RawMessage    `json:",omitempty" doc:"ignored"`
	Path                          json.RawMessage    `json:",omitempty" doc:"ignored"`
	DefaultVersionId              json.RawMessage    `json:",omitempty" doc:"ignored: versions say it themselves"`
	AttachmentCount               json.RawMessage    `json:",omitempty" doc:"ignored"`
	PermissionsBoundaryUsageCount json.RawMessage    `json:",omitempty" doc:"ignored"`
	IsAttachable                  json.RawMessage    `json:",omitempty" doc:"ignored"`
	Description                   json.RawMessage    `json:",omitempty" doc:"ignored"`
	CreateDate                    json.RawMessage    `json:",omitempty" doc:"ignored"`
	UpdateDate                    json.RawMessage    `json:",omitempty" doc:"ignored"`
}

// IamPolicyVersion is one version of a managed policy.
type IamPolicyVersion struct {
	Document         json.RawMessage `json:",omitempty" doc:"an object, or text that holds one, percent-encoded or not"`
	IsDefaultVersion bool            `json:",omitempty"`
	VersionId        json.RawMessage `json:",omitempty" doc:"ignored"`
	CreateDate       json.RawMessage `json:",omitempty" doc:"ignored"`
}

// IamInlinePolicy is an inline policy of a user or a group.
type IamInlinePolicy struct {
	PolicyName     string
	PolicyDocument json.RawMessage `json:",omitempty" doc:"an object, or text that holds one, percent-encoded or not"`
}

// IamAttachedPolicy names a managed policy that a user or a group has.
type IamAttachedPolicy struct {
	PolicyName string `json:",omitempty" doc:"default: from the ARN"`
	PolicyArn  string `json:",omitempty"`
}

// IamBoundary names the managed policy that bounds a user.
type IamBoundary struct {
	PermissionsBoundaryArn  string
	PermissionsBoundaryType json.RawMessage `json:",omitempty" doc:"ignored"`
}

// IamTag is one tag of a user.
type IamTag struct {
	Key   string
	Value string
}

// ImportIamResponse says what was done, or what would be.
type ImportIamResponse struct{ ImportOutcome }

// ImportUsersRequest holds profiles of another control plane, and Apply.
type ImportUsersRequest struct {
	UserProfiles []ImportedProfile `json:",omitempty"`
	Apply        bool              `json:",omitempty" doc:"do it; without, the answer is a plan and nothing is changed"`
}

// ImportedProfile is a profile as it was elsewhere. What is empty is not set.
type ImportedProfile struct {
	IamUserArn          string
	SshUsername         string `json:",omitempty" doc:"empty: no login name"`
	SshPublicKey        string `json:",omitempty" doc:"empty: no key"`
	AllowSelfManagement bool
	UnixUid             *int64 `json:",omitempty" doc:"the uid to go with the login name, which no user ever had; default: the next free one"`
}

// ImportUsersResponse says what was done, or what would be.
type ImportUsersResponse struct{ ImportOutcome }

// ImportOutcome is what an import came to, one entry for each entity it named.
type ImportOutcome struct {
	Applied   bool `doc:"false: a plan; nothing was changed"`
	Created   int64
	Updated   int64
	Unchanged int64
	Refused   int64
	Changes   []ImportChange `doc:"policies, then groups, then users"`
}

// ImportChange is what an import does to one policy, group or user.
type ImportChange struct {
	Kind    string   `doc:"policy, group or user"`
	Name    string   `doc:"of a user the ARN"`
	Change  string   `doc:"create, update, unchanged or refused"`
	Details []string `json:",omitempty" doc:"a line for each thing that changes; of a refused one, what the file takes away and stays"`
	Reason  string   `json:",omitempty" doc:"why it is refused"`
}
