package feed

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"latchkey/authz/wire"
)

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
		{"unknown-token", enrollment(t, secret[1:]+secret[:1]+"x", key), 403, "join token is not known"},
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
// one of them answers 401 (requirements R72 and R73).
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
