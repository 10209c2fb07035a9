package api

import (
	"context"
	"reflect"
	"strings"

	"latchkey/authz"
	"latchkey/controlplane"
)

// Action is one thing that can be asked of the control plane. Everything that
// lists, documents or serves actions is made from these values.
type Action struct {
	// Name is the API's name, "SetPermission".
	Name string
	// IAM is the name that policies and levels know it by, "opsworks:SetPermission".
	// The AWS surface serves only those of opsworks.
	IAM authz.Action
	// Doc is one line for people.
	Doc string
	// Changes tells an action that changes something: one signature makes it act
	// at most once.
	Changes bool
	// Request and Response are the struct types of its input and output; Response
	// is nil for an action without output.
	Request, Response reflect.Type

	run func(context.Context, *controlplane.ControlPlane, controlplane.Caller, []byte, unknown) (any, error)
}

// effect is whether an action changes anything.
type effect bool

const (
	reads   effect = false
	changes effect = true
)

// action makes the Action of one use case, given as a method expression.
func action[Req, Resp any](iam authz.Action, does effect, doc string,
	use func(*controlplane.ControlPlane, context.Context, controlplane.Caller, Req) (Resp, error)) Action {
	a := Action{
		Name:     string(iam[strings.IndexByte(string(iam), ':')+1:]),
		IAM:      iam,
		Doc:      doc,
		Changes:  bool(does),
		Request:  reflect.TypeFor[Req](),
		Response: reflect.TypeFor[Resp](),
	}
	if a.Response == reflect.TypeFor[controlplane.Nothing]() {
		a.Response = nil
	}
	a.run = func(ctx context.Context, cp *controlplane.ControlPlane, who controlplane.Caller, body []byte, u unknown) (any, error) {
		var req Req
		if err := decode(body, &req, u); err != nil {
			return nil, err
		}
		resp, err := use(cp, ctx, who, req)
		if err != nil || a.Response == nil {
			return nil, err
		}
		return resp, nil
	}
	return a
}

// Actions returns every action that is served, in the order of the reference.
func Actions() []Action {
	type cp = controlplane.ControlPlane
	return []Action{
		action("opsworks:CreateUserProfile", changes, "Make a profile for a user, by ARN.", (*cp).CreateUserProfile),
		action("opsworks:UpdateUserProfile", changes, "Change a profile's SSH name, key or self-management.", (*cp).UpdateUserProfile),
		action("opsworks:DeleteUserProfile", changes, "Delete a profile and end everything it holds.", (*cp).DeleteUserProfile),
		action("opsworks:DescribeUserProfiles", reads, "List profiles: some, or all.", (*cp).DescribeUserProfiles),
		action("opsworks:DescribeMyUserProfile", reads, "Show the caller's own profile.", (*cp).DescribeMyUserProfile),
		action("opsworks:UpdateMyUserProfile", changes, "Change the caller's own SSH key.", (*cp).UpdateMyUserProfile),
		action("opsworks:SetPermission", changes, "Set a user's level, SSH and sudo on a stack; what is left out stays.", (*cp).SetPermission),
		action("opsworks:DescribePermissions", reads, "List permissions of a stack, of a user, or of both.", (*cp).DescribePermissions),
		action("opsworks:CreateStack", changes, "Make a stack.", (*cp).CreateStack),
		action("opsworks:CloneStack", changes, "Make a stack like another, with its permissions or without.", (*cp).CloneStack),
		action("opsworks:UpdateStack", changes, "Change a stack's name and settings; what is left out stays.", (*cp).UpdateStack),
		action("opsworks:DescribeStacks", reads, "List stacks: some, or all that the caller may see.", (*cp).DescribeStacks),
		action("opsworks:DescribeStackSummary", reads, "Count a stack's instances by status.", (*cp).DescribeStackSummary),
		action("opsworks:DescribeStackProvisioningParameters", reads, "Answer what aws opsworks register asks of a stack.", (*cp).DescribeStackProvisioningParameters),
		action("opsworks:DeleteStack", changes, "Delete a stack that holds no instances.", (*cp).DeleteStack),
		action("opsworks:DescribeInstances", reads, "List instances of a stack, some, or all that the caller may see.", (*cp).DescribeInstances),
		action("opsworks:RegisterInstance", changes, "Say how a machine joins; machines join by tokens, so nothing is registered.", (*cp).RegisterInstance),
		action("opsworks:UpdateInstance", changes, "Change the name that an instance is shown with.", (*cp).UpdateInstance),
		action("opsworks:DeregisterInstance", changes, "Forget an instance; the machine keeps its last state.", (*cp).DeregisterInstance),
		action("opsworks:GrantAccess", changes, "Refuse temporary passwords: Linux instances have none.", (*cp).GrantAccess),
		action("opsworks:DescribeCommands", reads, "List what an instance did and has to do: sync, grant, revoke.", (*cp).DescribeCommands),
		action("opsworks:DescribeServiceErrors", reads, "List what instances reported to have gone wrong.", (*cp).DescribeServiceErrors),
		action("opsworks:DescribeAgentVersions", reads, "List the agent's versions: this control plane's and those of instances.", (*cp).DescribeAgentVersions),
		action("opsworks:DescribeOperatingSystems", reads, "List the systems that the agent is tested on.", (*cp).DescribeOperatingSystems),
		action("opsworks:TagResource", changes, "Give a stack or an instance tags.", (*cp).TagResource),
		action("opsworks:UntagResource", changes, "Take tags away from a stack or an instance.", (*cp).UntagResource),
		action("opsworks:ListTags", reads, "List the tags of a stack or an instance.", (*cp).ListTags),
		action("latchkey:CreateJoinToken", changes, "Make a token that lets one machine join a stack, once.", (*cp).CreateJoinToken),
	}
}

const originalService = "opsworks:"

// find returns the action of a name, among those that s serves.
func find(actions map[string]Action, s surface, name string) (Action, error) {
	a, served := actions[name]
	known := authz.Action(originalService+name).Rule().Scope != authz.ScopeUnknown
	switch {
	case served && (!s.onlyOriginal || strings.HasPrefix(string(a.IAM), originalService)):
		return a, nil
	case name == "":
		return Action{}, refuse(UnknownOperation, "no action is named: the header is  X-Amz-Target: %sACTION", awsTarget)
	case served:
		return Action{}, refuse(UnknownOperation, "%s is not an action of the OpsWorks API: call it at %s%s", name, plainPath, name)
	case known:
		return Action{}, refuse(controlplane.Invalid, "%s is known but not served by this control plane", name)
	}
	return Action{}, refuse(UnknownOperation, "no action has the name %q", clip(name))
}
