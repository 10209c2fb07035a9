package apimodel

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/opsworks"

	"latchkey/controlplane"
	"latchkey/controlplane/datadir"
)

// plain sends a request to our own surface, with a password.
func (w *world) plain(t *testing.T, action string, request any) (status int, body string) {
	t.Helper()
	text, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+"/api/v1/"+action, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.SetBasicAuth(w.key.ID, w.key.Secret)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

func expiring(stack string) controlplane.SetPermissionRequest {
	end := time.Now().Add(time.Hour).Format(time.RFC3339)
	restricted := true
	return controlplane.SetPermissionRequest{StackId: stack, IamUserArn: alice, ExpiresAt: &end, SudoCommands: &[]string{"/usr/bin/id"}, Restricted: &restricted}
}

// story is AWS's own client for Go, unmodified but for the address, in the hands of
// the administrator and of bob, who has no rights yet.
type story struct {
	*world
	client, bobs *opsworks.OpsWorks
}

const bob = "arn:aws:iam::000000000000:user/bob"

// TestStory takes them through a full day.
func TestStory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := story{w, w.clientOf(t, w.key), w.clientOf(t, w.second(t, bob))}
	stack, arn := s.stacks(t)
	s.users(t)
	s.permissions(t, stack)
	s.cloned(t, stack)
	s.limited(t, stack, arn)
	s.tags(t, arn)
	s.instances(t, stack)
	for _, user := range []string{alice, bob} {
		call(t, s.client.DeleteUserProfile, opsworks.DeleteUserProfileInput{IamUserArn: &user})
	}
	call(t, s.client.DeleteStack, opsworks.DeleteStackInput{StackId: &stack})
	if left := call(t, s.client.DescribeStacks, opsworks.DescribeStacksInput{}); len(left.Stacks) != 0 {
		t.Errorf("left: %v", left)
	}
}

func (w *world) clientOf(t *testing.T, key datadir.AccessKey) *opsworks.OpsWorks {
	t.Helper()
	s, err := session.NewSession(&aws.Config{
		Endpoint: &w.url, Region: aws.String(region), Credentials: credentials.NewStaticCredentials(key.ID, key.Secret, ""),
	})
	if err != nil {
		t.Fatal(err)
	}
	return opsworks.New(s)
}

func (s story) stacks(t *testing.T) (id, arn string) {
	made := call(t, s.client.CreateStack, opsworks.CreateStackInput{
		Name: aws.String("web"), Region: aws.String(region), ServiceRoleArn: aws.String("arn:aws:iam::000000000000:role/r"),
		DefaultInstanceProfileArn: aws.String("arn:aws:iam::000000000000:instance-profile/p"), Attributes: aws.StringMap(map[string]string{"Color": "red"}),
	})
	call(t, s.client.UpdateStack, opsworks.UpdateStackInput{StackId: made.StackId, Name: aws.String("www")})
	all := call(t, s.client.DescribeStacks, opsworks.DescribeStacksInput{})
	if len(all.Stacks) != 1 {
		t.Fatalf("%v", all)
	}
	shown := all.Stacks[0]
	if *shown.Name != "www" || *shown.Attributes["Color"] != "red" || *shown.CreatedAt == "" {
		t.Errorf("%v", shown)
	}
	refused[*opsworks.ValidationException](t, "Stack Id",
		s.client.DescribeStacks, opsworks.DescribeStacksInput{StackIds: []*string{aws.String("not an id")}})
	return *made.StackId, *shown.Arn
}

func (s story) users(t *testing.T) {
	call(t, s.client.CreateUserProfile, opsworks.CreateUserProfileInput{
		IamUserArn: aws.String(alice), SshUsername: aws.String("Al.Ice"), SshPublicKey: aws.String(key),
	})
	call(t, s.client.UpdateUserProfile, opsworks.UpdateUserProfileInput{IamUserArn: aws.String(alice), AllowSelfManagement: aws.Bool(true)})
	got := call(t, s.client.DescribeUserProfiles, opsworks.DescribeUserProfilesInput{IamUserArns: []*string{aws.String(alice)}})
	if p := got.UserProfiles[0]; *p.SshUsername != "alice" || *p.SshPublicKey != key || !*p.AllowSelfManagement {
		t.Errorf("%v", p)
	}
	call(t, s.client.UpdateUserProfile, opsworks.UpdateUserProfileInput{IamUserArn: aws.String(alice), SshPublicKey: aws.String("")})
	call(t, s.client.UpdateMyUserProfile, opsworks.UpdateMyUserProfileInput{SshPublicKey: aws.String(key)})
	own := call(t, s.client.DescribeMyUserProfile, opsworks.DescribeMyUserProfileInput{})
	if *own.UserProfile.IamUserArn != s.admin.ARN.String() || *own.UserProfile.SshPublicKey != key {
		t.Errorf("%v", own)
	}
	refused[*opsworks.ValidationException](t, "Cannot delete self",
		s.client.DeleteUserProfile, opsworks.DeleteUserProfileInput{IamUserArn: aws.String(s.admin.ARN.String())})
	refused[*opsworks.ResourceNotFoundException](t, "Unable to find user with ARN "+alice+"2",
		s.client.DeleteUserProfile, opsworks.DeleteUserProfileInput{IamUserArn: aws.String(alice + "2")})
}

// permissionsOf shows what DescribePermissions lists, sorted.
func (s story) permissionsOf(t *testing.T, of opsworks.DescribePermissionsInput) (all []string) {
	t.Helper()
	for _, p := range call(t, s.client.DescribePermissions, of).Permissions {
		name := strings.TrimPrefix(*p.IamUserArn, "arn:aws:iam::000000000000:user/")
		all = append(all, fmt.Sprintf("%s %s %t %t", name, *p.Level, *p.AllowSsh, *p.AllowSudo))
	}
	slices.Sort(all)
	return all
}

func (s story) permissions(t *testing.T, stack string) {
	for _, set := range []opsworks.SetPermissionInput{
		{Level: aws.String("deploy"), AllowSsh: aws.Bool(true)}, {AllowSudo: aws.Bool(true)}, {Level: aws.String("show")},
	} {
		set.StackId, set.IamUserArn = &stack, aws.String(alice)
		call(t, s.client.SetPermission, set)
	}
	for _, tt := range []struct {
		of   opsworks.DescribePermissionsInput
		want []string
	}{
		{opsworks.DescribePermissionsInput{StackId: &stack, IamUserArn: aws.String(alice)}, []string{"alice show true true"}},
		{opsworks.DescribePermissionsInput{IamUserArn: aws.String(alice)}, []string{"alice show true true"}},
		{opsworks.DescribePermissionsInput{StackId: &stack}, []string{"admin iam_only false false", "alice show true true", "bob iam_only false false"}},
	} {
		if got := s.permissionsOf(t, tt.of); !slices.Equal(got, tt.want) {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
	own := opsworks.SetPermissionInput{StackId: &stack, IamUserArn: aws.String(s.admin.ARN.String()), AllowSsh: aws.Bool(true)}
	call(t, s.client.SetPermission, own)
	own.Level = aws.String("manage")
	refused[*opsworks.ValidationException](t, "Unable to change own permission level. Only AllowSsh and AllowSudo allowed.", s.client.SetPermission, own)
}

// cloned: a clone has the permissions of its source.
func (s story) cloned(t *testing.T, stack string) {
	made := call(t, s.client.CloneStack, opsworks.CloneStackInput{
		SourceStackId: &stack, ServiceRoleArn: aws.String("arn:aws:iam::000000000000:role/r"), Name: aws.String("copy"), ClonePermissions: aws.Bool(true),
	})
	got := s.permissionsOf(t, opsworks.DescribePermissionsInput{StackId: made.StackId, IamUserArn: aws.String(alice)})
	if want := []string{"alice show true true"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	call(t, s.client.DeleteStack, opsworks.DeleteStackInput{StackId: made.StackId})
	refused[*opsworks.ResourceNotFoundException](t, "Unable to find stack with ID "+*made.StackId,
		s.client.DescribeStacks, opsworks.DescribeStacksInput{StackIds: []*string{made.StackId}})
}

// limited: bob sees what he may, and a stranger nothing.
func (s story) limited(t *testing.T, stack, arn string) {
	seen := func() int { return len(call(t, s.bobs.DescribeStacks, opsworks.DescribeStacksInput{}).Stacks) }
	before := seen()
	call(t, s.client.SetPermission, opsworks.SetPermissionInput{StackId: &stack, IamUserArn: aws.String(bob), Level: aws.String("show")})
	if after := seen(); before != 0 || after != 1 {
		t.Errorf("bob sees %d stacks, and once he may see one %d", before, after)
	}
	refused[awserr.RequestFailure](t, "AccessDeniedException: User: "+bob+" is not authorized to perform: opsworks:DeleteStack on resource: "+arn,
		s.bobs.DeleteStack, opsworks.DeleteStackInput{StackId: &stack})
	stranger := s.clientOf(t, datadir.AccessKey{ID: "LKIANOBODY", Secret: "wrong"})
	refused[awserr.RequestFailure](t, "UnrecognizedClientException: the access key", stranger.DescribeStacks, opsworks.DescribeStacksInput{})
}

func (s story) tags(t *testing.T, arn string) {
	call(t, s.client.TagResource, opsworks.TagResourceInput{ResourceArn: &arn, Tags: aws.StringMap(map[string]string{"a": "1", "b": "2", "c": "3"})})
	page := call(t, s.client.ListTags, opsworks.ListTagsInput{ResourceArn: &arn, MaxResults: aws.Int64(2)})
	rest := call(t, s.client.ListTags, opsworks.ListTagsInput{ResourceArn: &arn, NextToken: page.NextToken})
	if len(page.Tags) != 2 || len(rest.Tags) != 1 || aws.StringValue(rest.Tags["c"]) != "3" || rest.NextToken != nil {
		t.Errorf("%v, %v", page, rest)
	}
	call(t, s.client.UntagResource, opsworks.UntagResourceInput{ResourceArn: &arn, TagKeys: aws.StringSlice([]string{"a", "b"})})
	if left := call(t, s.client.ListTags, opsworks.ListTagsInput{ResourceArn: &arn}); len(left.Tags) != 1 {
		t.Errorf("%v", left)
	}
}

func (s story) instances(t *testing.T, stack string) {
	instance := s.instance(t, stack)
	if err := s.client.WaitUntilInstanceOnline(&opsworks.DescribeInstancesInput{StackId: &stack}); err != nil {
		t.Error(err)
	}
	call(t, s.client.UpdateInstance, opsworks.UpdateInstanceInput{InstanceId: &instance, Hostname: aws.String("front")})
	all := call(t, s.client.DescribeInstances, opsworks.DescribeInstancesInput{StackId: &stack})
	if len(all.Instances) != 1 || *all.Instances[0].Hostname != "front" {
		t.Errorf("%v", all)
	}
	summary := call(t, s.client.DescribeStackSummary, opsworks.DescribeStackSummaryInput{StackId: &stack})
	if *summary.StackSummary.InstancesCount.Online != 1 {
		t.Errorf("%v", summary)
	}
	commands := call(t, s.client.DescribeCommands, opsworks.DescribeCommandsInput{InstanceId: &instance})
	if len(commands.Commands) == 0 || *commands.Commands[0].Type != "sync_remote_users" || *commands.Commands[0].Status != "pending" {
		t.Errorf("%v", commands)
	}
	faults := call(t, s.client.DescribeServiceErrors, opsworks.DescribeServiceErrorsInput{InstanceId: &instance})
	if len(faults.ServiceErrors) != 1 || !strings.Contains(*faults.ServiceErrors[0].Message, "disk is full") {
		t.Errorf("%v", faults)
	}
	versions := call(t, s.client.DescribeAgentVersions, opsworks.DescribeAgentVersionsInput{StackId: &stack})
	systems := call(t, s.client.DescribeOperatingSystems, opsworks.DescribeOperatingSystemsInput{})
	parameters := call(t, s.client.DescribeStackProvisioningParameters, opsworks.DescribeStackProvisioningParametersInput{StackId: &stack})
	if len(versions.AgentVersions) == 0 || len(systems.OperatingSystems) == 0 || len(parameters.Parameters) == 0 {
		t.Errorf("%v, %v, %v", versions, systems, parameters)
	}
	refused[*opsworks.ValidationException](t, "joins by its own agent", s.client.RegisterInstance, opsworks.RegisterInstanceInput{StackId: &stack})
	refused[*opsworks.ValidationException](t, "StartStack is known but not served", s.client.StartStack, opsworks.StartStackInput{StackId: &stack})
	refused[awserr.RequestFailure](t, "AccessDeniedException: ", s.client.GrantAccess, opsworks.GrantAccessInput{InstanceId: &instance})
	refused[*opsworks.ValidationException](t, "stack still holds instances", s.client.DeleteStack, opsworks.DeleteStackInput{StackId: &stack})
	call(t, s.client.DeregisterInstance, opsworks.DeregisterInstanceInput{InstanceId: &instance})
	if err := s.client.WaitUntilInstanceTerminated(&opsworks.DescribeInstancesInput{InstanceIds: []*string{&instance}}); err != nil {
		t.Error(err)
	}
}

// call returns what a call answers, or ends the test.
func call[In, Out any](t *testing.T, action func(*In) (*Out, error), in In) *Out {
	t.Helper()
	out, err := action(&in)
	if err != nil {
		t.Fatalf("%T: %v", in, err)
	}
	return out
}

// refused wants a call to be refused with an error of the client's own type, whose
// text, code and message, has a part.
func refused[E error, In, Out any](t *testing.T, text string, action func(*In) (*Out, error), in In) {
	t.Helper()
	_, err := action(&in)
	var typed E
	if !errors.As(err, &typed) || !strings.Contains(err.Error(), text) {
		t.Errorf("%T: %v, want %s", in, err, text)
	}
}
