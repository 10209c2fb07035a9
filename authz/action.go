package authz

import (
	"maps"
	"slices"
	"strings"

	"latchkey/authz/iam"
)

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
	// ScopeUser is a user, by ARN: no level grants it, only policies with that ARN
	// for a Resource, in which ${aws:username} stands for the caller.
	ScopeUser
	// ScopeForeign is an action of another service, which a tool may ask about:
	// policies alone decide it.
	ScopeForeign
)

// ActionRule says what an action works on and the lowest level that grants it;
// LevelDeny there means that no level does.
type ActionRule struct {
	Scope Scope
	Level Level
}

// ParseAction reads an action's name, service:Name. The case of a known one does
// not matter, as in policies; it is returned in the case of the table. A name of
// opsworks or latchkey that is in no table is read too, and denied by Decide.
func ParseAction(s string) (Action, error) {
	asked, err := iam.ParseAction(s)
	if err != nil {
		return "", err
	}
	if known, found := actionNames[asked]; found {
		return known, nil
	}
	return Action(s), nil
}

// Rule returns the rule of an action; one of opsworks or latchkey that is in no
// table, and text that names no action, have ScopeUnknown.
func (a Action) Rule() ActionRule {
	rule, known := actionRules[a]
	if known {
		return rule
	}
	service, _, named := strings.Cut(string(a), ":")
	if named && !strings.EqualFold(service, "opsworks") && !strings.EqualFold(service, "latchkey") {
		return ActionRule{Scope: ScopeForeign}
	}
	return ActionRule{}
}

// Actions returns every action that has a rule, in no order.
func Actions() []Action {
	return slices.Collect(maps.Keys(actionRules))
}

// actionRules holds all 74 actions of the original service (its user guide and
// API reference; where they disagree, the API reference, and for GrantAccess the
// page on RDP: Show and AllowSsh) and our own.
var actionRules = buildActionRules()

// actionsAsked holds the same actions as policies compare them.
var actionsAsked = buildActionsAsked()

// actionNames leads back from those to the names.
var actionNames = buildActionNames()

func buildActionsAsked() map[Action]iam.Action {
	asked := map[Action]iam.Action{}
	for a := range actionRules {
		parsed, _ := iam.ParseAction(string(a)) // a test parses them all
		asked[a] = parsed
	}
	return asked
}

func buildActionNames() map[iam.Action]Action {
	names := map[iam.Action]Action{}
	for a, asked := range actionsAsked {
		names[asked] = a
	}
	return names
}

// asked is the action as policies compare it; the zero value, which denies, where a
// names none.
func (a Action) asked() iam.Action {
	if known, found := actionsAsked[a]; found {
		return known
	}
	other, _ := iam.ParseAction(string(a))
	return other
}

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
	add("latchkey:", ActionRule{ScopeStack, LevelManage}, `CreateJoinToken DescribeUnmanagedAccess ExplainAccess ListAccess
		UpdateStackSettings`)
	add("latchkey:", ActionRule{ScopeStack, LevelShow}, `DescribeStackSettings`)
	add("latchkey:", ActionRule{ScopeUser, LevelDeny}, `
		DescribeUser PutUserPolicy DeleteUserPolicy AttachUserPolicy DetachUserPolicy PutUserPermissionsBoundary
		DeleteUserPermissionsBoundary TagUser UntagUser CreateAccessKey ListAccessKeys UpdateAccessKey DeleteAccessKey
		Authorize`)
	add("latchkey:", ActionRule{ScopeAccount, LevelDeny}, `
		CreateGroup DeleteGroup DescribeGroups AddUserToGroup RemoveUserFromGroup PutGroupPolicy DeleteGroupPolicy
		AttachGroupPolicy DetachGroupPolicy CreatePolicy UpdatePolicy DeletePolicy DescribePolicies BatchAuthorize
		SimulatePolicy ImportIam ImportUsers ListLastUses`)
	return rules
}
