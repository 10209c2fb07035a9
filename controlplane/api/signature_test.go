package api

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"latchkey/authz"
	"latchkey/controlplane"
)

const (
	testKey    = "LKIAEXAMPLE"
	testSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
)

// wireRequest is a request as its bytes will be, before it is signed. The tests
// sign with code of their own, written from the specification, so that they can
// also make what no honest signer makes.
type wireRequest struct {
	method, path, body string
	headers            [][2]string
	signed             []string // nil: every header
	at                 time.Time
	scopeDay           string // "": the day of at
	region, service    string
	keyID, secret      string
	bodyHash           string // "": of body
}

func goodRequest(now time.Time) *wireRequest {
	return &wireRequest{
		method: "POST", path: "/", body: `{"StackIds":[]}`,
		headers: [][2]string{
			{"Host", "localhost:8443"},
			{"Content-Type", awsJSON},
			{"X-Amz-Date", now.Format(amzDate)},
			{"X-Amz-Target", awsTarget + "DescribeStacks"},
		},
		at: now, region: "us-east-1", service: "opsworks", keyID: testKey, secret: testSecret,
	}
}

func (q *wireRequest) set(name, value string) {
	for i := range q.headers {
		if q.headers[i][0] == name {
			q.headers[i][1] = value
			return
		}
	}
	q.headers = append(q.headers, [2]string{name, value})
}

func (q *wireRequest) drop(name string) {
	q.headers = slices.DeleteFunc(q.headers, func(h [2]string) bool { return h[0] == name })
}

// authorization signs q as the specification of Signature Version 4 says.
func (q *wireRequest) authorization() string {
	values := map[string][]string{}
	for _, h := range q.headers {
		values[strings.ToLower(h[0])] = append(values[strings.ToLower(h[0])], strings.Join(strings.Fields(h[1]), " "))
	}
	signed := q.signed
	if signed == nil {
		for name := range values {
			signed = append(signed, name)
		}
		slices.Sort(signed)
	}
	var canonical strings.Builder
	path, query, _ := strings.Cut(q.path, "?")
	canonical.WriteString(q.method + "\n" + strings.ReplaceAll(path, "%", "%25") + "\n" + query + "\n")
	for _, name := range signed {
		canonical.WriteString(name + ":" + strings.Join(values[name], ",") + "\n")
	}
	bodyHash := q.bodyHash
	if bodyHash == "" {
		bodyHash = hash([]byte(q.body))
	}
	canonical.WriteString("\n" + strings.Join(signed, ";") + "\n" + bodyHash)
	day := q.scopeDay
	if day == "" {
		day = q.at.Format("20060102")
	}
	scope := strings.Join([]string{day, q.region, q.service, "aws4_request"}, "/")
	toSign := strings.Join([]string{"AWS4-HMAC-SHA256", q.at.Format(amzDate), scope, hash([]byte(canonical.String()))}, "\n")
	key := []byte("AWS4" + q.secret)
	for _, part := range []string{day, q.region, q.service, "aws4_request", toSign} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return "AWS4-HMAC-SHA256 Credential=" + q.keyID + "/" + scope + ", SignedHeaders=" + strings.Join(signed, ";") +
		", Signature=" + hex.EncodeToString(key)
}

// raw is the request on the wire, signed.
func (q *wireRequest) raw() string {
	var b strings.Builder
	b.WriteString(q.method + " " + q.path + " HTTP/1.1\r\n")
	for _, h := range q.headers {
		b.WriteString(h[0] + ": " + h[1] + "\r\n")
	}
	b.WriteString("Authorization: " + q.authorization() + "\r\n")
	b.WriteString("Content-Length: " + strconv.Itoa(len(q.body)) + "\r\n\r\n" + q.body)
	return b.String()
}

// check parses raw bytes as the server does and authenticates them.
func check(t *testing.T, raw string, s surface, now time.Time) error {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
	if err != nil {
		t.Fatalf("read request: %v", err)
	}
	body, err := readBody(nil, r, MaxBody)
	if err != nil {
		t.Fatal(err)
	}
	_, err = testAuthenticator(t, now).authenticate(r, body, s)
	return err
}

func testAuthenticator(t *testing.T, now time.Time) authenticator {
	t.Helper()
	arn, err := authz.ParseARN("arn:aws:iam::000000000000:user/admin")
	if err != nil {
		t.Fatal(err)
	}
	return authenticator{region: "us-east-1", now: func() time.Time { return now },
		credential: func(_ context.Context, id string) (controlplane.Credential, error) {
			if id != testKey {
				return controlplane.Credential{}, &controlplane.Error{Code: controlplane.Unauthenticated, Message: "no key"}
			}
			return controlplane.Credential{Caller: controlplane.Caller{ARN: arn, AccessKeyID: id}, Secret: testSecret}, nil
		}}
}

var testNow = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// stranger is what is said of a key or a secret that is wrong.
const stranger = "access key is not known, or its secret is another"

// signatureRow is one request, well signed after an edit.
type signatureRow struct {
	name string
	edit func(*wireRequest)
	want string // of the error's text; "" is accepted
}

// testSignatures holds R108.
func testSignatures(t *testing.T, rows []signatureRow) {
	for _, tt := range rows {
		t.Run(tt.name, func(t *testing.T) {
			q := goodRequest(testNow)
			tt.edit(q)
			wantText(t, check(t, withoutSecondLength(q.raw()), awsSurface(), testNow), tt.want)
		})
	}
}

// Of these four tests only the exact canonical request passes. Their rows are the
// seeds of FuzzSignature too.

func TestSignedHeaders(t *testing.T) { testSignatures(t, signedHeaderRows()) }

func signedHeaderRows() []signatureRow {
	return []signatureRow{
		{"exact", func(*wireRequest) {}, ""},
		{"body-of-one-byte-more-signed", func(q *wireRequest) { q.body += " " }, ""},
		{"user-agent-signed", func(q *wireRequest) { q.set("User-Agent", "aws-sdk-java/1.12  x") }, ""},
		{"content-length-signed", func(q *wireRequest) {
			q.signed = []string{"content-length", "content-type", "host", "x-amz-date", "x-amz-target"}
			q.set("Content-Length", strconv.Itoa(len(q.body)))
		}, ""},
		{"content-hash-given", func(q *wireRequest) { q.set("X-Amz-Content-Sha256", hash([]byte(q.body))) }, ""},
		{"invocation-id-not-signed", func(q *wireRequest) {
			q.signed = []string{"content-type", "host", "x-amz-date", "x-amz-target"}
			q.set("amz-sdk-invocation-id", "a-b-c")
		}, ""},

		{"host-not-signed", func(q *wireRequest) { q.signed = []string{"content-type", "x-amz-date", "x-amz-target"} }, "header host is not signed"},
		{"date-not-signed", func(q *wireRequest) { q.signed = []string{"content-type", "host", "x-amz-target"} }, "header x-amz-date is not signed"},
		{"target-not-signed", func(q *wireRequest) { q.signed = []string{"content-type", "host", "x-amz-date"} }, "header x-amz-target is not signed"},
		{"content-type-not-signed", func(q *wireRequest) { q.signed = []string{"host", "x-amz-date", "x-amz-target"} }, "header content-type is not signed"},
		{"no-date", func(q *wireRequest) { q.drop("X-Amz-Date") }, "header x-amz-date is not signed"},
		{"no-date-but-signed", func(q *wireRequest) {
			q.drop("X-Amz-Date")
			q.signed = []string{"content-type", "host", "x-amz-date", "x-amz-target"}
		}, "X-Amz-Date is not of the form"},
		{"other-date-form", func(q *wireRequest) { q.set("X-Amz-Date", testNow.Format(time.RFC3339)) }, "X-Amz-Date is not of the form"},
		{"signed-header-absent", func(q *wireRequest) {
			q.signed = []string{"accept", "content-type", "host", "x-amz-date", "x-amz-target"}
		}, stranger},
	}
}

func TestSignatureScope(t *testing.T) { testSignatures(t, scopeRows()) }

func scopeRows() []signatureRow {
	return []signatureRow{
		{"late-4:59", at(-4*time.Minute - 59*time.Second), ""},
		{"late-5:01", at(-5*time.Minute - time.Second), "more than 5m0s apart"},
		{"early-4:59", at(4*time.Minute + 59*time.Second), ""},
		{"early-5:01", at(5*time.Minute + time.Second), "more than 5m0s apart"},
		{"scope-of-yesterday", func(q *wireRequest) { q.scopeDay = "20261120" }, "scope is of another day"},
		{"scope-of-tomorrow", func(q *wireRequest) { q.scopeDay = "20261122" }, "scope is of another day"},
		{"other-region", func(q *wireRequest) { q.region = "eu-west-1" }, `scope has region "eu-west-1"`},
		{"other-service", func(q *wireRequest) { q.service = "sts" }, `scope has service "sts"`},
		{"own-service-on-the-aws-surface", func(q *wireRequest) { q.service = "latchkey" }, `scope has service "latchkey"`},
	}
}

func TestHeadersTwice(t *testing.T) { testSignatures(t, twiceRows()) }

func twiceRows() []signatureRow {
	return []signatureRow{
		{"date-twice", func(q *wireRequest) {
			q.headers = append(q.headers, [2]string{"X-Amz-Date", testNow.Format(amzDate)})
		}, "header x-amz-date is there more than once"},
		{"target-twice", func(q *wireRequest) {
			q.headers = append(q.headers, [2]string{"X-Amz-Target", awsTarget + "DeleteStack"})
		}, "header x-amz-target is there more than once"},
		{"target-twice-one-signed", func(q *wireRequest) {
			q.headers = append(q.headers, [2]string{"x-amz-target", awsTarget + "DescribeStacks"})
		}, "header x-amz-target is there more than once"},
		{"content-type-twice", func(q *wireRequest) {
			q.headers = append(q.headers, [2]string{"Content-Type", "text/plain"})
		}, "header content-type is there more than once"},
		{"other-signed-header-twice", func(q *wireRequest) {
			q.headers = append(q.headers, [2]string{"X-Other", "a"}, [2]string{"X-Other", "b"})
		}, "header x-other is there more than once"},
	}
}

func TestSignedBody(t *testing.T) { testSignatures(t, bodyRows()) }

func bodyRows() []signatureRow {
	return []signatureRow{
		{"hash-of-another-body", func(q *wireRequest) { q.bodyHash = hash([]byte(`{}`)) }, stranger},
		{"unsigned-payload", func(q *wireRequest) {
			q.set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
			q.bodyHash = "UNSIGNED-PAYLOAD"
		}, "X-Amz-Content-Sha256 is not the hash of the body"},
		{"unsigned-payload-not-said", func(q *wireRequest) { q.bodyHash = "UNSIGNED-PAYLOAD" }, stranger},
		{"streaming-payload", func(q *wireRequest) {
			q.set("X-Amz-Content-Sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
			q.bodyHash = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
		}, "X-Amz-Content-Sha256 is not the hash of the body"},
		{"session-token", func(q *wireRequest) { q.set("X-Amz-Security-Token", "x") }, "no temporary credentials"},
		{"query", func(q *wireRequest) { q.path = "/?a=b" }, "the URL has a query"},
		{"query-credentials", func(q *wireRequest) {
			q.path = "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" + testKey + "%2F20261121%2Fus-east-1%2Fopsworks%2Faws4_request"
		}, "the URL has a query"},
		{"bare-question-mark", func(q *wireRequest) { q.path = "/?" }, "the URL has a query"},

		{"unknown-key", func(q *wireRequest) { q.keyID = "LKIANOBODY" }, stranger},
		{"unknown-key-with-its-stand-in", func(q *wireRequest) { q.keyID, q.secret = "LKIANOBODY", nobodysSecret }, stranger},
		{"wrong-secret", func(q *wireRequest) { q.secret += "x" }, stranger},
	}
}

// withoutSecondLength drops the Content-Length that raw adds where a row has its own.
func withoutSecondLength(raw string) string {
	head, body, _ := strings.Cut(raw, "\r\n\r\n")
	if i := strings.LastIndex(head, "\r\nContent-Length:"); strings.Count(head, "Content-Length:") > 1 {
		head = head[:i]
	}
	return head + "\r\n\r\n" + body
}

func at(offset time.Duration) func(*wireRequest) {
	return func(q *wireRequest) {
		q.at = testNow.Add(offset)
		q.set("X-Amz-Date", q.at.Format(amzDate))
	}
}

// TestAlteredInTransit changes bytes of a request that was signed well (requirement
// R108).
func TestAlteredInTransit(t *testing.T) {
	for _, tt := range alterations() {
		t.Run(tt.name, func(t *testing.T) {
			raw := goodRequest(testNow).raw()
			altered := strings.Replace(raw, tt.from, tt.to, 1)
			if altered == raw {
				t.Fatalf("%q is not in the request", tt.from)
			}
			wantText(t, check(t, altered, awsSurface(), testNow), tt.want)
		})
	}
}

// alteration changes bytes of a request on the wire.
type alteration struct{ name, from, to, want string }

func alterations() []alteration {
	return []alteration{
		{"body", `{"StackIds":[]}`, `{"StackIdx":[]}`, stranger},
		{"target", "DescribeStacks", "DeleteStackXXX", stranger},
		{"host", "localhost:8443", "localhost:8444", stranger},
		{"content-type", awsJSON, "application/json      ", stranger},
		{"method", "POST /", "PUT /", stranger},
		{"one-digit-of-the-signature", "Signature=", "Signature=0", "not of Signature Version 4"},
		{"upper-case-signature", "Signature=", "Signature=A", "not of Signature Version 4"},
		{"other-algorithm", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA384", "not of Signature Version 4"},
		{"signed-headers-not-sorted", "content-type;host", "host;content-type", "not sorted"},
		{"signed-header-twice", "content-type;host", "host;host", "not sorted, or name one twice"},
		{"lower-case-scheme", "AWS4-HMAC-SHA256 Credential", "aws4-hmac-sha256 Credential", "not of Signature Version 4"},
		{"basic-on-the-aws-surface", "AWS4-HMAC-SHA256 Credential", "Basic YTpi Credential", "not of Signature Version 4"},
		{"empty", "AWS4-HMAC-SHA256 Credential", "\r\nX-Rest: AWS4 Credential", "carries no credentials"},
		{"missing", "Authorization:", "X-Authorization:", "carries no credentials"},
		{"twice", "Authorization: ", "Authorization: x\r\nAuthorization: ", "header authorization is there more than once"},
		{"folded-target", "OpsWorks_20130218.", "OpsWorks_20130218.\r\n ", stranger},
		{"folded-date", "20261121T", "20261121T\r\n ", "X-Amz-Date is not of the form"},
		{"spaces-in-a-value", "application/x-amz-json-1.1", "  application/x-amz-json-1.1  ", ""},
		{"no-spaces-after-commas", ", SignedHeaders", ",SignedHeaders", ""},
		{"two-spaces-after-a-comma", ", SignedHeaders", ",  SignedHeaders", "not of Signature Version 4"},
	}
}

// TestPublishedVector is post-vanilla of the test suite that AWS published for
// Signature Version 4: the verifier is right about more than itself (requirement
// R108).
func TestPublishedVector(t *testing.T) {
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(
		"POST / HTTP/1.1\r\nHost: example.amazonaws.com\r\nX-Amz-Date: 20150830T123600Z\r\n\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	const credential = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature="
	now := time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)
	to := surface{services: []string{"service"}}
	for signature, want := range map[string]bool{
		"5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b": true,
		"5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6c": false,
	} {
		s, err := parseSignature(credential + signature)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.checkForm(r, nil, "us-east-1", to, now); err != nil {
			t.Fatal(err)
		}
		if got := s.madeWith(testSecret, r, nil); got != want {
			t.Errorf("signature %s: got %t, want %t", signature, got, want)
		}
	}
}

// TestSignIsAccepted is the SDK's own signer, with a header that stock
// clients send and do not all sign.
func TestSignIsAccepted(t *testing.T) {
	body := `{"StackIds":["a"]}`
	r, err := http.NewRequest("POST", "https://localhost:8443/api/v1/DescribeStacks", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", plainJSON)
	r.Header.Set("Amz-Sdk-Invocation-Id", "x")
	if err := Sign(r, []byte(body), testKey, testSecret, "us-east-1", testNow); err != nil {
		t.Fatal(err)
	}
	var raw strings.Builder
	if err := r.Write(&raw); err != nil {
		t.Fatal(err)
	}
	wantText(t, check(t, raw.String(), plainSurface(), testNow), "")
	wantText(t, check(t, strings.Replace(raw.String(), "Id: x", "Id: y", 1), plainSurface(), testNow), stranger)
}

func TestBasic(t *testing.T) {
	good := "Basic TEtJQUVYQU1QTEU6d0phbHJYVXRuRkVNSS9LN01ERU5HK2JQeFJmaUNZRVhBTVBMRUtFWQ=="
	for _, tt := range []struct{ name, header, want string }{
		{"exact", good, ""},
		{"wrong-secret", "Basic TEtJQUVYQU1QTEU6eA==", stranger},
		{"empty-secret", "Basic TEtJQUVYQU1QTEU6", stranger},
		{"unknown-key", "Basic bm9ib2R5Ong=", stranger},
		{"unknown-key-with-its-stand-in", "Basic bm9ib2R5OjAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDA=", stranger},
		{"no-colon", "Basic TEtJQUVYQU1QTEU=", "not an access key id and its secret"},
		{"no-key", "Basic OngK", "not an access key id and its secret"},
		{"not-base64", "Basic !", "not an access key id and its secret"},
		{"lower-case-scheme", "basic" + good[5:], "not of Signature Version 4"},
		{"bearer", "Bearer x", "not of Signature Version 4"},
		{"blank", "Basic", "not of Signature Version 4"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			raw := "POST /api/v1/DescribeStacks HTTP/1.1\r\nHost: h\r\nAuthorization: " + tt.header + "\r\n\r\n"
			wantText(t, check(t, raw, plainSurface(), testNow), tt.want)
		})
	}
}

// TestStrangersLookAlike compares everything that a caller can see of an unknown key
// and of a wrong secret (requirement R119 in part).
func TestStrangersLookAlike(t *testing.T) {
	unknown, wrong := goodRequest(testNow), goodRequest(testNow)
	unknown.keyID, wrong.secret = "LKIANOBODY", "another"
	var a, b *controlplane.Error
	if !errors.As(check(t, unknown.raw(), awsSurface(), testNow), &a) || !errors.As(check(t, wrong.raw(), awsSurface(), testNow), &b) {
		t.Fatal("not refused")
	}
	if *a != *b {
		t.Errorf("unknown key: %v; wrong secret: %v", a, b)
	}
}

func wantText(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("refused: %v", err)
	case want != "" && err == nil:
		t.Errorf("accepted, want %q", want)
	case want != "" && !strings.Contains(err.Error(), want):
		t.Errorf("got %q, want %q", err, want)
	}
}
