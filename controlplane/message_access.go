package controlplane

import "encoding/json"

// More requests and responses: those about what users and groups hold. The rules are
// those of message.go. A policy document is a JSON object in a response; a request
// may also hold it as text, as IAM's own API does.

// CreateAccessKeyRequest asks for an access key.
type CreateAccessKeyRequest struct {
	IamUserArn string `json:",omitempty" doc:"default: the caller"`
}

// CreateAccessKeyResponse holds the secret, which is shown this once.
type CreateAccessKeyResponse struct {
	AccessKeyId     string
	SecretAccessKey string `doc:"shown this once"`
	IamUserArn      string
	Status          string `doc:"Active"`
	CreatedAt       string
}

// ListAccessKeysRequest asks for the access keys of a user.
type ListAccessKeysRequest struct {
	IamUserArn string `json:",omitempty" doc:"default: the caller"`
}

// ListAccessKeysResponse lists access keys, oldest first.
type ListAccessKeysResponse struct {
	AccessKeys []AccessKey
}

// AccessKey is an access key as the API shows it.
type AccessKey struct {
	AccessKeyId string
	Status      string `doc:"Active or Inactive"`
	CreatedAt   string
}

// UpdateAccessKeyRequest makes an access key prove something, or nothing.
type UpdateAccessKeyRequest struct {
	IamUserArn  string `json:",omitempty" doc:"default: the caller"`
	AccessKeyId string
	Status      string `doc:"Active or Inactive; the key that signs the request stays active"`
}

// DeleteAccessKeyRequest ends an access key.
type DeleteAccessKeyRequest struct {
	IamUserArn  string `json:",omitempty" doc:"default: the caller"`
	AccessKeyId string `doc:"not the one that signs the request"`
}

// DescribeUserRequest asks for all that a user holds.
type DescribeUserRequest struct {
	IamUserArn string `json:",omitempty" doc:"default: the caller"`
}

// DescribeUserResponse is all that a user holds, besides permissions on stacks. All
// lists are sorted by name, access keys by age.
type DescribeUserResponse struct {
	IamUserArn          string
	Groups              []string
	InlinePolicies      []InlinePolicy
	AttachedPolicies    []string
	GroupPolicies       []GroupPolicy
	PermissionsBoundary string `json:",omitempty" doc:"name of a managed policy"`
	Tags                map[string]string
	AccessKeys          []AccessKey
	SshKeys             []SshKeyUse `doc:"that the user has, and others that were used"`
	LastLoginAt         string      `json:",omitempty" doc:"on any instance; absent: never"`
}

// InlinePolicy is a policy that one user or group has for itself.
type InlinePolicy struct {
	PolicyName     string
	PolicyDocument json.RawMessage `doc:"null: what is stored is malformed, and denies everything"`
}

// GroupPolicy is a policy that a user has through a group.
type GroupPolicy struct {
	GroupName  string
	PolicyName string
	Managed    bool `doc:"false: an inline policy of the group"`
}

// PutUserPolicyRequest gives a user an inline policy, or his of that name another
// document.
type PutUserPolicyRequest struct {
	IamUserArn     string
	PolicyName     string          `doc:"1 to 128 of A-Z a-z 0-9 + = , . @ _ -; case matters"`
	PolicyDocument json.RawMessage `doc:"all of a user's together up to 2048 characters without white space"`
}

// DeleteUserPolicyRequest takes an inline policy from a user.
type DeleteUserPolicyRequest struct {
	IamUserArn string
	PolicyName string
}

// AttachUserPolicyRequest gives a user a managed policy.
type AttachUserPolicyRequest struct {
	IamUserArn string
	PolicyName string `doc:"of a managed policy, in any case of letters; up to 10 for a user"`
}

// DetachUserPolicyRequest takes a managed policy from a user.
type DetachUserPolicyRequest struct {
	IamUserArn string
	PolicyName string
}

// PutUserPermissionsBoundaryRequest bounds a user by a managed policy, in the place
// of the boundary that he has.
type PutUserPermissionsBoundaryRequest struct {
	IamUserArn string
	PolicyName string `doc:"of a managed policy, in any case of letters"`
}

// DeleteUserPermissionsBoundaryRequest takes a user's boundary away.
type DeleteUserPermissionsBoundaryRequest struct {
	IamUserArn string
}

// TagUserRequest gives a user tags, or his tags other values.
type TagUserRequest struct {
	IamUserArn string
	Tags       map[string]string `doc:"up to 40 for a user; keys that differ in case alone are refused"`
}

// UntagUserRequest takes tags away; keys that are not there are passed over.
type UntagUserRequest struct {
	IamUserArn string
	TagKeys    []string
}

// CreateGroupRequest makes a group.
type CreateGroupRequest struct {
	GroupName string `doc:"1 to 128 of A-Z a-z 0-9 + = , . @ _ -; the same name in any case of letters"`
}

// DeleteGroupRequest removes a group that has no members and no policies.
type DeleteGroupRequest struct {
	GroupName string
}

// DescribeGroupsRequest asks for some groups, or with none named for all.
type DescribeGroupsRequest struct {
	GroupNames []string `json:",omitempty"`
}

// DescribeGroupsResponse lists groups by name, or as they were named.
type DescribeGroupsResponse struct {
	Groups []Group
}

// Group is a group as the API shows it.
type Group struct {
	GroupName        string
	Members          []string `doc:"ARNs"`
	InlinePolicies   []InlinePolicy
	AttachedPolicies []string
	CreatedAt        string
}

// AddUserToGroupRequest puts a user into a group.
type AddUserToGroupRequest struct {
	GroupName  string
	IamUserArn string `doc:"up to 10 groups for a user"`
}

// RemoveUserFromGroupRequest takes a user out of a group.
type RemoveUserFromGroupRequest struct {
	GroupName  string
	IamUserArn string
}

// PutGroupPolicyRequest gives a group an inline policy, or its policy of that name
// another document.
type PutGroupPolicyRequest struct {
	GroupName      string
	PolicyName     string          `doc:"1 to 128 of A-Z a-z 0-9 + = , . @ _ -; case matters"`
	PolicyDocument json.RawMessage `doc:"all of a group's together up to 5120 characters without white space"`
}

// DeleteGroupPolicyRequest takes an inline policy from a group.
type DeleteGroupPolicyRequest struct {
	GroupName  string
	PolicyName string
}

// AttachGroupPolicyRequest gives a group a managed policy.
type AttachGroupPolicyRequest struct {
	GroupName  string
	PolicyName string `doc:"of a managed policy, in any case of letters; up to 10 for a group"`
}

// DetachGroupPolicyRequest takes a managed policy from a group.
type DetachGroupPolicyRequest struct {
	GroupName  string
	PolicyName string
}

// CreatePolicyRequest makes a managed policy, which users and groups can have and
// which can bound users.
type CreatePolicyRequest struct {
	PolicyName     string          `doc:"1 to 128 of A-Z a-z 0-9 + = , . @ _ -; the same name in any case of letters"`
	PolicyDocument json.RawMessage `doc:"up to 6144 characters without white space"`
}

// UpdatePolicyRequest gives a managed policy another document, for everybody who has
// it.
type UpdatePolicyRequest struct {
	PolicyName     string          `doc:"not a built-in one"`
	PolicyDocument json.RawMessage `doc:"up to 6144 characters without white space"`
}

// DeletePolicyRequest removes a managed policy that nobody has.
type DeletePolicyRequest struct {
	PolicyName string `doc:"not a built-in one"`
}

// DescribePoliciesRequest asks for some managed policies, or with none named for all.
type DescribePoliciesRequest struct {
	PolicyNames []string `json:",omitempty"`
}

// DescribePoliciesResponse lists managed policies by name, or as they were named.
type DescribePoliciesResponse struct {
	Policies []ManagedPolicy
}

// ManagedPolicy is a managed policy as the API shows it.
type ManagedPolicy struct {
	PolicyName      string
	PolicyDocument  json.RawMessage `doc:"null: what is stored is malformed, and denies everything"`
	BuiltIn         bool
	AttachmentCount int64  `doc:"users and groups that have it, and users whom it bounds"`
	CreatedAt       string `json:",omitempty"`
	UpdatedAt       string `json:",omitempty"`
}
