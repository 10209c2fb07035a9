package api

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
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
	cmd := exec.CommandContext(t.Context(), awsProgram, append([]string{"opsworks", "--endpoint-url", s.url}, args...)...)
	cmd.Env = s.environment(t)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if (err != nil) != (stderr.Len() > 0) {
		t.Fatalf("aws %s: %v, %s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(text)), strings.TrimSpace(stderr.String())
}

// TestStockCommandLine is the AWS command line, unmodified, through a user's life.
func TestStockCommandLine(t *testing.T) {
	t.Parallel()
	need(t, awsProgram, "--version")
	s := newTestServer(t)
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAII9wK85aDQCFcuZAWPE9sdc+VCp6TUiu8hyF/ekec7E/ alice@laptop"
	const alice = "arn:aws:iam::000000000000:user/alice"
	out, errs := s.opsworks(t, "create-stack", "--name", "web", "--stack-region", "us-east-1", "--query", "StackId", "--output", "text",
		"--service-role-arn", "arn:aws:iam::000000000000:role/r", "--default-instance-profile-arn", "arn:aws:iam::000000000000:instance-profile/p")
	if errs != "" || len(out) != 36 {
		t.Fatalf("create-stack: %q, %s", out, errs)
	}
	stack := out
	for _, step := range []struct {
		args []string
		want string // output, without white space
	}{
		{[]string{"create-user-profile", "--iam-user-arn", alice, "--ssh-public-key", key}, `{"IamUserArn":"` + alice + `"}`},
		{[]string{"set-permission", "--stack-id", stack, "--iam-user-arn", alice, "--allow-ssh", "--no-allow-sudo", "--level", "show"}, ``},
		{[]string{"describe-permissions", "--stack-id", stack, "--iam-user-arn", alice},
			`{"Permissions":[{"StackId":"` + stack + `","IamUserArn":"` + alice + `","AllowSsh":true,"AllowSudo":false,"Level":"show"}]}`},
		{[]string{"describe-instances", "--stack-id", stack}, `{"Instances":[]}`},
		{[]string{"delete-user-profile", "--iam-user-arn", alice}, ``},
		{[]string{"delete-stack", "--stack-id", stack}, ``},
		{[]string{"describe-stacks"}, `{"Stacks":[]}`},
	} {
		out, errs := s.opsworks(t, step.args...)
		if compact(t, out) != step.want || errs != "" {
			t.Errorf("%s: %s, %s\nwant %s", step.args[0], out, errs, step.want)
		}
	}
	if _, errs := s.opsworks(t, "delete-stack", "--stack-id", stack); !strings.Contains(errs, "(ResourceNotFoundException) when calling the DeleteStack operation: Unable to find stack") {
		t.Errorf("delete-stack again: %s", errs)
	}
	if _, errs := s.opsworks(t, "start-stack", "--stack-id", stack); !strings.Contains(errs, "(ValidationException) when calling the StartStack operation: StartStack is known but not served") {
		t.Errorf("start-stack: %s", errs)
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

// boto is a program of the other stock client. It sets A, B and A again as fast
// as it can, which within one second repeats a signature (botocore does not sign
// its invocation id); what it reads back has to be what it set last. It also shows
// that modelled errors arrive as their own classes.
const boto = `
import boto3, sys
c = boto3.client('opsworks', endpoint_url=sys.argv[1])
arn = 'arn:aws:iam::000000000000:user/bob'
stack = c.create_stack(Name='s', Region='us-east-1', ServiceRoleArn='arn:aws:iam::000000000000:role/r',
    DefaultInstanceProfileArn='arn:aws:iam::000000000000:instance-profile/p')['StackId']
assert c.create_user_profile(IamUserArn=arn)['IamUserArn'] == arn
for level in 'show', 'deny', 'show', 'manage':
    c.set_permission(StackId=stack, IamUserArn=arn, Level=level)
    got = c.describe_permissions(StackId=stack, IamUserArn=arn)['Permissions'][0]
    assert got['Level'] == level, (got, level)
assert [s['StackId'] for s in c.describe_stacks()['Stacks']] == [stack]
try:
    c.describe_stacks(StackIds=['not an id'])
    raise SystemExit('accepted')
except c.exceptions.ValidationException as e:
    assert e.response['ResponseMetadata']['HTTPStatusCode'] == 400
    assert e.response['ResponseMetadata']['RequestId']
try:
    c.delete_user_profile(IamUserArn=arn + '2')
    raise SystemExit('accepted')
except c.exceptions.ResourceNotFoundException:
    pass
bad = boto3.client('opsworks', endpoint_url=sys.argv[1], aws_secret_access_key='wrong', aws_access_key_id='LKIANOBODY')
try:
    bad.describe_stacks()
    raise SystemExit('accepted')
except Exception as e:
    assert e.response['Error']['Code'] == 'UnrecognizedClientException', e
print('done')
`

func TestStockLibrary(t *testing.T) {
	t.Parallel()
	need(t, pythonProgram, "-c", "import boto3")
	s := newTestServer(t)
	cmd := exec.CommandContext(t.Context(), pythonProgram, "-c", boto, s.url)
	cmd.Env = s.environment(t)
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "done\n" {
		t.Errorf("%v: %s", err, out)
	}
}
