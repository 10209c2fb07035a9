package api

// imports holds our own actions that bring many entities at once.
func imports() []Action {
	return []Action{
		action("latchkey:ImportIam", changes, "Import managed policies, groups and users from IAM's own listing, or plan it.", (*cp).ImportIam),
		action("latchkey:ImportUsers", changes, "Import profiles of another control plane, or plan it.", (*cp).ImportUsers),
	}
}
