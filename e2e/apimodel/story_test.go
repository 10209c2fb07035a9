package apimodel

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/opsworks"

	"latchkey/controlplane"
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
	return controlplane.SetPermissionRequest{StackId: stack, IamUserArn: alice, ExpiresAt: &end}
}

// TestStory is AWS's own client for Go, unmodified but for the address, through a
// user's life.
func TestStory(t *testing.T) {
	w := newWorld(t)
	s, err := session.NewSession(&aws.Config{
		Endpoint: &w.url, Region: aws.String(region), Credentials: credentials.NewStaticCredentials(w.key.ID, w.key.Secret, ""),
	})
	if err != nil {
		t.Fatal(err)
	}
	client := opsworks.New(s)
	made, err := client.CreateStack(&opsworks.CreateStackInput{
		Name: aws.String("web"), Region: aws.String(region), ServiceRoleArn: aws.String("arn:aws:iam::000000000000:role/r"),
		DefaultInstanceProfileArn: aws.String("arn:aws:iam::000000000000:instance-profile/p"),
	})
	if err != nil {
		t.Fatal(err)
	}
	instance := w.instance(t, *made.StackId)
	if _, err := client.CreateUserProfile(&opsworks.CreateUserProfileInput{IamUserArn: aws.String(alice), SshPublicKey: aws.String(key)}); err != nil {
		t.Fatal(err)
	}
	_, err = client.SetPermission(&opsworks.SetPermissionInput{
		StackId: made.StackId, IamUserArn: aws.String(alice), AllowSsh: aws.Bool(true), AllowSudo: aws.Bool(false), Level: aws.String("deploy"),
	})
	if err != nil {
		t.Fatal(err)
	}
	permissions, err := client.DescribePermissions(&opsworks.DescribePermissionsInput{StackId: made.StackId, IamUserArn: aws.String(alice)})
	if err != nil || len(permissions.Permissions) != 1 {
		t.Fatalf("%v, %v", permissions, err)
	}
	if p := permissions.Permissions[0]; *p.Level != "deploy" || !*p.AllowSsh || *p.AllowSudo {
		t.Errorf("got %v", p)
	}
	if err := client.WaitUntilInstanceOnline(&opsworks.DescribeInstancesInput{StackId: made.StackId}); err != nil {
		t.Error(err)
	}
	commands, err := client.DescribeCommands(&opsworks.DescribeCommandsInput{InstanceId: &instance})
	if err != nil || len(commands.Commands) == 0 || *commands.Commands[0].Type != "sync_remote_users" || *commands.Commands[0].Status != "pending" {
		t.Errorf("%v, %v", commands, err)
	}
	stacks, err := client.DescribeStacks(&opsworks.DescribeStacksInput{})
	if err != nil || len(stacks.Stacks) != 1 {
		t.Fatalf("%v, %v", stacks, err)
	}
	if _, err := client.TagResource(&opsworks.TagResourceInput{ResourceArn: stacks.Stacks[0].Arn, Tags: aws.StringMap(map[string]string{"team": "a"})}); err != nil {
		t.Error(err)
	}
	tags, err := client.ListTags(&opsworks.ListTagsInput{ResourceArn: stacks.Stacks[0].Arn})
	if err != nil || aws.StringValue(tags.Tags["team"]) != "a" {
		t.Errorf("%v, %v", tags, err)
	}
	for code, err := range map[string]error{
		opsworks.ErrCodeResourceNotFoundException: second(client.DeleteUserProfile(&opsworks.DeleteUserProfileInput{IamUserArn: aws.String(alice + "2")})),
		opsworks.ErrCodeValidationException:       second(client.StartStack(&opsworks.StartStackInput{StackId: made.StackId})),
	} {
		var coded awserr.Error
		if !errors.As(err, &coded) || coded.Code() != code || coded.Message() == "" {
			t.Errorf("got %v, want %s", err, code)
		}
	}
	if _, err := client.DeleteUserProfile(&opsworks.DeleteUserProfileInput{IamUserArn: aws.String(alice)}); err != nil {
		t.Error(err)
	}
}

func second[T any](_ T, err error) error { return err }
