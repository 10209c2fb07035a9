package api

// holdings holds our own about what users and groups hold: access keys, policies,
// boundaries, tags.
func holdings() []Action {
	return []Action{
		action("latchkey:DescribeUser", reads, "Show all that a user holds besides permissions: policies, groups, boundary, tags, access keys.", (*cp).DescribeUser),
		action("latchkey:CreateAccessKey", changes, "Make an access key; the secret is shown this once.", (*cp).CreateAccessKey),
		action("latchkey:ListAccessKeys", reads, "List a user's access keys.", (*cp).ListAccessKeys),
		action("latchkey:UpdateAccessKey", changes, "Make an access key active or inactive.", (*cp).UpdateAccessKey),
		action("latchkey:DeleteAccessKey", changes, "Delete an access key.", (*cp).DeleteAccessKey),
		action("latchkey:PutUserPolicy", changes, "Give a user an inline policy, or another document in its place.", (*cp).PutUserPolicy),
		action("latchkey:DeleteUserPolicy", changes, "Take an inline policy from a user.", (*cp).DeleteUserPolicy),
		action("latchkey:AttachUserPolicy", changes, "Give a user a managed policy.", (*cp).AttachUserPolicy),
		action("latchkey:DetachUserPolicy", changes, "Take a managed policy from a user.", (*cp).DetachUserPolicy),
		action("latchkey:PutUserPermissionsBoundary", changes, "Bound a user by a managed policy: more than it allows, he may not.", (*cp).PutUserPermissionsBoundary),
		action("latchkey:DeleteUserPermissionsBoundary", changes, "Take a user's boundary away.", (*cp).DeleteUserPermissionsBoundary),
		action("latchkey:TagUser", changes, "Give a user tags.", (*cp).TagUser),
		action("latchkey:UntagUser", changes, "Take tags away from a user.", (*cp).UntagUser),
		action("latchkey:CreateGroup", changes, "Make a group of users who share policies.", (*cp).CreateGroup),
		action("latchkey:DeleteGroup", changes, "Delete a group that has no members and no policies.", (*cp).DeleteGroup),
		action("latchkey:DescribeGroups", reads, "List groups with their members and policies: some, or all.", (*cp).DescribeGroups),
		action("latchkey:AddUserToGroup", changes, "Put a user into a group.", (*cp).AddUserToGroup),
		action("latchkey:RemoveUserFromGroup", changes, "Take a user out of a group.", (*cp).RemoveUserFromGroup),
		action("latchkey:PutGroupPolicy", changes, "Give a group an inline policy, or another document in its place.", (*cp).PutGroupPolicy),
		action("latchkey:DeleteGroupPolicy", changes, "Take an inline policy from a group.", (*cp).DeleteGroupPolicy),
		action("latchkey:AttachGroupPolicy", changes, "Give a group a managed policy.", (*cp).AttachGroupPolicy),
		action("latchkey:DetachGroupPolicy", changes, "Take a managed policy from a group.", (*cp).DetachGroupPolicy),
		action("latchkey:CreatePolicy", changes, "Make a managed policy.", (*cp).CreatePolicy),
		action("latchkey:UpdatePolicy", changes, "Give a managed policy another document, for everybody who has it.", (*cp).UpdatePolicy),
		action("latchkey:DeletePolicy", changes, "Delete a managed policy that nobody has.", (*cp).DeletePolicy),
		action("latchkey:DescribePolicies", reads, "List managed policies, built-in ones too: some, or all.", (*cp).DescribePolicies),
	}
}
