package apimodel

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws/credentials"
	v4 "github.com/aws/aws-sdk-go/aws/signer/v4"

	"latchkey/authz"
	"latchkey/authz/wire"
	"latchkey/controlplane"
	"latchkey/controlplane/api"
	"latchkey/controlplane/datadir"
	"latchkey/controlplane/store"
)

const region = "us-east-1"

// world is a control plane on a real store, behind its real API.
type world struct {
	model model
	url   string
	cp    *controlplane.ControlPlane
	admin controlplane.Caller
	key   datadir.AccessKey
	done  map[string]bool // actions that answered as the model says
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir, _, err := datadir.Open(filepath.Join(t.TempDir(), "data"), datadir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), dir.DatabasePath())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	w := &world{model: readModel(t), done: map[string]bool{}}
	w.cp, err = controlplane.New(t.Context(), controlplane.Config{
		Store: st, Signer: dir.Signer(), VerifierKeys: dir.VerifierKeys(), Pin: dir.Pin(),
		Account: "000000000000", Region: region, Secrets: dir.Sealer(), AgentVersion: "1.0",
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.cp.FirstRun(t.Context(), dir.AdminKey); err != nil {
		t.Fatal(err)
	}
	if w.key, err = dir.AdminKey(); err != nil {
		t.Fatal(err)
	}
	found, err := w.cp.Credential(t.Context(), w.key.ID)
	if err != nil {
		t.Fatal(err)
	}
	w.admin = found.Caller
	served := api.New(api.Config{ControlPlane: w.cp, Region: region, Log: slog.New(slog.DiscardHandler)})
	server := httptest.NewServer(documented{t, openAPI(t), served})
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

// instance lets a machine join a stack and report that something went wrong.
func (w *world) instance(t *testing.T, stack string) string {
	t.Helper()
	made, err := w.cp.CreateJoinToken(t.Context(), w.admin, controlplane.CreateJoinTokenRequest{StackId: stack})
	if err != nil {
		t.Fatal(err)
	}
	token, err := wire.ParseJoinToken(made.Token)
	if err != nil {
		t.Fatal(err)
	}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	facts := wire.Facts{Hostname: "web-1", OS: "linux", Platform: "debian 12", Architecture: "amd64", Agent: "1.0", Address: "192.0.2.9"}
	e := wire.Enroll{Secret: token.Secret(), Facts: facts}
	e.Sign(key)
	joined, err := w.cp.Enroll(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	id, err := authz.ParseInstanceID(joined.Instance)
	if err != nil {
		t.Fatal(err)
	}
	err = w.cp.Report(t.Context(), id, wire.Report{
		Epoch: 1, Serial: 1, Facts: facts, Steps: []wire.Result{{What: "create account bob (uid 20000)", Error: "disk is full"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return joined.Instance
}

// second makes a user who may do nothing, with an access key.
func (w *world) second(t *testing.T, arn string) datadir.AccessKey {
	t.Helper()
	if _, err := w.cp.CreateUserProfile(t.Context(), w.admin, controlplane.CreateUserProfileRequest{IamUserArn: arn}); err != nil {
		t.Fatal(err)
	}
	made, err := w.cp.CreateAccessKey(t.Context(), w.admin, controlplane.CreateAccessKeyRequest{IamUserArn: arn})
	if err != nil {
		t.Fatal(err)
	}
	return datadir.AccessKey{ID: made.AccessKeyId, Secret: made.SecretAccessKey}
}

// members are those of a request, by name.
type members map[string]any

// send sends a request as a stock client does, and returns what came back.
func (w *world) send(t *testing.T, action string, request any) (status int, body []byte) {
	t.Helper()
	text, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+"/", bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "OpsWorks_20130218."+action)
	r.Header.Set("Amz-Sdk-Invocation-Id", rand.Text()) // tells two calls of one second apart
	signer := v4.NewSigner(credentials.NewStaticCredentials(w.key.ID, w.key.Secret, ""))
	if _, err := signer.Sign(r, bytes.NewReader(text), "opsworks", region, time.Now()); err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}

// lenient are the required members that may be left out here: nothing acts on them.
func lenient() []string {
	return []string{"CreateStack.Region", "CreateStack.ServiceRoleArn", "CreateStack.DefaultInstanceProfileArn", "CloneStack.ServiceRoleArn"}
}

// call sends a request that the model allows, after the same without each member
// that is required, and compares the answer with the model.
func (w *world) call(t *testing.T, action string, request members) members {
	t.Helper()
	w.omit(t, action, request)
	op := w.model.Operations[action]
	status, body := w.send(t, action, request)
	if status != http.StatusOK {
		t.Fatalf("%s: %d %s", action, status, body)
	}
	w.done[action] = true
	if op.Output == nil {
		if len(body) > 0 {
			t.Errorf("%s: has no output, and answered %s", action, body)
		}
		return nil
	}
	answer, ok := decode(t, body).(map[string]any)
	if !ok {
		t.Fatalf("%s: answered %s", action, body)
	}
	for _, fault := range w.model.check(op.Output.Shape, answer, action) {
		t.Error(fault)
	}
	return answer
}

// refused sends a request that the model allows and that is refused with one of the
// errors that it declares.
func (w *world) refused(t *testing.T, action string, request members, code string) {
	t.Helper()
	w.omit(t, action, request)
	status, body := w.send(t, action, request)
	answer, _ := decode(t, body).(map[string]any)
	if status != http.StatusBadRequest || answer["__type"] != code || answer["message"] == "" || len(answer) != 2 {
		t.Errorf("%s: %d %s, want %s", action, status, body, code)
	}
	if !slices.Contains(w.model.Operations[action].Errors, reference{code}) {
		t.Errorf("%s does not declare %s", action, code)
	}
	w.done[action] = true
}

func (w *world) omit(t *testing.T, action string, request members) {
	t.Helper()
	input := w.model.Operations[action].Input
	if input == nil {
		return
	}
	text, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range w.model.check(input.Shape, decode(t, text), action) {
		t.Error(fault)
	}
	for _, member := range w.model.Shapes[input.Shape].Required {
		if slices.Contains(lenient(), action+"."+member) {
			continue
		}
		without := maps.Clone(request)
		delete(without, member)
		if status, body := w.send(t, action, without); status != http.StatusBadRequest || !strings.Contains(string(body), `"ValidationException"`) {
			t.Errorf("%s without %s: %d %s", action, member, status, body)
		}
	}
}
