package controlplane

// The requests and responses of the actions. Member names are those of the
// original API's model; a member that is not set is left out of a response.
// A pointer tells absent from empty or false. The tag doc is for the reference: what
// the name of a member does not say.

// CreateUserProfileRequest asks for a profile for an ARN.
type CreateUserProfileRequest struct {
	IamUserArn          string
	SshUsername         *string `json:",omitempty" doc:"login name on the instances; default: from the ARN"`
	SshPublicKey        *string `json:",omitempty" doc:"one line: TYPE BASE64 [COMMENT]"`
	AllowSelfManagement *bool   `json:",omitempty" doc:"the user may change the key; default false"`
}

// CreateUserProfileResponse names the profile made. SshUsername is our own
// addition: the name that was kept.
type CreateUserProfileResponse struct {
	IamUserArn  string
	SshUsername string `json:",omitempty" doc:"our addition: the login name that was kept"`
}

// UpdateUserProfileRequest changes what it names and keeps the rest.
type UpdateUserProfileRequest struct {
	IamUserArn          string
	SshUsername         *string `json:",omitempty"`
	SshPublicKey        *string `json:",omitempty"`
	AllowSelfManagement *bool   `json:",omitempty"`
}

// DeleteUserProfileRequest ends a profile and everything it holds.
type DeleteUserProfileRequest struct {
	IamUserArn string
}

// DescribeUserProfilesRequest asks for some profiles, or with none named for all.
type DescribeUserProfilesRequest struct {
	IamUserArns []string `json:",omitempty"`
}

// DescribeUserProfilesResponse lists profiles by ARN.
type DescribeUserProfilesResponse struct {
	UserProfiles []UserProfile
}

// UserProfile is a profile as the API shows it.
type UserProfile struct {
	IamUserArn          string
	Name                string
	SshUsername         string `json:",omitempty"`
	SshPublicKey        string `json:",omitempty"`
	AllowSelfManagement bool
}

// DescribeMyUserProfileRequest has no members.
type DescribeMyUserProfileRequest struct{}

// DescribeMyUserProfileResponse holds the caller's own profile.
type DescribeMyUserProfileResponse struct {
	UserProfile SelfUserProfile
}

// SelfUserProfile is a profile as its owner is shown it.
type SelfUserProfile struct {
	IamUserArn   string
	Name         string
	SshUsername  string `json:",omitempty"`
	SshPublicKey string `json:",omitempty"`
}

// UpdateMyUserProfileRequest changes the caller's own key. The empty string is no
// key; a key that is not set stays.
type UpdateMyUserProfileRequest struct {
	SshPublicKey *string `json:",omitempty"`
}

// SetPermissionRequest changes what it names and keeps the rest. SudoCommands,
// Restricted and ExpiresAt are our own additions: the closed list that sudo is limited
// to, each an absolute path with the arguments, as authz.ParseCommand reads it; whether
// keys open sessions alone; and when the permission, its level too, ends by itself, in
// RFC 3339; the empty string is never.
type SetPermissionRequest struct {
	StackId    string
	IamUserArn string
	AllowSsh   *bool `json:",omitempty"`
	AllowSudo  *bool `json:",omitempty" doc:"has no effect without AllowSsh"`
	// SudoCommands nil keeps the limit; an empty list is none.
	SudoCommands *[]string `json:",omitempty" doc:"our addition: the only commands sudo runs, at most 32: an absolute path, and the exact arguments after single spaces; empty: all; not one's own"`
	Restricted   *bool     `json:",omitempty" doc:"our addition: SSH keys open sessions alone, without forwarding of ports, agent or X11 and without tunnels; not one's own"`
	Level        *string   `json:",omitempty" doc:"deny, iam_only, show, deploy or manage; not one's own"`
	ExpiresAt    *string   `json:",omitempty" doc:"our addition: when all of it ends, RFC 3339; empty: never; not one's own"`
}

// DescribePermissionsRequest asks by stack, by user, or by both.
type DescribePermissionsRequest struct {
	IamUserArn string `json:",omitempty"`
	StackId    string `json:",omitempty"`
}

// DescribePermissionsResponse lists permissions.
type DescribePermissionsResponse struct {
	Permissions []Permission
}

// Permission is a permission as the API shows it. SudoCommands, Restricted and
// ExpiresAt are our own additions.
type Permission struct {
	StackId      string
	IamUserArn   string
	AllowSsh     bool
	AllowSudo    bool
	SudoCommands []string `json:",omitempty" doc:"our addition: the only commands sudo runs; absent: all"`
	Restricted   bool     `json:",omitempty" doc:"our addition: SSH keys open sessions alone"`
	Level        string
	ExpiresAt    string `json:",omitempty" doc:"our addition"`
}

// CreateStackRequest has every member of the original's model, so that stock
// clients' requests decode; what this product does not act on is kept and shown
// again by DescribeStacks.
type CreateStackRequest struct {
	Name                      string                     `doc:"up to 64 characters"`
	Region                    string                     `json:",omitempty" doc:"default: the control plane's"`
	VpcId                     string                     `json:",omitempty"`
	Attributes                map[string]string          `json:",omitempty"`
	ServiceRoleArn            string                     `json:",omitempty" doc:"kept and shown; nothing acts on it"`
	DefaultInstanceProfileArn string                     `json:",omitempty" doc:"kept and shown; nothing acts on it"`
	DefaultOs                 string                     `json:",omitempty"`
	HostnameTheme             string                     `json:",omitempty"`
	DefaultAvailabilityZone   string                     `json:",omitempty"`
	DefaultSubnetId           string                     `json:",omitempty"`
	CustomJson                string                     `json:",omitempty"`
	ConfigurationManager      *StackConfigurationManager `json:",omitempty"`
	ChefConfiguration         *ChefConfiguration         `json:",omitempty"`
	UseCustomCookbooks        *bool                      `json:",omitempty"`
	UseOpsworksSecurityGroups *bool                      `json:",omitempty"`
	CustomCookbooksSource     *Source                    `json:",omitempty"`
	DefaultSshKeyName         string                     `json:",omitempty"`
	DefaultRootDeviceType     string                     `json:",omitempty"`
	AgentVersion              string                     `json:",omitempty"`
}

// StackConfigurationManager is Chef's name and version, kept for old clients.
type StackConfigurationManager struct {
	Name    string `json:",omitempty"`
	Version string `json:",omitempty"`
}

// ChefConfiguration is kept for old clients.
type ChefConfiguration struct {
	ManageBerkshelf  *bool  `json:",omitempty"`
	BerkshelfVersion string `json:",omitempty"`
}

// Source is kept for old clients. Its secrets are shown as *****FILTERED*****.
type Source struct {
	Type     string `json:",omitempty"`
	Url      string `json:",omitempty"`
	Username string `json:",omitempty"`
	Password string `json:",omitempty"`
	SshKey   string `json:",omitempty"`
	Revision string `json:",omitempty"`
}

// CreateStackResponse names the stack made.
type CreateStackResponse struct {
	StackId string
}

// UpdateStackRequest changes what it names and keeps the rest. ServiceRoleArn is
// there because clients send it again; it cannot be changed.
type UpdateStackRequest struct {
	StackId                   string
	Name                      *string                    `json:",omitempty"`
	Attributes                map[string]string          `json:",omitempty"`
	ServiceRoleArn            *string                    `json:",omitempty"`
	DefaultInstanceProfileArn *string                    `json:",omitempty"`
	DefaultOs                 *string                    `json:",omitempty"`
	HostnameTheme             *string                    `json:",omitempty"`
	DefaultAvailabilityZone   *string                    `json:",omitempty"`
	DefaultSubnetId           *string                    `json:",omitempty"`
	CustomJson                *string                    `json:",omitempty"`
	ConfigurationManager      *StackConfigurationManager `json:",omitempty"`
	ChefConfiguration         *ChefConfiguration         `json:",omitempty"`
	UseCustomCookbooks        *bool                      `json:",omitempty"`
	CustomCookbooksSource     *Source                    `json:",omitempty"`
	DefaultSshKeyName         *string                    `json:",omitempty"`
	DefaultRootDeviceType     *string                    `json:",omitempty"`
	UseOpsworksSecurityGroups *bool                      `json:",omitempty"`
	AgentVersion              *string                    `json:",omitempty"`
}

// CloneStackRequest asks for a new stack like another; what it names is another
// value than the other's. CloneAppIds is known and must be empty: there are no apps.
type CloneStackRequest struct {
	SourceStackId             string
	Name                      *string                    `json:",omitempty"`
	Region                    *string                    `json:",omitempty"`
	VpcId                     *string                    `json:",omitempty"`
	Attributes                map[string]string          `json:",omitempty"`
	ServiceRoleArn            *string                    `json:",omitempty"`
	DefaultInstanceProfileArn *string                    `json:",omitempty"`
	DefaultOs                 *string                    `json:",omitempty"`
	HostnameTheme             *string                    `json:",omitempty"`
	DefaultAvailabilityZone   *string                    `json:",omitempty"`
	DefaultSubnetId           *string                    `json:",omitempty"`
	CustomJson                *string                    `json:",omitempty"`
	ConfigurationManager      *StackConfigurationManager `json:",omitempty"`
	ChefConfiguration         *ChefConfiguration         `json:",omitempty"`
	UseCustomCookbooks        *bool                      `json:",omitempty"`
	UseOpsworksSecurityGroups *bool                      `json:",omitempty"`
	CustomCookbooksSource     *Source                    `json:",omitempty"`
	DefaultSshKeyName         *string                    `json:",omitempty"`
	ClonePermissions          *bool                      `json:",omitempty" doc:"default false"`
	CloneAppIds               []string                   `json:",omitempty" doc:"must be empty: there are no apps"`
	DefaultRootDeviceType     *string                    `json:",omitempty"`
	AgentVersion              *string                    `json:",omitempty"`
}

// CloneStackResponse names the stack made.
type CloneStackResponse struct {
	StackId string
}

// DescribeStacksRequest asks for some stacks, or with none named for all that
// the caller may see.
type DescribeStacksRequest struct {
	StackIds []string `json:",omitempty"`
}

// DescribeStacksResponse lists stacks by name.
type DescribeStacksResponse struct {
	Stacks []Stack
}

// Stack is a stack as the API shows it.
type Stack struct {
	StackId string
	Arn     string
	CreateStackRequest
	CreatedAt string
}

// DescribeStackSummaryRequest asks for the counts of one stack.
type DescribeStackSummaryRequest struct {
	StackId string
}

// DescribeStackSummaryResponse holds the counts of one stack.
type DescribeStackSummaryResponse struct {
	StackSummary StackSummary
}

// StackSummary is a stack in numbers. There are no layers and no apps.
type StackSummary struct {
	StackId        string
	Name           string
	Arn            string
	LayersCount    int64
	AppsCount      int64
	InstancesCount InstancesCount
}

// InstancesCount counts instances by status; what is zero is left out.
type InstancesCount struct {
	ConnectionLost int64 `json:",omitempty"`
	Online         int64 `json:",omitempty"`
	Registered     int64 `json:",omitempty"`
}

// DescribeStackProvisioningParametersRequest asks what a machine needs to join a
// stack.
type DescribeStackProvisioningParametersRequest struct {
	StackId string
}

// DescribeStackProvisioningParametersResponse has the members that the original's
// clients read. Nothing is installed from AgentInstallerUrl, which leads nowhere.
type DescribeStackProvisioningParametersResponse struct {
	AgentInstallerUrl string
	Parameters        map[string]string
}

// DeleteStackRequest ends a stack that holds no instances.
type DeleteStackRequest struct {
	StackId string
}

// DescribeInstancesRequest asks by one of its members, or with none for all
// that the caller may see. LayerId is known and matches nothing: there are no layers.
type DescribeInstancesRequest struct {
	StackId     string   `json:",omitempty"`
	LayerId     string   `json:",omitempty" doc:"matches nothing: there are no layers"`
	InstanceIds []string `json:",omitempty"`
}

// DescribeInstancesResponse lists instances.
type DescribeInstancesResponse struct {
	Instances []Instance
}

// Instance is an instance as the API shows it: the original's members that have
// a meaning for a registered machine.
type Instance struct {
	InstanceId           string
	StackId              string
	Arn                  string
	Hostname             string `json:",omitempty"` // as given, or the machine's own
	Status               string // registered, online, connection_lost
	CreatedAt            string
	AgentVersion         string      `json:",omitempty"` // as given
	Architecture         string      `json:",omitempty"` // x86_64, i386; others are left out
	InfrastructureClass  string      // on-premises
	InstallUpdatesOnBoot *bool       `json:",omitempty"` // as given
	LastServiceErrorId   string      `json:",omitempty"`
	Os                   string      `json:",omitempty"`
	Platform             string      `json:",omitempty"`
	PrivateIp            string      `json:",omitempty"`
	RegisteredBy         string      `json:",omitempty"`
	ReportedAgentVersion string      `json:",omitempty"`
	ReportedOs           *ReportedOs `json:",omitempty"`
	SshKeyName           string      `json:",omitempty"` // as given
}

// ReportedOs is the system an instance says it runs.
type ReportedOs struct {
	Family  string `json:",omitempty"`
	Name    string `json:",omitempty"`
	Version string `json:",omitempty"`
}

// DeregisterInstanceRequest ends the control plane's knowledge of an instance.
// The machine keeps its last state until its own administrator runs revert.
type DeregisterInstanceRequest struct {
	InstanceId string
}

// CreateJoinTokenRequest asks for a token that lets one machine join.
type CreateJoinTokenRequest struct {
	StackId    string
	TtlSeconds *int64 `json:",omitempty" doc:"60 to 3600, default 3600"`
}

// CreateJoinTokenResponse holds the token, which is shown this once.
type CreateJoinTokenResponse struct {
	Token     string
	ExpiresAt string
}
