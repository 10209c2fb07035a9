package apimodel

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"latchkey/controlplane"
	"latchkey/controlplane/datadir"
)

// packages returns the folder into which the npm packages of the story are installed.
func packages(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "sh", "../../packaging/npm.sh", "testdata/story").Output()
	if err == nil {
		return strings.TrimSpace(string(out))
	}
	reason := err.Error()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		reason = strings.TrimSpace(string(exit.Stderr))
	}
	if os.Getenv("LATCHKEY_NO_SKIP") != "" {
		t.Fatal(reason)
	}
	t.Skip(reason)
	return ""
}

// TestStory_JavaScript is AWS's own client for JavaScript, unmodified, through a full
// day.
func TestStory_JavaScript(t *testing.T) {
	t.Parallel()
	folder := packages(t)
	w := newWorld(t)
	made, err := w.cp.CreateStack(t.Context(), w.admin, controlplane.CreateStackRequest{Name: "machines"})
	if err != nil {
		t.Fatal(err)
	}
	given, err := json.Marshal(map[string]any{
		"folder": folder, "url": w.url, "machines": made.StackId, "instance": w.instance(t, made.StackId),
		"keys": map[string]datadir.AccessKey{"admin": w.key, "bob": w.second(t, bob)},
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "testdata/story/story.cjs")
	cmd.Stdin = bytes.NewReader(given)
	cmd.Env = append(os.Environ(), "NODE_NO_WARNINGS=1", "AWS_PROFILE=", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null")
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "done\n" {
		t.Errorf("%v: %s", err, out)
	}
}
