package controlplane

// More requests and responses: those about what instances are and report, and
// about tags. The rules are those of message.go.

// UpdateInstanceRequest changes what it names and keeps the rest. Hostname is how
// the instance is shown; the machine's own name is not touched. AgentVersion,
// InstallUpdatesOnBoot and SshKeyName are kept and shown, and nothing acts on
// them. The other members describe a machine in a cloud, and are refused.
type UpdateInstanceRequest struct {
	InstanceId           string
	LayerIds             []string `json:",omitempty"`
	InstanceType         *string  `json:",omitempty"`
	AutoScalingType      *string  `json:",omitempty"`
	Hostname             *string  `json:",omitempty" doc:"empty: the machine's own"`
	Os                   *string  `json:",omitempty"`
	AmiId                *string  `json:",omitempty"`
	SshKeyName           *string  `json:",omitempty"`
	Architecture         *string  `json:",omitempty"`
	InstallUpdatesOnBoot *bool    `json:",omitempty"`
	EbsOptimized         *bool    `json:",omitempty"`
	AgentVersion         *string  `json:",omitempty"`
}

// DescribeServiceErrorsRequest asks by one of its members, or with none for all
// that the caller may see.
type DescribeServiceErrorsRequest struct {
	StackId         string   `json:",omitempty"`
	InstanceId      string   `json:",omitempty"`
	ServiceErrorIds []string `json:",omitempty"`
}

// DescribeServiceErrorsResponse lists service errors, newest first.
type DescribeServiceErrorsResponse struct {
	ServiceErrors []ServiceError
}

// ServiceError is something that an instance reported to have gone wrong. Type is
// step_failed or user_refused.
type ServiceError struct {
	ServiceErrorId string
	StackId        string
	InstanceId     string
	Type           string
	Message        string
	CreatedAt      string
}

// DescribeAgentVersionsRequest asks for a stack or, by configuration manager, for
// all stacks.
type DescribeAgentVersionsRequest struct {
	StackId              string                     `json:",omitempty"`
	ConfigurationManager *StackConfigurationManager `json:",omitempty"`
}

// DescribeAgentVersionsResponse lists versions of the agent, newest first.
type DescribeAgentVersionsResponse struct {
	AgentVersions []AgentVersion
}

// AgentVersion is a version of the agent: the one that came with this control
// plane, or one that an instance says it runs.
type AgentVersion struct {
	Version              string
	ConfigurationManager *StackConfigurationManager `json:",omitempty"`
}

// DescribeOperatingSystemsRequest has no members.
type DescribeOperatingSystemsRequest struct{}

// DescribeOperatingSystemsResponse lists what the agent is tested on.
type DescribeOperatingSystemsResponse struct {
	OperatingSystems []OperatingSystem
}

// OperatingSystem is a system that the agent runs on.
type OperatingSystem struct {
	Name                  string
	Id                    string
	Type                  string // Linux
	ConfigurationManagers []StackConfigurationManager
	ReportedName          string
	ReportedVersion       string
	Supported             bool
}

// TagResourceRequest gives a stack or an instance tags; others that it has stay.
type TagResourceRequest struct {
	ResourceArn string
	Tags        map[string]string
}

// UntagResourceRequest takes tags away from a stack or an instance.
type UntagResourceRequest struct {
	ResourceArn string
	TagKeys     []string
}

// ListTagsRequest asks for the tags of a stack or an instance.
type ListTagsRequest struct {
	ResourceArn string
	MaxResults  *int64 `json:",omitempty" doc:"1 to 100, default all"`
	NextToken   string `json:",omitempty" doc:"of the answer before"`
}

// ListTagsResponse holds tags, by key, and a token if there are more.
type ListTagsResponse struct {
	Tags      map[string]string
	NextToken string `json:",omitempty"`
}

// RegisterInstanceRequest is what the original's agent sent when a machine joined.
type RegisterInstanceRequest struct {
	StackId                 string
	Hostname                string            `json:",omitempty"`
	PublicIp                string            `json:",omitempty"`
	PrivateIp               string            `json:",omitempty"`
	RsaPublicKey            string            `json:",omitempty"`
	RsaPublicKeyFingerprint string            `json:",omitempty"`
	InstanceIdentity        *InstanceIdentity `json:",omitempty"`
}

// InstanceIdentity is a cloud's signed word on a machine.
type InstanceIdentity struct {
	Document  string `json:",omitempty"`
	Signature string `json:",omitempty"`
}

// RegisterInstanceResponse names an instance. It is never given: see
// ControlPlane.RegisterInstance.
type RegisterInstanceResponse struct {
	InstanceId string
}

// GrantAccessRequest asks for a temporary password for the caller.
type GrantAccessRequest struct {
	InstanceId        string
	ValidForInMinutes *int64 `json:",omitempty" doc:"60 to 1440, default 60"`
}

// GrantAccessResponse holds a temporary password. It is never given yet: see
// ControlPlane.GrantAccess.
type GrantAccessResponse struct {
	TemporaryCredential TemporaryCredential
}

// TemporaryCredential lets the caller log in to one Windows instance for a while.
type TemporaryCredential struct {
	Username          string
	Password          string
	ValidForInMinutes int64
	InstanceId        string
}

// DescribeCommandsRequest asks by one of its members. DeploymentId is known and
// matches nothing: there are no deployments.
type DescribeCommandsRequest struct {
	DeploymentId string   `json:",omitempty" doc:"matches nothing: there are no deployments"`
	InstanceId   string   `json:",omitempty"`
	CommandIds   []string `json:",omitempty"`
}

// DescribeCommandsResponse lists commands, newest first.
type DescribeCommandsResponse struct {
	Commands []Command
}

// Command is work of an instance as the original's scripts wait for it. Type is
// sync_remote_users, grant_remote_access or revoke_remote_access; Status is pending,
// successful, failed or skipped.
type Command struct {
	CommandId      string
	InstanceId     string
	CreatedAt      string
	AcknowledgedAt string `json:",omitempty"`
	CompletedAt    string `json:",omitempty"`
	Status         string
	ExitCode       *int64 `json:",omitempty"` // 0 successful, 1 failed
	Type           string
}

// StackSettings are what a stack wants of its instances, as they are told.
type StackSettings struct {
	KeysMode   string `doc:"how sshd gets keys: command, directory or home"`
	OnRevoke   string `doc:"what becomes of the account of who may not enter any more: lock or remove"`
	Homes      string `doc:"what becomes of the home of an account that is removed: keep, archive or delete"`
	Unmanaged  string `doc:"what becomes of keys that somebody put into managed homes: report, allow, adopt or quarantine"`
	Stale      string `doc:"without an answer from the control plane: keep, or drop-sudo or drop-all after so many hours: drop-sudo:168h"`
	MinRsaBits int64
}

// UpdateStackSettingsRequest changes what it names and keeps the rest.
type UpdateStackSettingsRequest struct {
	StackId   string
	KeysMode  *string `json:",omitempty" doc:"command, directory or home"`
	OnRevoke  *string `json:",omitempty" doc:"lock or remove"`
	Homes     *string `json:",omitempty" doc:"keep, archive or delete; the last two only where OnRevoke is remove"`
	Unmanaged *string `json:",omitempty" doc:"report, allow, adopt or quarantine"`
	Stale     *string `json:",omitempty" doc:"keep, drop-sudo:HOURSh or drop-all:HOURSh"`
}

// DescribeStackSettingsRequest asks for the settings of one stack.
type DescribeStackSettingsRequest struct {
	StackId string
}

// DescribeStackSettingsResponse holds the settings of one stack.
type DescribeStackSettingsResponse struct {
	Settings StackSettings
}
