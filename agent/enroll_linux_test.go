package agent_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"latchkey/agent"
	"latchkey/agent/cache"
	"latchkey/authz/wire"
)

// door is a control plane's enrolment over real TLS, with the answer of a test.
type door struct {
	*httptest.Server
	token  wire.JoinToken
	keys   []ed25519.PublicKey // of everybody who asked
	answer func(wire.Enrolled) (int, []byte)
}

func newDoor(t *testing.T) *door {
	t.Helper()
	d := &door{}
	enrolled := wire.Enrolled{
		Instance: "33333333-3333-4333-8333-333333333333", Stack: stackID, StackName: "one", ControlPlane: "cp-1",
		Keys: []string{newSigner(t, "cp-1").verifier}, Epoch: 1,
	}
	d.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		var e wire.Enroll
		if err := wire.Decode(body, &e); err != nil || e.Secret != d.token.Secret() || e.Facts.Hostname != "web-1" {
			t.Errorf("the enrolment is %q, %v", body, err)
		}
		key, err := e.Key()
		if err != nil {
			t.Errorf("the key is not proved: %v", err)
		}
		d.keys = append(d.keys, key)
		status, text := http.StatusOK, encode(t, enrolled)
		if d.answer != nil {
			status, text = d.answer(enrolled)
		}
		w.WriteHeader(status)
		_, _ = w.Write(text) // the client's test says whether it arrived
	}))
	d.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	d.StartTLS()
	t.Cleanup(d.Close)
	d.token = wire.NewJoinToken([32]byte{1, 2, 3}, sha256.Sum256(d.Certificate().RawSubjectPublicKeyInfo))
	return d
}

func (d *door) join(t *testing.T, dir *cache.Dir) (cache.Identity, error) {
	return agent.Enroll(t.Context(), dir, d.URL, d.token, wire.Facts{Hostname: "web-1"}, slog.New(slog.DiscardHandler))
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	text, err := wire.Encode(v)
	must(t, err)
	return text
}

// TestEnroll holds R79 in part and R85.
func TestEnroll(t *testing.T) {
	dir, path := newDir(t)
	d := newDoor(t)
	must(t, os.RemoveAll(path)) // it makes the folder itself
	identity, err := d.join(t, dir)
	must(t, err)
	stored, err := dir.Identity()
	must(t, err)
	key, err := stored.Key()
	must(t, err)
	if len(d.keys) != 1 || !bytes.Equal(key.Public().(ed25519.PublicKey), d.keys[0]) {
		t.Error("the key that is stored is not the one that enrolled")
	}
	pin, err := stored.ServerPin()
	if err != nil || pin != d.token.Pin() || stored.Server != d.URL || stored.Instance != identity.Instance ||
		stored.Stack.String() != stackID || stored.StackName != "one" || stored.ControlPlane != "cp-1" {
		t.Errorf("the identity is %+v, %v", stored, err)
	}
	for file, content := range readDir(t, path) {
		if strings.Contains(content, d.token.Secret()) {
			t.Errorf("%s holds the token's secret", file)
		}
	}
	if _, err := d.join(t, dir); !errors.Is(err, agent.ErrEnrolled) || len(d.keys) != 1 {
		t.Errorf("a second enrolment: %v, asked %d times", err, len(d.keys))
	}
}

// TestEnroll_LostAnswer: whatever comes instead of a good answer, the machine is
// not enrolled, and the same token with the same key finishes it.
func TestEnroll_LostAnswer(t *testing.T) {
	changed := func(change func(*wire.Enrolled)) func(*testing.T, wire.Enrolled) (int, []byte) {
		return func(t *testing.T, e wire.Enrolled) (int, []byte) { change(&e); return http.StatusOK, encode(t, e) }
	}
	tests := map[string]func(*testing.T, wire.Enrolled) (int, []byte){
		"refused": func(*testing.T, wire.Enrolled) (int, []byte) {
			return http.StatusForbidden, []byte(`{"__type":"AccessDenied","message":"token was used"}`)
		},
		"cut-short": func(t *testing.T, e wire.Enrolled) (int, []byte) {
			text := encode(t, e)
			return http.StatusOK, text[:len(text)/2]
		},
		"nothing":         func(*testing.T, wire.Enrolled) (int, []byte) { return http.StatusOK, nil },
		"no-content":      func(*testing.T, wire.Enrolled) (int, []byte) { return http.StatusNoContent, nil },
		"no-instance":     changed(func(e *wire.Enrolled) { e.Instance = "" }),
		"path-instance":   changed(func(e *wire.Enrolled) { e.Instance = "../../etc/passwd" }),
		"no-stack":        changed(func(e *wire.Enrolled) { e.Stack = "" }),
		"no-keys":         changed(func(e *wire.Enrolled) { e.Keys = []string{} }),
		"bad-key":         changed(func(e *wire.Enrolled) { e.Keys = append(e.Keys, "cp-1+00000000+AAAA") }),
		"key-of-no-point": changed(func(e *wire.Enrolled) { e.Keys = []string{"x"} }),
	}
	for situation, answer := range tests {
		t.Run(situation, func(t *testing.T) {
			dir, _ := newDir(t)
			d := newDoor(t)
			d.answer = func(e wire.Enrolled) (int, []byte) { return answer(t, e) }
			if _, err := d.join(t, dir); err == nil {
				t.Error("it enrolled")
			}
			if stored, err := dir.Identity(); err != nil || !stored.Instance.IsZero() {
				t.Errorf("the identity is %+v, %v", stored, err)
			}
			d.answer = nil
			if _, err := d.join(t, dir); err != nil {
				t.Fatal(err)
			}
			if len(d.keys) != 2 || !bytes.Equal(d.keys[0], d.keys[1]) {
				t.Error("the second try came with another key")
			}
		})
	}
}

// TestEnroll_DamagedIdentity: an identity that cannot be read is not written over.
func TestEnroll_DamagedIdentity(t *testing.T) {
	dir, path := newDir(t)
	d := newDoor(t)
	must(t, os.WriteFile(path+"/identity.json", []byte("{}"), 0o600))
	if _, err := d.join(t, dir); err == nil || errors.Is(err, fs.ErrNotExist) || len(d.keys) != 0 {
		t.Errorf("Enroll = %v, asked %d times", err, len(d.keys))
	}
	if got := readDir(t, path)["identity.json"]; got != "{}" {
		t.Errorf("the identity is %q", got)
	}
}
