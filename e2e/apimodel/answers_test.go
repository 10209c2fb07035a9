package apimodel

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

const (
	alice = "arn:aws:iam::000000000000:user/alice"
	key   = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAII9wK85aDQCFcuZAWPE9sdc+VCp6TUiu8hyF/ekec7E/"
)

// TestAnswers calls every action that is served, with every member that means
// something, and compares what comes back with the model.
func TestAnswers(t *testing.T) {
	w := newWorld(t)
	settings := members{
		"Name": "web", "VpcId": "vpc-1", "Attributes": members{"Color": "red"}, "ServiceRoleArn": "arn:aws:iam::000000000000:role/r",
		"DefaultInstanceProfileArn": "arn:aws:iam::000000000000:instance-profile/p", "DefaultOs": "Debian 12",
		"HostnameTheme": "Layer_Dependent", "DefaultAvailabilityZone": "us-east-1a", "DefaultSubnetId": "subnet-1", "CustomJson": "{}",
		"ConfigurationManager": members{"Name": "Chef", "Version": "12"},
		"ChefConfiguration":    members{"ManageBerkshelf": false, "BerkshelfVersion": "3"}, "UseCustomCookbooks": false,
		"UseOpsworksSecurityGroups": false, "DefaultSshKeyName": "k", "DefaultRootDeviceType": "ebs", "AgentVersion": "LATEST",
		"CustomCookbooksSource": members{"Type": "git", "Url": "u", "Username": "n", "Password": "p", "SshKey": "k", "Revision": "r"},
	}
	with := func(more members, but ...string) members {
		request := maps.Clone(settings)
		maps.Copy(request, more)
		for _, member := range but {
			delete(request, member)
		}
		return request
	}
	stack := w.call(t, "CreateStack", with(members{"Region": region}))["StackId"].(string)
	w.call(t, "UpdateStack", with(members{"StackId": stack, "Name": "www"}, "VpcId"))
	clone := w.call(t, "CloneStack", with(members{"SourceStackId": stack, "Region": region, "ClonePermissions": true, "CloneAppIds": []string{}}))
	arn := w.call(t, "DescribeStacks", members{"StackIds": []string{stack}})["Stacks"].([]any)[0].(map[string]any)["Arn"]

	w.call(t, "CreateUserProfile", members{"IamUserArn": alice, "SshUsername": "alice", "SshPublicKey": key, "AllowSelfManagement": true})
	w.call(t, "UpdateUserProfile", members{"IamUserArn": alice, "SshUsername": "al", "SshPublicKey": key, "AllowSelfManagement": false})
	w.call(t, "DescribeUserProfiles", members{"IamUserArns": []string{alice}})
	w.call(t, "SetPermission", members{"StackId": stack, "IamUserArn": alice, "AllowSsh": true, "AllowSudo": false, "Level": "show"})
	if _, err := w.cp.SetPermission(t.Context(), w.admin, expiring(stack)); err != nil { // so that our own member shows
		t.Fatal(err)
	}
	w.call(t, "DescribePermissions", members{"StackId": stack})
	w.call(t, "DescribePermissions", members{"IamUserArn": alice})
	w.call(t, "UpdateMyUserProfile", members{"SshPublicKey": ""})
	w.call(t, "DescribeMyUserProfile", members{})

	instance := w.instance(t, stack)
	w.call(t, "UpdateInstance", members{"InstanceId": instance, "Hostname": "front", "LayerIds": []string{}, "SshKeyName": "k",
		"InstallUpdatesOnBoot": true, "AgentVersion": "INHERIT"})
	w.refused(t, "UpdateInstance", members{"InstanceId": instance, "InstanceType": "t2.micro", "AutoScalingType": "load", "Os": "x", "AmiId": "a",
		"Architecture": "x86_64", "EbsOptimized": true}, "ValidationException")
	w.call(t, "DescribeInstances", members{"InstanceIds": []string{instance}})
	w.call(t, "DescribeInstances", members{"LayerId": "none"})
	w.call(t, "DescribeStackSummary", members{"StackId": stack})
	w.call(t, "DescribeStackProvisioningParameters", members{"StackId": stack})
	w.call(t, "DescribeAgentVersions", members{"StackId": stack})
	w.call(t, "DescribeAgentVersions", members{"ConfigurationManager": members{"Name": "Chef", "Version": "12"}})
	w.call(t, "DescribeOperatingSystems", members{})
	fault := w.call(t, "DescribeServiceErrors", members{"InstanceId": instance})["ServiceErrors"].([]any)[0].(map[string]any)
	w.call(t, "DescribeServiceErrors", members{"ServiceErrorIds": []any{fault["ServiceErrorId"]}})
	for _, command := range w.call(t, "DescribeCommands", members{"InstanceId": instance})["Commands"].([]any) {
		w.call(t, "DescribeCommands", members{"CommandIds": []any{command.(map[string]any)["CommandId"]}})
	}
	w.call(t, "DescribeCommands", members{"DeploymentId": "none"})
	w.call(t, "TagResource", members{"ResourceArn": arn, "Tags": members{"a": "1", "b": "2"}})
	page := w.call(t, "ListTags", members{"ResourceArn": arn, "MaxResults": 1})
	w.call(t, "ListTags", members{"ResourceArn": arn, "NextToken": page["NextToken"]})
	w.call(t, "UntagResource", members{"ResourceArn": arn, "TagKeys": []string{"a"}})

	w.refused(t, "RegisterInstance", members{"StackId": stack, "Hostname": "h", "PublicIp": "192.0.2.1", "PrivateIp": "192.0.2.1",
		"RsaPublicKey": "k", "RsaPublicKeyFingerprint": "f", "InstanceIdentity": members{"Document": "d", "Signature": "s"}}, "ValidationException")
	w.refused(t, "DescribeInstances", members{"InstanceIds": []string{stack}}, "ResourceNotFoundException")
	w.call(t, "SetPermission", members{"StackId": stack, "IamUserArn": alice, "Level": "deny"})
	w.call(t, "SetPermission", members{"StackId": stack, "IamUserArn": w.admin.ARN.String(), "AllowSsh": true})
	w.call(t, "UpdateUserProfile", members{"IamUserArn": w.admin.ARN.String(), "SshUsername": "boss"})
	w.refused(t, "GrantAccess", members{"InstanceId": instance, "ValidForInMinutes": 60}, "ValidationException")
	w.call(t, "DeregisterInstance", members{"InstanceId": instance})
	w.call(t, "DeleteStack", members{"StackId": stack})
	w.call(t, "DeleteStack", members{"StackId": clone["StackId"]})
	w.call(t, "DeleteUserProfile", members{"IamUserArn": alice})
	for _, a := range served() {
		if !w.done[a.Name] {
			t.Errorf("%s was not called", a.Name)
		}
	}
}

// TestMembers sends each action every member of the model, which the surface that
// refuses unknown ones must know, and then each member with a value of another type,
// which must not be read as something.
func TestMembers(t *testing.T) {
	w := newWorld(t)
	for _, a := range served() {
		input := w.model.Operations[a.Name].Input
		if input == nil {
			continue
		}
		full := w.model.sample(input.Shape).(members)
		status, body := w.plain(t, a.Name, full)
		if status == http.StatusInternalServerError || strings.Contains(body, "SerializationException") || strings.Contains(body, "is not a member") {
			t.Errorf("%s with every member: %d %s", a.Name, status, body)
		}
		for _, member := range slices.Sorted(maps.Keys(full)) {
			wrong := maps.Clone(full)
			wrong[member] = 0.5
			want := fmt.Sprintf(`{"__type":"SerializationException","message":"%s: `, member)
			if status, body := w.send(t, a.Name, wrong); status != http.StatusBadRequest || !strings.HasPrefix(string(body), want) {
				t.Errorf("%s with %s = 0.5: %d %s", a.Name, member, status, body)
			}
		}
	}
}

// sample makes a value of a shape with every member.
func (m model) sample(name string) any {
	switch s := m.Shapes[name]; s.Type {
	case "structure":
		all := members{}
		for member, ref := range s.Members {
			all[member] = m.sample(ref.Shape)
		}
		return all
	case "list":
		return []any{m.sample(s.Member.Shape)}
	case "map":
		return members{fmt.Sprint(m.sample(s.Key.Shape)): m.sample(s.Value.Shape)}
	case "boolean":
		return true
	case "integer":
		return 60
	default:
		return append(slices.Clone(s.Enum), "x")[0]
	}
}
