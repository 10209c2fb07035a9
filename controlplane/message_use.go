package controlplane

// ListLastUsesRequest asks for all users, or for those who were not seen since.
type ListLastUsesRequest struct {
	UnusedSince string `json:",omitempty" doc:"an instant, RFC 3339: only users who were not seen to log in since"`
}

// ListLastUsesResponse lists users by ARN.
type ListLastUsesResponse struct {
	Users []LastUse
}

// LastUse is when a user was last seen to log in on an instance.
type LastUse struct {
	IamUserArn  string
	SshUsername string      `json:",omitempty"`
	LastLoginAt string      `json:",omitempty" doc:"absent: never"`
	Keys        []SshKeyUse `doc:"that the user has, and others that were used"`
}

// SshKeyUse is a key and when it was last seen to be used.
type SshKeyUse struct {
	Type        string `json:",omitempty" doc:"absent: the user does not have it, or no more"`
	Fingerprint string `json:",omitempty" doc:"absent: logins without a key, or with one that is not known"`
	LastUsedAt  string `json:",omitempty" doc:"absent: never"`
	InstanceId  string `json:",omitempty" doc:"where; absent: on one that is gone"`
	Hostname    string `json:",omitempty"`
	Proved      bool   `doc:"false: the instance has it from a log file, in which others can write too"`
}

// DescribeUnmanagedAccessRequest asks about one instance.
type DescribeUnmanagedAccessRequest struct {
	InstanceId string
}

// DescribeUnmanagedAccessResponse is what lets people into an instance, or makes them
// root there, beside the stack.
type DescribeUnmanagedAccessResponse struct {
	InstanceId string
	TakenAt    string `json:",omitempty" doc:"absent: nothing reported yet"`
	Access     []UnmanagedAccess
	More       int64 `doc:"how many more there are than were reported"`
}

// UnmanagedAccess is one of them, in the instance's words.
type UnmanagedAccess struct {
	Kind    string `doc:"key, sudo_rule, privileged_member, uid_0, password, or not_read: a place that may hold more"`
	Account string `json:",omitempty" doc:"an account, or whom sudoers names"`
	Place   string `json:",omitempty" doc:"the file it stands in"`
	What    string `json:",omitempty" doc:"a key's type and fingerprint, what a rule allows, a group"`
}
