package api

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"latchkey/authz"
	"latchkey/authz/wire"
	"latchkey/controlplane"
	"latchkey/controlplane/datadir"
)

// The stock clients, at the paths of Debian's packages awscli and python3-boto3:
// newer ones elsewhere on a machine may have dropped OpsWorks.
const (
	awsProgram    = "/usr/bin/aws"
	pythonProgram = "/usr/bin/python3"
)

// need skips a test whose program is missing, or fails it where nothing may be
// skipped.
func need(t *testing.T, program string, args ...string) {
	t.Helper()
	if err := exec.Command(program, args...).Run(); err != nil {
		if os.Getenv("LATCHKEY_NO_SKIP") != "" {
			t.Fatalf("%s %s: %v", program, strings.Join(args, " "), err)
		}
		t.Skipf("%s %s: %v", program, strings.Join(args, " "), err)
	}
}

// environment is what the documentation tells people to set, and nothing of the
// machine's own.
func (s *server) environment(t *testing.T) []string {
	home := t.TempDir()
	return []string{
		"HOME=" + home, "PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "AWS_PAGER=", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_SHARED_CREDENTIALS_FILE=" + s.dir.AdminCredentialsPath(), "AWS_CA_BUNDLE=" + s.dir.CAPath(),
		"AWS_DEFAULT_REGION=us-east-1", "AWS_CONFIG_FILE=" + filepath.Join(home, "none"),
	}
}

// opsworks runs the AWS command line and returns its output and its error text.
func (s *server) opsworks(t *testing.T, args ...string) (out, errs string) {
	t.Helper()
	return s.opsworksAs(t, s.key, args...)
}

func (s *server) opsworksAs(t *testing.T, key datadir.AccessKey, args ...string) (out, errs string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), awsProgram, append([]string{"opsworks", "--endpoint-url", s.url}, args...)...)
	cmd.Env = s.environment(t)
	if key != s.key {
		cmd.Env = append(cmd.Env, "AWS_ACCESS_KEY_ID="+key.ID, "AWS_SECRET_ACCESS_KEY="+key.Secret)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if (err != nil) != (stderr.Len() > 0) {
		t.Fatalf("aws %s: %v, %s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(text)), strings.TrimSpace(stderr.String())
}

// TestStockCommandLine is the AWS command line, unmodified, through a full day.
func TestStockCommandLine(t *testing.T) {
	t.Parallel()
	need(t, awsProgram, "--version")
	s := newTestServer(t)
	const user = "arn:aws:iam::000000000000:user/"
	machines := s.stack(t)
	bob := s.second(t, user+"bob")
	s.limited(t, machines, user+"bob")
	words := map[string]string{
		"ADMIN": user + "admin", "ALICE": user + "alice", "BOB": user + "bob", "MACHINES": machines, "INSTANCE": s.machine(t, machines),
		"ROLE": "arn:aws:iam::000000000000:role/r", "PROFILE": "arn:aws:iam::000000000000:instance-profile/p",
		"KEY": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAII9wK85aDQCFcuZAWPE9sdc+VCp6TUiu8hyF/ekec7E/",
	}
	for _, step := range commandLineStory() {
		args := strings.Fields(step.command)
		for i, a := range args {
			args[i] = expand(words, a)
		}
		out, errs := s.opsworksAs(t, map[string]datadir.AccessKey{"admin": s.key, "bob": bob}[step.by], args...)
		want := expand(words, step.want)
		word, named := strings.CutPrefix(want, "= ")
		reason, refused := strings.CutPrefix(want, "refused: ")
		switch {
		case named && (errs != "" || len(out) < 2):
			t.Fatalf("%s: %s, %s", step.command, out, errs)
		case named:
			words[word] = strings.Trim(out, `"`)
		case refused && (out != "" || !strings.Contains(errs, reason)), !refused && (errs != "" || compact(t, out) != want):
			t.Errorf("%s: %s, %s\nwant %s", step.command, out, errs, want)
		}
	}
}

// expand replaces every $WORD.
func expand(words map[string]string, text string) string {
	return os.Expand(text, func(word string) string { return words[word] })
}

// step is a command of the administrator or of bob, and what comes of it: output,
// without white space; "refused: " and a part of the error; or "= " and the word
// that stands for the output from then on.
type step struct{ by, command, want string }

func commandLineStory() []step {
	return []step{
		{"admin", "create-stack --name web --stack-region us-east-1 --service-role-arn $ROLE --default-instance-profile-arn $PROFILE" +
			" --attributes Color=red --query StackId", "= STACK"},
		{"admin", "update-stack --stack-id $STACK --name www --default-os Debian12", ``},
		{"admin", "describe-stacks --stack-ids $STACK --query Stacks[0].Arn", "= ARN"},
		{"admin", "create-user-profile --iam-user-arn $ALICE --ssh-username Al.Ice --ssh-public-key $KEY", `{"IamUserArn":"$ALICE"}`},
		{"admin", "update-user-profile --iam-user-arn $ALICE --allow-self-management", ``},
		{"admin", "describe-user-profiles --iam-user-arns $ALICE", `{"UserProfiles":[{"IamUserArn":"$ALICE","Name":"alice",` +
			`"SshUsername":"alice","SshPublicKey":"$KEY","AllowSelfManagement":true}]}`},
		{"admin", "describe-my-user-profile", `{"UserProfile":{"IamUserArn":"$ADMIN","Name":"admin"}}`},
		{"admin", "delete-user-profile --iam-user-arn $ADMIN",
			`refused: (ValidationException) when calling the DeleteUserProfile operation: Cannot delete self`},

		{"admin", "set-permission --stack-id $STACK --iam-user-arn $ALICE --allow-ssh --no-allow-sudo --level deploy", ``},
		{"admin", "set-permission --stack-id $STACK --iam-user-arn $ALICE --level show", ``},
		{"admin", "describe-permissions --stack-id $STACK --iam-user-arn $ALICE",
			`{"Permissions":[{"StackId":"$STACK","IamUserArn":"$ALICE","AllowSsh":true,"AllowSudo":false,"Level":"show"}]}`},
		{"admin", "clone-stack --source-stack-id $STACK --service-role-arn $ROLE --name copy --clone-permissions --query StackId", "= COPY"},
		{"admin", "describe-permissions --iam-user-arn $ALICE --query sort(Permissions[].Level)", `["iam_only","show","show"]`},
		{"admin", "set-permission --stack-id $STACK --iam-user-arn $ADMIN --level manage", `refused: (ValidationException) when calling the ` +
			`SetPermission operation: Unable to change own permission level. Only AllowSsh and AllowSudo allowed.`},
		{"admin", "set-permission --stack-id $STACK --iam-user-arn ${ALICE}2 --allow-ssh", `refused: (ResourceNotFoundException) when ` +
			`calling the SetPermission operation: Unable to find user with ARN ${ALICE}2`},
		// What our own members say stays, and is passed over.
		{"admin", "set-permission --stack-id $MACHINES --iam-user-arn $BOB --allow-sudo", ``},
		{"admin", "describe-permissions --stack-id $MACHINES --iam-user-arn $BOB",
			`{"Permissions":[{"StackId":"$MACHINES","IamUserArn":"$BOB","AllowSsh":false,"AllowSudo":true,"Level":"iam_only"}]}`},
		{"bob", "describe-stacks", `{"Stacks":[]}`},
		{"bob", "describe-permissions --stack-id $STACK", `refused: (AccessDeniedException) when calling the DescribePermissions operation: ` +
			`User: $BOB is not authorized to perform: opsworks:DescribePermissions on resource: $ARN`},

		{"admin", "tag-resource --resource-arn $ARN --tags a=1,b=2", ``},
		{"admin", "list-tags --resource-arn $ARN --max-results 1 --query NextToken", "= NEXT"},
		{"admin", "list-tags --resource-arn $ARN --next-token $NEXT", `{"Tags":{"b":"2"}}`},
		{"admin", "untag-resource --resource-arn $ARN --tag-keys a b", ``},

		{"admin", "wait instance-online --stack-id $MACHINES", ``},
		{"admin", "describe-instances --stack-id $MACHINES --query Instances[].[InstanceId,Hostname,Status]", `[["$INSTANCE","web-1","online"]]`},
		{"admin", "describe-commands --instance-id $INSTANCE --query Commands[?Type==\x60grant_remote_access\x60].Status", `["failed"]`},
		{"admin", "describe-service-errors --instance-id $INSTANCE --query ServiceErrors[].Message",
			`["create account bob (uid 20000): disk is full"]`},
		{"admin", "describe-agent-versions --stack-id $MACHINES --query AgentVersions[].Version", `["1.0"]`},
		{"admin", "describe-operating-systems --query OperatingSystems[].Type|contains(@,\x60Linux\x60)", `true`},
		{"admin", "describe-stack-summary --stack-id $MACHINES --query StackSummary.InstancesCount", `{"Online":1}`},

		{"admin", "deregister-instance --instance-id $INSTANCE", ``},
		{"admin", "delete-stack --stack-id $COPY", ``},
		{"admin", "describe-stacks --stack-ids $COPY",
			`refused: (ResourceNotFoundException) when calling the DescribeStacks operation: Unable to find stack with ID $COPY`},
		{"admin", "delete-user-profile --iam-user-arn $ALICE", ``},
		{"admin", "start-stack --stack-id $STACK",
			`refused: (ValidationException) when calling the StartStack operation: StartStack is known but not served`},
	}
}

// compact takes the white space out of JSON; no output stays no output.
func compact(t *testing.T, text string) string {
	t.Helper()
	if text == "" {
		return ""
	}
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(text)); err != nil {
		t.Fatalf("output is not JSON: %s", text)
	}
	return b.String()
}

// TestStockLibrary is boto3, unmodified, through a full day.
func TestStockLibrary(t *testing.T) {
	t.Parallel()
	need(t, pythonProgram, "-c", "import boto3")
	s := newTestServer(t)
	stack := s.stack(t)
	bob := s.second(t, "arn:aws:iam::000000000000:user/bob")
	cmd := exec.CommandContext(t.Context(), pythonProgram, "testdata/story.py", s.url, stack, s.machine(t, stack), bob.ID, bob.Secret)
	cmd.Env = s.environment(t)
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "done\n" {
		t.Errorf("%v: %s", err, out)
	}
}

// machine lets a machine join a stack and report that something went wrong.
func (s *server) machine(t *testing.T, stack string) string {
	t.Helper()
	instance, e := enrolled(t, s.cp, s.admin(t), stack)
	id, err := authz.ParseInstanceID(instance)
	if err != nil {
		t.Fatal(err)
	}
	err = s.cp.Report(t.Context(), id, wire.Report{
		Epoch: 1, Serial: 1, Facts: e.Facts, Steps: []wire.Result{{What: "create account bob (uid 20000)", Error: "disk is full"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return instance
}

// limited gives a permission what only our own members of it can say, and looks at the
// end whether a stock client left that alone.
func (s *server) limited(t *testing.T, stack, user string) {
	t.Helper()
	commands, restricted := []string{"/usr/bin/id"}, true
	if _, err := s.cp.SetPermission(t.Context(), s.admin(t), controlplane.SetPermissionRequest{StackId: stack, IamUserArn: user, SudoCommands: &commands, Restricted: &restricted}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		got, err := s.cp.DescribePermissions(context.Background(), s.admin(t), controlplane.DescribePermissionsRequest{StackId: stack, IamUserArn: user})
		if err != nil || !got.Permissions[0].AllowSudo || !got.Permissions[0].Restricted || !slices.Equal(got.Permissions[0].SudoCommands, commands) {
			t.Errorf("the limit is now %+v, %v", got, err)
		}
	})
}

// second makes a user who may do nothing, with an access key.
func (s *server) second(t *testing.T, arn string) datadir.AccessKey {
	t.Helper()
	if _, err := s.cp.CreateUserProfile(t.Context(), s.admin(t), controlplane.CreateUserProfileRequest{IamUserArn: arn}); err != nil {
		t.Fatal(err)
	}
	made, err := s.cp.CreateAccessKey(t.Context(), s.admin(t), controlplane.CreateAccessKeyRequest{IamUserArn: arn})
	if err != nil {
		t.Fatal(err)
	}
	return datadir.AccessKey{ID: made.AccessKeyId, Secret: made.SecretAccessKey}
}
