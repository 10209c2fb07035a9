package api

import "latchkey/controlplane"

// cp makes the method expressions below short.
type cp = controlplane.ControlPlane

// original holds the actions of OpsWorks that are served.
func original() []Action {
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
	}
}

// machines holds our own about stacks and their instances.
func machines() []Action {
	return []Action{
		action("latchkey:CreateJoinToken", changes, "Make a token that lets one machine join a stack, once.", (*cp).CreateJoinToken),
		action("latchkey:UpdateStackSettings", changes, "Change what a stack wants of its instances; what is left out stays.", (*cp).UpdateStackSettings),
		action("latchkey:DescribeStackSettings", reads, "Show what a stack wants of its instances.", (*cp).DescribeStackSettings),
	}
}
