package authz

import "strings"

// Action is the name of something that can be asked of the control plane, with
// its service prefix: "opsworks:SetPermission", "latchkey:CreateJoinToken".
type Action string

// Scope says what an action works on, and so what a level can say about it.
type Scope int

const (
	// ScopeUnknown is the scope of an action that is in no table. It is denied.
	ScopeUnknown Scope = iota
	// ScopeStack is a stack, named directly or through something that belongs to it.
	ScopeStack
	// ScopeAccount is everything: no level grants it, only policies with Resource *.
	ScopeAccount
	// ScopeSelf is the caller's own profile: granted by the self-management flag.
	ScopeSelf
)

// ActionRule says what an action works on and the lowest level that grants it;
// LevelDeny there means that no level does.
type ActionRule struct {
	Scope Scope
	Level Level
}

// Rule returns the rule of an action; an unknown action has ScopeUnknown.
func (a Action) Rule() ActionRule { return actionRules[a] }

// actionRules holds all 74 actions of the original service (its user guide and
// API reference; where they disagree, the API reference, and for GrantAccess the
// page on RDP: Show and AllowSsh) and our own.
var actionRules = buildActionRules()

func buildActionRules() map[Action]ActionRule {
	rules := map[Action]ActionRule{}
	add := func(prefix string, rule ActionRule, words string) {
		for _, w := range strings.Fields(words) {
			rules[Action(prefix+w)] = rule
		}
	}
	add("opsworks:", ActionRule{ScopeStack, LevelShow}, `
		DescribeAgentVersions DescribeApps DescribeCommands DescribeDeployments DescribeEcsClusters
		DescribeElasticIps DescribeElasticLoadBalancers DescribeInstances DescribeLayers
		DescribeLoadBasedAutoScaling DescribeRaidArrays DescribeRdsDbInstances
		DescribeServiceErrors DescribeStackProvisioningParameters DescribeStackSummary DescribeStacks
		DescribeTimeBasedAutoScaling DescribeVolumes GrantAccess ListTags`)
	add("opsworks:", ActionRule{ScopeStack, LevelDeploy}, `CreateDeployment UpdateApp`)
	add("opsworks:", ActionRule{ScopeStack, LevelManage}, `
		AssignInstance AssignVolume AssociateElasticIp AttachElasticLoadBalancer CreateApp CreateInstance
		CreateLayer DeleteApp DeleteInstance DeleteLayer DeleteStack DeregisterEcsCluster DeregisterElasticIp
		DeregisterInstance DeregisterRdsDbInstance DeregisterVolume DescribePermissions DetachElasticLoadBalancer
		DisassociateElasticIp GetHostnameSuggestion RebootInstance RegisterEcsCluster RegisterElasticIp
		RegisterInstance RegisterRdsDbInstance RegisterVolume SetLoadBasedAutoScaling SetPermission
		SetTimeBasedAutoScaling StartInstance StartStack StopInstance StopStack TagResource UnassignInstance
		UnassignVolume UntagResource UpdateElasticIp UpdateInstance UpdateLayer UpdateRdsDbInstance UpdateStack
		UpdateVolume`)
	add("opsworks:", ActionRule{ScopeStack, LevelDeny}, `CloneStack`)
	add("opsworks:", ActionRule{ScopeAccount, LevelDeny}, `
		CreateStack CreateUserProfile DeleteUserProfile DescribeOperatingSystems DescribeUserProfiles UpdateUserProfile`)
	add("opsworks:", ActionRule{ScopeSelf, LevelDeny}, `DescribeMyUserProfile UpdateMyUserProfile`)
	add("latchkey:", ActionRule{ScopeStack, LevelManage}, `CreateJoinToken`)
	return rules
}
