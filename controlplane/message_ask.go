package controlplane

import "encoding/json"

// AuthorizeRequest asks whether a user may do an action: now or at another time, on
// a resource. The keys of a policy's conditions that say how it would be asked are the
// question's; those about the user and the resource are always the control plane's.
type AuthorizeRequest struct {
	IamUserArn string
	Action     string              `doc:"service:Name, of any service"`
	Resource   string              `json:",omitempty" doc:"ARN of a stack, an instance (its stack is decided about), a user or anything else, or a stack's id; default *"`
	Context    map[string][]string `json:",omitempty" doc:"condition keys of the request, like aws:SourceIp, aws:UserAgent, aws:SecureTransport, aws:RequestTag/KEY; aws:CurrentTime or aws:EpochTime is when, default now. Not aws:TokenIssueTime, and none about the user or the resource"`
}

// AuthorizeResponse is a decision and what decided.
type AuthorizeResponse struct {
	Decision  string `doc:"allowed, explicitDeny or implicitDeny"`
	Reason    string `json:",omitempty" doc:"code of the reason for a denial"`
	Rule      string `doc:"what decided: level, policy, boundary, self-management, action (not known), user (not known) or none (nothing allows it)"`
	Text      string `doc:"the same for people"`
	Policy    string `json:",omitempty" doc:"the policy that decided, and how the user came by it"`
	Statement *int64 `json:",omitempty" doc:"its statement, from 0"`
	Sid       string `json:",omitempty"`
	Level     string `json:",omitempty" doc:"the user's on the stack"`
	Resource  string `doc:"what was decided about; * for an action that has no resource"`
}

// BatchAuthorizeRequest asks many questions at once.
type BatchAuthorizeRequest struct {
	Questions []AuthorizeRequest `doc:"1 to 1000"`
}

// BatchAuthorizeResponse holds the decisions in the order of the questions.
type BatchAuthorizeResponse struct {
	Decisions []AuthorizeResponse
}

// SimulatePolicyRequest asks what policies would decide.
type SimulatePolicyRequest struct {
	Cases []PolicyCase `doc:"1 to 1000"`
}

// PolicyCase is one request and the policies that shall decide it. Nothing of the
// control plane's own enters into it.
type PolicyCase struct {
	Policies            []json.RawMessage   `doc:"policy documents: JSON objects, or text that holds one"`
	PermissionsBoundary json.RawMessage     `json:",omitempty" doc:"a policy document"`
	Principal           string              `json:",omitempty" doc:"an ARN, for the reader: it sets no condition key"`
	Action              string              `doc:"service:Name, of any service"`
	Resource            string              `json:",omitempty" doc:"an ARN; default *"`
	Context             map[string][]string `json:",omitempty" doc:"all condition keys that there are"`
}

// SimulatePolicyResponse holds the decisions in the order of the cases.
type SimulatePolicyResponse struct {
	Decisions []PolicyDecision
}

// PolicyDecision is what the policies of a case decide.
type PolicyDecision struct {
	Decision          string           `doc:"allowed, explicitDeny or implicitDeny"`
	MatchedStatements []StatementMatch `doc:"the statements that deny, or all that allow; none for implicitDeny"`
}

// StatementMatch names a statement of a case.
type StatementMatch struct {
	Policy    *int64 `json:",omitempty" doc:"index in Policies, from 0; absent for the boundary"`
	Boundary  bool   `json:",omitempty" doc:"the statement is the permissions boundary's"`
	Statement int64  `doc:"index in its document, from 0"`
}

// ExplainAccessRequest asks why a user may, or may not, enter a stack's instances.
type ExplainAccessRequest struct {
	IamUserArn string
	StackId    string
}

// ExplainAccessResponse is the answer and all that bears on it. Level and flags are
// what the permission is worth now.
type ExplainAccessResponse struct {
	IamUserArn string
	StackId    string
	StackName  string
	MayEnter   bool
	Reason     string `json:",omitempty" doc:"code of the reason why not"`
	Text       string `doc:"the answer in one sentence"`

	Level     string
	AllowSsh  bool
	AllowSudo bool
	Sudo      bool `doc:"may become root, or an administrator: needs a way in too"`
	// SudoCommands are what the permission limits sudo to.
	SudoCommands []string `json:",omitempty" doc:"the only commands sudo runs; absent: all"`
	Restricted   bool     `json:",omitempty" doc:"SSH keys open sessions alone"`
	ExpiresAt    string   `json:",omitempty"`
	Ended        bool     `doc:"ExpiresAt is past: what is left is at most what every user has"`
	SetBy        string   `json:",omitempty" doc:"who last changed the permission; the user's own ARN: the user"`
	SetAt        string   `json:",omitempty"`

	SshUsername    string `json:",omitempty"`
	Uid            int64  `json:",omitempty"`
	Keys           []SshKey
	SelfManagement bool

	Policies            []string `doc:"the user's, and how they came"`
	PermissionsBoundary string   `json:",omitempty"`
	Decisions           []ActionDecision

	Settings  StackSettings
	Instances []InstanceAccess
	Lines     []string `doc:"all of it in short sentences"`
}

// SshKey is a public key, by what people compare.
type SshKey struct {
	Type        string
	Fingerprint string `doc:"SHA-256, as ssh-keygen prints it"`
	LastUsedAt  string `json:",omitempty" doc:"on an instance of the stack; absent: never"`
}

// ActionDecision is what a user may do on the stack, asked without a source address.
type ActionDecision struct {
	Action   string
	Decision string `doc:"allowed, explicitDeny or implicitDeny"`
	Text     string
}

// InstanceAccess is what an instance last reported, as far as the user is concerned.
type InstanceAccess struct {
	InstanceId    string
	Hostname      string `json:",omitempty"`
	Status        string
	LastSeen      string `json:",omitempty"`
	AppliedSerial int64  `json:",omitempty" doc:"the newest state of the stack's access that it reported on"`
	Serial        int64  `doc:"the present one"`
	UpToDate      bool
	Account       string `doc:"applied: the account is, or is not, there as AppliedSerial says; refused; failed; none: nothing reported yet"`
	AccountReason string `json:",omitempty" doc:"of refused and failed, in the instance's words"`
	LastLoginAt   string `json:",omitempty" doc:"when the user was last seen to log in; absent: never"`
}

// ListAccessRequest asks by stack who may enter, by user where, or about one pair.
type ListAccessRequest struct {
	StackId    string `json:",omitempty"`
	IamUserArn string `json:",omitempty"`
}

// ListAccessResponse lists who may enter, by user name, or where somebody may, by the
// stacks' names.
type ListAccessResponse struct {
	Access []AccessEntry
}

// AccessEntry is one user's way into the instances of one stack.
type AccessEntry struct {
	StackId     string
	StackName   string
	IamUserArn  string
	SshUsername string
	Uid         int64
	Sudo        bool
	// SudoCommands are what sudo is limited to.
	SudoCommands []string `json:",omitempty" doc:"the only commands sudo runs; absent: all"`
	Restricted   bool     `json:",omitempty" doc:"SSH keys open sessions alone"`
	Keys         int64    `doc:"how many; without any nobody can log in"`
	ExpiresAt    string   `json:",omitempty"`
	LastLoginAt  string   `json:",omitempty" doc:"on an instance of the stack; absent: never"`
}
