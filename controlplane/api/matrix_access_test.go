package api

import (
	"encoding/json"
	"errors"
	"testing"

	"latchkey/controlplane"
)

// holdingsMatrix: no level lets anybody near what users and groups hold.
func holdingsMatrix() map[string]string {
	return map[string]string{
		"DescribeUser":                  "- - - - - - - +",
		"CreateAccessKey":               "- - - - - - - +",
		"ListAccessKeys":                "- - - - - - - +",
		"UpdateAccessKey":               "- - - - - - - +",
		"DeleteAccessKey":               "- - - - - - - +",
		"PutUserPolicy":                 "- - - - - - - +",
		"DeleteUserPolicy":              "- - - - - - - +",
		"AttachUserPolicy":              "- - - - - - - +",
		"DetachUserPolicy":              "- - - - - - - +",
		"PutUserPermissionsBoundary":    "- - - - - - - +",
		"DeleteUserPermissionsBoundary": "- - - - - - - +",
		"TagUser":                       "- - - - - - - +",
		"UntagUser":                     "- - - - - - - +",
		"CreateGroup":                   "- - - - - - - +",
		"DeleteGroup":                   "- - - - - - - +",
		"DescribeGroups":                "- - - - - - - +",
		"AddUserToGroup":                "- - - - - - - +",
		"RemoveUserFromGroup":           "- - - - - - - +",
		"PutGroupPolicy":                "- - - - - - - +",
		"DeleteGroupPolicy":             "- - - - - - - +",
		"AttachGroupPolicy":             "- - - - - - - +",
		"DetachGroupPolicy":             "- - - - - - - +",
		"CreatePolicy":                  "- - - - - - - +",
		"UpdatePolicy":                  "- - - - - - - +",
		"DeletePolicy":                  "- - - - - - - +",
		"DescribePolicies":              "- - - - - - - +",
	}
}

// holdingsSituation sees to it that there is a group, a managed policy, and a user who
// has an access key, and adds the members that name them.
func holdingsSituation(t *testing.T, cp *controlplane.ControlPlane, admin controlplane.Caller, victim string, m members) {
	t.Helper()
	document := json.RawMessage(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"opsworks:DescribeStacks","Resource":"*"}]}`)
	made := func(_ any, err error) {
		t.Helper()
		var e *controlplane.Error
		if err != nil && !(errors.As(err, &e) && e.Code == controlplane.Invalid) { // there already
			t.Fatal(err)
		}
	}
	made(cp.CreateGroup(t.Context(), admin, controlplane.CreateGroupRequest{GroupName: "team"}))
	made(cp.CreatePolicy(t.Context(), admin, controlplane.CreatePolicyRequest{PolicyName: "rules", PolicyDocument: document}))
	made(cp.CreateAccessKey(t.Context(), admin, controlplane.CreateAccessKeyRequest{IamUserArn: victim}))
	keys, err := cp.ListAccessKeys(t.Context(), admin, controlplane.ListAccessKeysRequest{IamUserArn: victim})
	if err != nil {
		t.Fatal(err)
	}
	m["GroupName"], m["GroupNames"] = "team", []string{"team"}
	m["PolicyName"], m["PolicyNames"], m["PolicyDocument"] = "rules", []string{"rules"}, document
	m["AccessKeyId"], m["Status"] = keys.AccessKeys[0].AccessKeyId, "Inactive"
}
