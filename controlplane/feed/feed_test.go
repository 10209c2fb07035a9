package feed

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
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

func newFixture(t *testing.T) *fixture { return newFixtureOver(t, false) }

// newFixtureOver speaks HTTP/2 if asked, otherwise HTTP/1.1.
func newFixtureOver(t *testing.T, http2 bool) *fixture {
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
	server.Config.ReadTimeout, server.Config.WriteTimeout = 300*time.Millisecond, 300*time.Millisecond
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

func TestEnroll(t *testing.T) {
	f := newFixture(t)
	stack := f.stack(t)
	key, secret := newKey(t), f.token(t, stack)
	good := enrollment(t, secret, key)
	var first string
	for _, tt := range []struct {
		name, body string
		status     int
		want       string
	}{
		{"empty", "", 401, "the request carries no join token"},
		{"not-json", "{", 400, "document is not in its canonical form"},
		{"not-canonical", " " + good, 400, "document is not in its canonical form"},
		{"unknown-field", strings.Replace(good, `{"secret"`, `{"id":"x","secret"`, 1), 400, "document is not in its canonical form"},
		{"too-large", good + strings.Repeat(" ", maxEnroll), 413, "the body is larger than its limit"},
		{"other-key-than-proved", strings.Replace(good, "host-1", "host-2", 1), 403, "enrolment is not signed by the key it brings"},
		{"unknown-token", enrollment(t, "x"+secret[1:], key), 403, "join token is not known"},
		{"truncated-token", enrollment(t, secret[1:], key), 403, "join token is not known"},
		{"good", good, 200, `"stack_name":"web"`},
		{"lost-reply", good, 200, `"stack_name":"web"`},
		{"used-by-another-key", enrollment(t, secret, newKey(t)), 403, "join token was used already"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, answer, _ := f.send(t, "POST", "/agent/v1/enroll", tt.body, nil)
			if status != tt.status || !strings.Contains(answer, tt.want) {
				t.Errorf("got %d %s, want %d %s", status, answer, tt.status, tt.want)
			}
			if status != 200 {
				return
			}
			if first == "" {
				first = answer
			}
			if answer != first {
				t.Errorf("second answer differs: %s, %s", answer, first)
			}
		})
	}
	if strings.Contains(f.log.String(), secret[1:]) {
		t.Error("the log holds the token")
	}
}

// TestNoCredentials is generated from the routes: without a sound signature every
// one of them answers 401 (requirement R73, rows P2 and P3).
func TestNoCredentials(t *testing.T) {
	f := newFixture(t)
	stack := f.stack(t)
	a, b := f.join(t, stack), f.join(t, stack)
	for _, route := range (&feed{}).routes() {
		method, target, _ := strings.Cut(route.pattern, " ")
		good := wire.SignRequest(a.key, a.id, method, target, nil, time.Now())
		rest := strings.TrimPrefix(good, wire.Scheme+" ")
		for name, header := range map[string]string{
			"none":                 "",
			"empty-scheme":         wire.Scheme,
			"lower-case-scheme":    strings.ToLower(wire.Scheme) + " " + rest,
			"basic":                "Basic YTpi",
			"malformed":            wire.Scheme + " x.y.z",
			"another-instance":     strings.Replace(good, a.id.String(), b.id.String(), 1),
			"unknown-instance":     strings.Replace(good, a.id.String(), "11111111-1111-4111-8111-111111111111", 1),
			"another-method":       wire.SignRequest(a.key, a.id, "PUT", target, nil, time.Now()),
			"another-target":       wire.SignRequest(a.key, a.id, method, target+"?x", nil, time.Now()),
			"another-body":         wire.SignRequest(a.key, a.id, method, target, []byte("x"), time.Now()),
			"another-key":          wire.SignRequest(b.key, a.id, method, target, nil, time.Now()),
			"a-day-and-a-bit-ago":  wire.SignRequest(a.key, a.id, method, target, nil, time.Now().Add(-wire.MaxSkew-time.Minute)),
			"a-day-and-a-bit-more": wire.SignRequest(a.key, a.id, method, target, nil, time.Now().Add(wire.MaxSkew+time.Minute)),
		} {
			t.Run(route.name+"-"+name, func(t *testing.T) {
				status, answer, head := f.send(t, method, target, "", map[string]string{"Authorization": header})
				if status != 401 || !strings.HasPrefix(answer, `{"__type":"UnrecognizedClientException"`) || head.Get("WWW-Authenticate") != wire.Scheme {
					t.Errorf("got %d %s %q", status, answer, head.Get("WWW-Authenticate"))
				}
			})
		}
		t.Run(route.name+"-twice", func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), method, f.url+target, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header["Authorization"] = []string{good, good}
			resp, err := f.client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != 401 {
				t.Errorf("got %s", resp.Status)
			}
		})
	}
	for _, target := range []string{"/agent/v1/bundle/" + a.id.String(), "/agent/v1/", "/agent/v1/Bundle"} {
		if status, answer, _ := a.call(t, "GET", target, "", nil); status != 404 {
			t.Errorf("%s: %d %s", target, status, answer)
		}
	}
	if status, _, _ := a.call(t, "POST", "/agent/v1/bundle", "", nil); status != 404 {
		t.Errorf("POST of the bundle: %d", status)
	}
}

// TestBundle: the tag names epoch and serial, the same serial is the same bytes,
// and who has it is told so.
func TestBundle(t *testing.T) {
	f := newFixture(t)
	stack := f.stack(t)
	a := f.join(t, stack)
	f.alice(t)
	status, first, head := a.call(t, "GET", "/agent/v1/bundle", "", nil)
	tag := head.Get("ETag")
	if status != 200 || !strings.Contains(first, `"stack":"`+stack+`"`) || tag == "" {
		t.Fatalf("got %d %s, tag %s", status, first, tag)
	}
	if _, again, _ := a.call(t, "GET", "/agent/v1/bundle", "", map[string]string{"If-None-Match": `"9.9"`}); again != first {
		t.Errorf("second: %s", again)
	}
	for _, has := range []string{tag, "W/" + tag} {
		status, body, head := a.call(t, "GET", "/agent/v1/bundle", "", map[string]string{"If-None-Match": has})
		if status != 304 || body != "" || head.Get("ETag") != tag {
			t.Errorf("%s: got %d %q, tag %s", has, status, body, head.Get("ETag"))
		}
	}
	f.grant(t, stack, true)
	if status, changed, head := a.call(t, "GET", "/agent/v1/bundle", "", map[string]string{"If-None-Match": tag}); status != 200 || changed == first || head.Get("ETag") == tag {
		t.Errorf("after a change: %d, tag %s", status, head.Get("ETag"))
	}
}

// poll is a waiting request of which the answer comes later.
func (a *agent) poll(t *testing.T, tag string, seconds int) <-chan string {
	t.Helper()
	answer := make(chan string, 1)
	head := map[string]string{"If-None-Match": tag, "Prefer": fmt.Sprintf("respond-async, wait=%d", seconds)}
	go func() {
		status, _, h := a.call(t, "GET", "/agent/v1/bundle", "", head)
		answer <- fmt.Sprint(status, " ", h.Get("ETag"))
	}()
	return answer
}

// TestWaitEnds: a wait longer than the server's own time limits ends with 304,
// not with a dropped connection.
func TestWaitEnds(t *testing.T) {
	for name, http2 := range map[string]bool{"http-1": false, "http-2": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testWaitEnds(t, newFixtureOver(t, http2))
		})
	}
}

func testWaitEnds(t *testing.T, f *fixture) {
	a := f.join(t, f.stack(t))
	_, _, head := a.call(t, "GET", "/agent/v1/bundle", "", nil)
	tag, began := head.Get("ETag"), time.Now()
	if got := <-a.poll(t, tag, 1); got != "304 "+tag {
		t.Errorf("got %s", got)
	}
	if took := time.Since(began); took < time.Second {
		t.Errorf("waited %s", took)
	}
	if !strings.Contains(f.log.String(), "level=DEBUG msg=instance request=bundle instance="+a.id.String()) {
		t.Errorf("log: %s", f.log.String())
	}
}

// TestChangeAnswersAll: every waiting instance of the stack is answered at once,
// and those of another stack go on waiting until the server stops.
func TestChangeAnswersAll(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.alice(t)
	web, db := f.stack(t), f.stack(t)
	var waiting []<-chan string
	for range 5 {
		a := f.join(t, web)
		_, _, head := a.call(t, "GET", "/agent/v1/bundle", "", nil)
		waiting = append(waiting, a.poll(t, head.Get("ETag"), 55))
	}
	other := f.join(t, db)
	_, _, head := other.call(t, "GET", "/agent/v1/bundle", "", nil)
	still := other.poll(t, head.Get("ETag"), 55)
	// Whether each waits already or is about to does not matter: the change is
	// found either way.
	for range len(waiting) + 1 {
		<-f.arrived
	}
	f.grant(t, web, true)
	for _, w := range waiting {
		if got := <-w; !strings.HasPrefix(got, "200 ") {
			t.Errorf("got %s", got)
		}
	}
	select {
	case got := <-still:
		t.Errorf("another stack's instance was answered: %s", got)
	default:
	}
	close(f.stop)
	if got := <-still; got != "304 "+head.Get("ETag") {
		t.Errorf("at the stop: %s", got)
	}
}

// TestDeregisteredWhileWaiting: an instance that was deregistered gets no newer
// bundle on a request it sent before.
func TestDeregisteredWhileWaiting(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.alice(t)
	stack := f.stack(t)
	a := f.join(t, stack)
	_, _, head := a.call(t, "GET", "/agent/v1/bundle", "", nil)
	answer := a.poll(t, head.Get("ETag"), 55)
	<-f.arrived
	if _, err := f.cp.DeregisterInstance(t.Context(), f.admin, controlplane.DeregisterInstanceRequest{InstanceId: a.id.String()}); err != nil {
		t.Fatal(err)
	}
	f.grant(t, stack, true)
	if got := <-answer; got != "401 " {
		t.Errorf("got %s", got)
	}
}

// TestHungUpWhileWaiting: a wait ends with its client.
func TestHungUpWhileWaiting(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.join(t, f.stack(t))
	_, _, head := a.call(t, "GET", "/agent/v1/bundle", "", nil)
	ctx, hangUp := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "GET", f.url+"/agent/v1/bundle", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", wire.SignRequest(a.key, a.id, "GET", "/agent/v1/bundle", nil, time.Now()))
	r.Header.Set("If-None-Match", head.Get("ETag"))
	r.Header.Set("Prefer", "wait=55")
	go func() {
		<-f.arrived
		hangUp()
	}()
	if resp, err := f.client.Do(r); err == nil {
		resp.Body.Close()
		t.Error("answered")
	}
	select {
	case <-f.ended:
	case <-time.After(10 * time.Second):
		t.Error("the wait goes on")
	}
}

func TestReport(t *testing.T) {
	f := newFixture(t)
	a := f.join(t, f.stack(t))
	encode := func(r wire.Report) string {
		text, err := wire.Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	good := wire.Report{Epoch: 1, Serial: 1, At: "2026-11-21T12:00:00Z", Steps: []wire.Result{{What: "x"}}, Refused: []wire.Result{}}
	future := good
	future.Serial = 99
	for _, tt := range []struct {
		name, body string
		status     int
	}{
		{"good", encode(good), 204},
		{"again", encode(good), 204},
		{"of-a-serial-to-come", encode(future), 400},
		{"not-canonical", " " + encode(good), 400},
		{"empty", "", 400},
		{"too-large", strings.Repeat("x", wire.MaxMessage+1), 413},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if status, answer, _ := a.call(t, "POST", "/agent/v1/report", tt.body, nil); status != tt.status {
				t.Errorf("got %d %s, want %d", status, answer, tt.status)
			}
		})
	}
}

func TestWaitFor(t *testing.T) {
	for _, tt := range []struct {
		prefer []string
		want   time.Duration
	}{
		{nil, 0},
		{[]string{"wait=55"}, 55 * time.Second},
		{[]string{"wait=0"}, 0},
		{[]string{"wait=3600"}, 55 * time.Second},
		{[]string{"respond-async, wait=10"}, 10 * time.Second},
		{[]string{"respond-async", "wait=10"}, 10 * time.Second},
		{[]string{"wait=-1"}, 0},
		{[]string{"wait=1e3"}, 0},
		{[]string{"wait=99999999999999999999"}, 0},
		{[]string{"waiting=5"}, 0},
	} {
		if got := waitFor(tt.prefer); got != tt.want {
			t.Errorf("%q: %s, want %s", tt.prefer, got, tt.want)
		}
	}
}
