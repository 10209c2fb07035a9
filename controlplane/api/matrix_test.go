package api

// The tables of TestMatrix: for each action who may, by nobody, a user without
// anything, with deny, with show, with manage, with manage on another stack, with
// self-management, and the administrator.

func originalMatrix() map[string]string {
	return map[string]string{
		"CreateUserProfile":                   "- - - - - - - +",
		"UpdateUserProfile":                   "- - - - - - - +",
		"DeleteUserProfile":                   "- - - - - - - +",
		"DescribeUserProfiles":                "- - - - - - - +",
		"DescribeMyUserProfile":               "- - - - - - + +",
		"UpdateMyUserProfile":                 "- - - - - - + +",
		"SetPermission":                       "- - - - + - - +",
		"DescribePermissions":                 "- - - - + - - +",
		"CreateStack":                         "- - - - - - - +",
		"CloneStack":                          "- - - - - - - +",
		"UpdateStack":                         "- - - - + - - +",
		"DescribeStacks":                      "- - - + + - - +",
		"DescribeStackSummary":                "- - - + + - - +",
		"DescribeStackProvisioningParameters": "- - - + + - - +",
		"DeleteStack":                         "- - - - + - - +",
		"DescribeInstances":                   "- - - + + - - +",
		"DeregisterInstance":                  "- - - - + - - +",
		"RegisterInstance":                    "- - - - + - - +",
		"GrantAccess":                         "- - - - - - - -", // nobody here has AllowSsh
		"UpdateInstance":                      "- - - - + - - +",
		"DescribeCommands":                    "- - - + + - - +",
		"DescribeServiceErrors":               "- - - + + - - +",
		"DescribeAgentVersions":               "- - - + + - - +",
		"DescribeOperatingSystems":            "- - - - - - - +",
		"TagResource":                         "- - - - + - - +",
		"UntagResource":                       "- - - - + - - +",
		"ListTags":                            "- - - + + - - +",
	}
}

func machinesMatrix() map[string]string {
	return map[string]string{
		"CreateJoinToken":       "- - - - + - - +",
		"UpdateStackSettings":   "- - - - + - - +",
		"DescribeStackSettings": "- - - + + - - +",
	}
}
