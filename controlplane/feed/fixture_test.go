package feed

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/authz"
	"latchkey/authz/wire"
	"latchkey/controlplane"
	"latchkey/controlplane/datadir"
	"latchkey/controlplane/store"
)

// fixture is a feed over a real store, behind a real server with time limits far
// shorter than the waits, so that a wait that does not extend them fails.
type fixture struct {
	url    string
	client *http.Client
	cp     *controlplane.ControlPlane
	admin  controlplane.Caller
	stop   chan struct{}
	log    *lockedBuffer
	// arrived and ended get a value for each bundle request, as it comes in and
	// when it was handled.
	arrived, ended chan struct{}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newFixture(t *testing.T) *fixture { return newFixtureOver(t, false, time.Minute) }

// newFixtureOver speaks HTTP/2 if asked, otherwise HTTP/1.1, with the server's own
// limit on reading and on writing.
func newFixtureOver(t *testing.T, http2 bool, limit time.Duration) *fixture {
	t.Helper()
	dir, _, err := datadir.Open(filepath.Join(t.TempDir(), "data"), datadir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), dir.DatabasePath())
	if err != nil {
		t.Fatal(err)
	}
	cp, err := controlplane.New(t.Context(), controlplane.Config{
		Store: st, Signer: dir.Signer(), VerifierKeys: dir.VerifierKeys(), Pin: dir.Pin(),
		Account: "000000000000", Region: "us-east-1", Secrets: dir.Sealer(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cp.FirstRun(t.Context(), dir.AdminKey); err != nil {
		t.Fatal(err)
	}
	arn, err := authz.ParseARN("arn:aws:iam::000000000000:user/admin")
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{cp: cp, admin: controlplane.Caller{ARN: arn}, stop: make(chan struct{}), log: &lockedBuffer{},
		arrived: make(chan struct{}, 100), ended: make(chan struct{}, 100)}
	log := slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	h := New(Config{ControlPlane: cp, Log: log, Stop: f.stop})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Prefer") != "" {
			f.arrived <- struct{}{}
			defer func() { f.ended <- struct{}{} }()
		}
		h.ServeHTTP(w, r)
	}))
	server.Config.ReadTimeout, server.Config.WriteTimeout = limit, limit
	server.EnableHTTP2 = http2
	server.StartTLS()
	t.Cleanup(func() {
		server.Close()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	f.url, f.client = server.URL, server.Client()
	return f
}

// agent is one instance's side.
type agent struct {
	f   *fixture
	id  authz.InstanceID
	key ed25519.PrivateKey
}

func (f *fixture) stack(t *testing.T) string {
	t.Helper()
	resp, err := f.cp.CreateStack(t.Context(), f.admin, controlplane.CreateStackRequest{Name: "web"})
	if err != nil {
		t.Fatal(err)
	}
	return resp.StackId
}

// token returns the secret of a new join token.
func (f *fixture) token(t *testing.T, stack string) string {
	t.Helper()
	resp, err := f.cp.CreateJoinToken(t.Context(), f.admin, controlplane.CreateJoinTokenRequest{StackId: stack})
	if err != nil {
		t.Fatal(err)
	}
	token, err := wire.ParseJoinToken(resp.Token)
	if err != nil {
		t.Fatal(err)
	}
	return token.Secret()
}

func newKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func enrollment(t *testing.T, secret string, key ed25519.PrivateKey) string {
	t.Helper()
	e := wire.Enroll{Secret: secret, Facts: wire.Facts{Hostname: "host-1", OS: "linux"}}
	e.Sign(key)
	text, err := wire.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (f *fixture) join(t *testing.T, stack string) *agent {
	t.Helper()
	a := &agent{f: f, key: newKey(t)}
	status, answer, _ := f.send(t, "POST", "/agent/v1/enroll", enrollment(t, f.token(t, stack), a.key), nil)
	var enrolled wire.Enrolled
	if err := wire.Decode([]byte(answer), &enrolled); status != 200 || err != nil {
		t.Fatalf("enroll: %d %s, %v", status, answer, err)
	}
	var err error
	if a.id, err = authz.ParseInstanceID(enrolled.Instance); err != nil {
		t.Fatal(err)
	}
	if enrolled.Stack != stack || enrolled.StackName != "web" {
		t.Errorf("enrolled: %+v", enrolled)
	}
	return a
}

func (f *fixture) send(t *testing.T, method, target, body string, head map[string]string) (int, string, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, f.url+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range head {
		r.Header.Set(k, v)
	}
	resp, err := f.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text), resp.Header
}

// call signs and sends.
func (a *agent) call(t *testing.T, method, target, body string, head map[string]string) (int, string, http.Header) {
	t.Helper()
	all := map[string]string{"Authorization": wire.SignRequest(a.key, a.id, method, target, []byte(body), time.Now())}
	for k, v := range head {
		all[k] = v
	}
	return a.f.send(t, method, target, body, all)
}

func (f *fixture) grant(t *testing.T, stack string, ssh bool) {
	t.Helper()
	_, err := f.cp.SetPermission(t.Context(), f.admin, controlplane.SetPermissionRequest{
		StackId: stack, IamUserArn: "arn:aws:iam::000000000000:user/alice", AllowSsh: &ssh,
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) alice(t *testing.T) {
	t.Helper()
	_, err := f.cp.CreateUserProfile(t.Context(), f.admin, controlplane.CreateUserProfileRequest{IamUserArn: "arn:aws:iam::000000000000:user/alice"})
	if err != nil {
		t.Fatal(err)
	}
}
