package client_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"latchkey/agent/client"
	"latchkey/authz"
	"latchkey/authz/wire"
)

var quiet = slog.New(slog.DiscardHandler)

// newClient is a client that has not enrolled.
func newClient(t *testing.T, url string, pin wire.Pin) *client.Client {
	t.Helper()
	c, err := client.New(url, pin, authz.InstanceID{}, nil, quiet)
	must(t, err)
	return c
}

var enrolment = wire.Enroll{Secret: "hunter2-hunter2-hunter2"}

func enrolled(w http.ResponseWriter, _ *http.Request) {
	text, err := wire.Encode(wire.Enrolled{Instance: "33333333-3333-4333-8333-333333333333", Keys: []string{"k"}, Epoch: 1})
	if err != nil {
		panic(err)
	}
	_, _ = w.Write(text) // the client says whether it arrived
}

// home is a good server and a client of it.
func home(t *testing.T, answer http.HandlerFunc) (*server, *client.Client) {
	t.Helper()
	ours := newAuthority(t)
	s := newServer(t, with(ours.leaf(t, nil)), answer)
	return s, newClient(t, s.URL, ours.pin())
}

// TestRedirects holds R74: another place is never asked.
func TestRedirects(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			elsewhere := newServer(t, nil, nil)
			s, c := home(t, func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, elsewhere.URL+"/agent/v1/enroll", status)
			})
			_, err := c.Enroll(t.Context(), enrolment)
			var refused *client.Refused
			if !errors.As(err, &refused) || refused.Status != status {
				t.Errorf("Enroll = %v, want status %d", err, status)
			}
			if n, received := elsewhere.seen(); n != 0 || received != "" {
				t.Errorf("the other place was asked: %q", received)
			}
			if n, _ := s.seen(); n != 1 {
				t.Errorf("asked %d times", n)
			}
		})
	}
}

// TestProxy holds R74: a proxy of the environment is not used.
func TestProxy(t *testing.T) {
	proxy := newServer(t, nil, nil)
	for _, v := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"} {
		t.Setenv(v, proxy.URL)
	}
	t.Setenv("NO_PROXY", "")
	t.Setenv("no_proxy", "")
	// A name, because net/http never asks a proxy for a loopback address.
	ours := newAuthority(t)
	s := newServer(t, with(ours.leaf(t, func(c *x509.Certificate) { c.DNSNames = []string{"latchkey.invalid"} })), enrolled)
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	must(t, err)
	_, err = newClient(t, "https://latchkey.invalid:"+port, ours.pin()).Enroll(t.Context(), enrolment)
	if err == nil {
		t.Error("a name that does not exist was reached")
	}
	if _, received := proxy.seen(); received != "" {
		t.Errorf("the proxy was asked: %q", received)
	}
}

// TestBodies holds R75 in part: what comes is bounded, and bytes are taken as they
// come.
func TestBodies(t *testing.T) {
	t.Parallel()
	endless := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			chunk := make([]byte, 64<<10)
			for r.Context().Err() == nil {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}
	}
	tests := map[string]struct {
		answer http.HandlerFunc
		want   error // nil: any
	}{
		"endless":         {endless(200), wire.ErrTooLarge},
		"endless-refusal": {endless(400), wire.ErrTooLarge},
		"one-too-long": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.CopyN(w, zeros{}, wire.MaxBundle+1)
		}, wire.ErrTooLarge},
		"shorter-than-it-says": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte("short"))
		}, io.ErrUnexpectedEOF},
		"endless-header":   {raw("HTTP/1.1 200 OK\r\n", "X-More: "+strings.Repeat("x", 1000)+"\r\n"), nil},
		"endless-one-line": {raw("HTTP/1.1 200 OK\r\nX-More: ", strings.Repeat("x", 1000)), nil},
		"endless-hints":    {raw("", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"), nil},
		"not-http":         {raw("", "SSH-2.0-OpenSSH\r\n"), nil},
	}
	for situation, test := range tests {
		t.Run(situation, func(t *testing.T) {
			t.Parallel()
			_, c := home(t, test.answer)
			_, changed, err := c.Bundle(t.Context(), 1, 1, 0)
			if err == nil || changed || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("Bundle = changed %t, %v, want %v", changed, err, test.want)
			}
			if errors.Is(err, context.DeadlineExceeded) {
				t.Error("only the time ended it")
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// raw answers with bytes: the first once, the others until nobody listens.
func raw(first, again string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer c.Close()
		_, err = io.WriteString(c, first)
		for sent := 0; err == nil && sent < 256<<20; sent += len(again) {
			_, err = io.WriteString(c, again)
		}
	}
}

// TestHangs: a server that never comes to an end does not outlive the context
// (requirement R75 in part).
func TestHangs(t *testing.T) {
	t.Parallel()
	for situation, answer := range map[string]http.HandlerFunc{
		"before-the-header": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"in-the-body": func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte("begin"))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
	} {
		t.Run(situation, func(t *testing.T) {
			t.Parallel()
			_, c := home(t, answer)
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			if _, _, err := c.Bundle(ctx, 1, 1, 0); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Bundle = %v", err)
			}
		})
	}
}

// TestRetryAfter: what the server asks for does not put the next try off.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for _, status := range []int{429, 503} {
		for _, after := range []string{"86400", "Fri, 31 Dec 2999 23:59:59 GMT"} {
			t.Run(fmt.Sprint(status, "-", len(after)), func(t *testing.T) {
				t.Parallel()
				s, c := home(t, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Retry-After", after)
					w.WriteHeader(status)
				})
				err := c.Report(t.Context(), wire.Report{})
				var refused *client.Refused
				if !errors.As(err, &refused) || refused.Status != status {
					t.Errorf("Report = %v, want status %d", err, status)
				}
				if n, _ := s.seen(); n < 2 {
					t.Errorf("tried %d times", n)
				}
			})
		}
	}
}

// TestTriesAgain: a stumble of the server is not the caller's business, and every
// try says the same.
func TestTriesAgain(t *testing.T) {
	t.Parallel()
	var bodies []string
	s, c := home(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if bodies = append(bodies, string(body)); len(bodies) == 1 {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		enrolled(w, r)
	})
	if _, err := c.Enroll(t.Context(), enrolment); err != nil {
		t.Errorf("Enroll = %v", err)
	}
	if n, _ := s.seen(); n != 2 || bodies[0] != bodies[1] || !strings.Contains(bodies[0], enrolment.Secret) {
		t.Errorf("%d requests with %q", n, bodies)
	}
}

// TestGzip: compression is not asked for and not undone, so a small answer stays small
// (requirement R75 in part).
func TestGzip(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err := z.Write(make([]byte, 1<<20))
	must(t, errors.Join(err, z.Close()))
	s, c := home(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(packed.Bytes())
	})
	got, _, err := c.Bundle(t.Context(), 1, 1, 0)
	if err != nil || !bytes.Equal(got, packed.Bytes()) {
		t.Errorf("Bundle = %d bytes, %v", len(got), err)
	}
	if asked := s.requests[0].Header.Values("Accept-Encoding"); len(asked) != 0 {
		t.Errorf("asked for %q", asked)
	}
}

// TestRefused: a clear no carries status, type and text, which is quoted (requirement
// R81).
func TestRefused(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		status int
		body   string
		want   string
	}{
		"said":            {403, `{"__type":"AccessDenied","message":"token was used"}`, `control plane answered 403: "token was used"`},
		"with-newline":    {404, `{"__type":"X","message":"no\nsuch\u001b[2J"}`, `control plane answered 404: "no\nsuch\x1b[2J"`},
		"html":            {403, `<html>please log in</html>`, `control plane answered 403: "Forbidden"`},
		"nothing":         {401, ``, `control plane answered 401: "Unauthorized"`},
		"wrong-type":      {400, `{"message":7}`, `control plane answered 400: "Bad Request"`},
		"status-unknown":  {499, `[]`, `control plane answered 499: ""`},
		"created":         {201, `{}`, `control plane answered 201: "Created"`},
		"partial-content": {206, `{}`, `control plane answered 206: "Partial Content"`},
	}
	for situation, test := range tests {
		t.Run(situation, func(t *testing.T) {
			t.Parallel()
			_, c := home(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body)
			})
			_, changed, err := c.Bundle(t.Context(), 1, 1, 0)
			var refused *client.Refused
			if !errors.As(err, &refused) || refused.Status != test.status || err.Error() != test.want || changed {
				t.Errorf("Bundle = %t, %v; want %s", changed, err, test.want)
			}
		})
	}
}

// TestUnreachable: the error says whom, and no secret (requirement R79 in part).
func TestUnreachable(t *testing.T) {
	t.Parallel()
	s, c := home(t, nil)
	s.Close()
	_, err := c.Enroll(t.Context(), enrolment)
	if err == nil || !strings.HasPrefix(err.Error(), "reach "+s.Listener.Addr().String()+": ") || strings.Contains(err.Error(), enrolment.Secret) {
		t.Errorf("Enroll = %v", err)
	}
}

// TestRequests: what an enrolled instance sends is signed by its key and by nothing
// else, and no secret is in an address or a log (requirements R72 and R79 in part).
func TestRequests(t *testing.T) {
	t.Parallel()
	public, key, err := ed25519.GenerateKey(nil)
	must(t, err)
	instance, err := authz.ParseInstanceID("33333333-3333-4333-8333-333333333333")
	must(t, err)
	var log bytes.Buffer
	ours := newAuthority(t)
	var got []string
	s := newServer(t, with(ours.leaf(t, nil)), func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		signature, err := wire.ParseSignature(r.Header.Get("Authorization"))
		if err == nil {
			err = signature.Verify(public, r.Method, r.RequestURI, body, time.Now())
		}
		if err != nil || signature.Instance != instance {
			t.Errorf("%s %s: %v", r.Method, r.RequestURI, err)
		}
		got = append(got, fmt.Sprintf("%s %s %s %s", r.Method, r.RequestURI, r.Header.Get("If-None-Match"), r.Header.Get("Prefer")))
		if r.Method == http.MethodGet {
			w.WriteHeader(http.StatusNotModified)
		} else {
			w.WriteHeader(http.StatusNoContent)
		}
	})
	c, err := client.New(s.URL+"/", ours.pin(), instance, key, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	must(t, err)
	if _, changed, err := c.Bundle(t.Context(), 2, 7, 55*time.Second); changed || err != nil {
		t.Errorf("Bundle = %t, %v", changed, err)
	}
	must(t, c.Report(t.Context(), wire.Report{Serial: 7}))
	want := `GET /agent/v1/bundle "2.7" wait=55,POST /agent/v1/report  `
	if strings.Join(got, ",") != want {
		t.Errorf("requests are %q", got)
	}
	if strings.Contains(log.String(), "Authorization") || strings.Contains(log.String(), wire.Scheme) {
		t.Errorf("the log holds credentials:\n%s", &log)
	}
}

func TestEnroll_Answer(t *testing.T) {
	t.Parallel()
	_, c := home(t, enrolled)
	got, err := c.Enroll(t.Context(), enrolment)
	if err != nil || got.Instance != "33333333-3333-4333-8333-333333333333" || len(got.Keys) != 1 {
		t.Errorf("Enroll = %+v, %v", got, err)
	}
}

func TestParseServer(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"https://cp.example": "https://cp.example", "https://cp.example:8443": "https://cp.example:8443",
		"https://cp.example:8443/": "https://cp.example:8443", "https://[::1]:8443": "https://[::1]:8443", "https://10.0.0.1": "https://10.0.0.1",
	} {
		if u, err := client.ParseServer(text); err != nil || u.String() != want {
			t.Errorf("%q gives %v, %v", text, u, err)
		}
	}
	for situation, text := range map[string]string{
		"nothing": "", "http": "http://cp.example:8443", "no-scheme": "cp.example:8443", "no-host": "https://", "port-alone": "https://:8443",
		"path": "https://cp.example/x", "query": "https://cp.example?x=1", "empty-query": "https://cp.example?", "fragment": "https://cp.example#x",
		"user": "https://a@cp.example", "password": "https://a:b@cp.example", "port-not-a-number": "https://cp.example:x", "port-too-large": "https://cp.example:65536",
		"port-zero": "https://cp.example:0", "no-port": "https://cp.example:", "space": "https://cp example", "newline": "https://cp.example\n", "file": "file:///etc/passwd",
		"opaque": "https:cp.example", "upper-scheme-path": "HTTPS://cp.example/../x", "control": "https://cp.example\x00",
	} {
		t.Run(situation, func(t *testing.T) {
			if u, err := client.ParseServer(text); err == nil {
				t.Errorf("%q gives %v", text, u)
			}
			if _, err := client.New(text, wire.Pin{}, authz.InstanceID{}, nil, quiet); err == nil {
				t.Errorf("New takes %q", text)
			}
		})
	}
}

// TestPause: full jitter below a bound that doubles up to half a minute, for any
// number of tries (requirement R78 in part).
func TestPause(t *testing.T) {
	t.Parallel()
	for attempt, bound := range map[int]time.Duration{
		0: 500 * time.Millisecond, 1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 6: 30 * time.Second, 9: 30 * time.Second,
		10: 30 * time.Second, 63: 30 * time.Second, 64: 30 * time.Second, 1 << 40: 30 * time.Second,
	} {
		low, high, seen := 0, 0, map[time.Duration]bool{}
		for range 1000 {
			d := client.Pause(attempt)
			if d <= 0 || d > bound+time.Millisecond {
				t.Fatalf("after %d tries the pause is %v, not up to %v", attempt, d, bound)
			}
			seen[d] = true
			if d < bound/4 {
				low++
			} else if d > bound*3/4 {
				high++
			}
		}
		if low < 150 || high < 150 || len(seen) < 900 {
			t.Errorf("after %d tries of 1000 pauses %d are in the first quarter, %d in the last, %d differ", attempt, low, high, len(seen))
		}
	}
}
