package api

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"latchkey/controlplane"
)

// FuzzParseSignature: whatever bytes a request is made of, they are refused with a
// code, or the header prints again as it was and everything that means something is
// signed; what is accepted has the signature that the specification gives
// (requirement R108).
func FuzzParseSignature(f *testing.F) {
	for _, row := range slices.Concat(signedHeaderRows(), scopeRows(), twiceRows(), bodyRows()) {
		q := goodRequest(testNow)
		row.edit(q)
		f.Add([]byte(withoutSecondLength(q.raw())))
	}
	for _, a := range alterations() {
		f.Add([]byte(strings.Replace(goodRequest(testNow).raw(), a.from, a.to, 1)))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			return
		}
		body, err := readBody(nil, r, MaxBody)
		if err != nil {
			mustBeCoded(t, err)
			return
		}
		s, err := parseSignature(r.Header.Get("Authorization"))
		if err != nil {
			mustBeCoded(t, err)
			return
		}
		if printed := printSignature(s); printed != canonicalHeader(&s) {
			t.Fatalf("%q prints as %q", s.header, printed)
		}
		for _, to := range []surface{awsSurface(), plainSurface()} {
			if err := s.checkForm(r, body, "us-east-1", to, testNow); err != nil {
				mustBeCoded(t, err)
				continue
			}
			mustBeBound(t, s, r)
			if _, err := testAuthenticator(t, testNow).authenticate(r, body, to); err != nil {
				mustBeCoded(t, err)
			} else if want := signedAgain(s, r, body); want != canonicalHeader(&s) {
				t.Fatalf("%q is accepted, the signature is %s", raw, want)
			}
		}
	})
}

// mustBeCoded wants an error that callers are told of as it is.
func mustBeCoded(t *testing.T, err error) {
	t.Helper()
	var e *controlplane.Error
	if !errors.As(err, &e) || e.Code == "" || e.Code == Internal || e.Message == "" || len(e.Message) > 1024 {
		t.Fatalf("refused with %v", err)
	}
}

func printSignature(s signature) string {
	return "AWS4-HMAC-SHA256 Credential=" + strings.Join([]string{s.keyID, s.day, s.region, s.service, "aws4_request"}, "/") +
		", SignedHeaders=" + strings.Join(s.signed, ";") + ", Signature=" + hex.EncodeToString(s.value[:])
}

// mustBeBound wants of a request whose form is sound that it is of now, that its
// names are not long, and that it signs what means something.
func mustBeBound(t *testing.T, s signature, r *http.Request) {
	t.Helper()
	if age := testNow.Sub(s.at).Abs(); age > MaxSkew || s.at.Format(amzDate) != r.Header.Get("X-Amz-Date") {
		t.Fatalf("signed at %s", s.at)
	}
	if len(s.keyID) > 128 || len(s.service) > 64 || s.region != "us-east-1" {
		t.Fatalf("key %q, region %q, service %q", s.keyID, s.region, s.service)
	}
	wanted := []string{"host", "x-amz-date"}
	for name := range r.Header {
		if low := strings.ToLower(name); strings.HasPrefix(low, "x-amz-") || low == "content-type" {
			wanted = append(wanted, low)
		}
	}
	for _, name := range wanted {
		if !slices.Contains(s.signed, name) {
			t.Fatalf("%s is not among the signed %q", name, s.signed)
		}
	}
}

// signedAgain is the header that the tests' own signer makes for what was received.
func signedAgain(s signature, r *http.Request, body []byte) string {
	q := wireRequest{
		method: r.Method, path: r.URL.Path, body: string(body), headers: [][2]string{{"host", r.Host}}, signed: s.signed,
		at: s.at, region: s.region, service: s.service, keyID: s.keyID, secret: testSecret,
	}
	for name, values := range r.Header {
		for _, v := range values {
			q.headers = append(q.headers, [2]string{name, v})
		}
	}
	return q.authorization()
}

// FuzzDecode decodes a body into the request of every action. What the strict
// surface accepts the other does too, as the same value, which is the one that
// encoding/json reads; its members have their exact names; it prints as something
// that reads the same; and no body is accepted once a member is there twice.
func FuzzDecode(f *testing.F) {
	for _, a := range Actions() {
		for _, body := range examples(a.Request) {
			f.Add(body)
		}
	}
	for _, body := range []string{
		``, `null`, `[]`, `{"Name":"a","Name":"b"}`, `{"Name":"a","\u004eame":"b"}`, `{"name":"a"}`, `{"Name":null}`, "{\"Name\":\"\xff\"}",
		`{"Name":"\ud800"}`, `{"StackIds":[null]}`, `{"Attributes":{"a":null,"":"b"}}`, `{"TtlSeconds":1e3}`, `{"MaxResults":9223372036854775808}`,
		`{"ChefConfiguration":{"ManageBerkshelf":true,"X":[{}]}}`, ` {"StackId" : "s" } `, `{"StackId":"s"}}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, a := range Actions() {
			strict, lenient := reflect.New(a.Request), reflect.New(a.Request)
			err := decode(body, strict.Interface(), refuseUnknown)
			errLenient := decode(body, lenient.Interface(), ignoreUnknown)
			for _, err := range []error{err, errLenient} {
				if err != nil {
					mustBeCoded(t, err)
				}
			}
			if errLenient == nil {
				mustReadAgain(t, body, lenient)
				mustRefuseTwice(t, body, a.Request)
			}
			if err != nil {
				continue
			}
			if errLenient != nil || !reflect.DeepEqual(strict.Interface(), lenient.Interface()) {
				t.Fatalf("%s: %q is %+v, and where unknown members pass %+v, %v", a.Name, body, strict, lenient, errLenient)
			}
			mustReadAsOthers(t, body, strict)
			mustNameMembers(t, body, a.Request)
		}
	})
}

// mustReadAgain prints a request and reads it again.
func mustReadAgain(t *testing.T, body []byte, request reflect.Value) {
	t.Helper()
	once, err := encode(request.Interface())
	if err != nil {
		t.Fatalf("%q: %v", body, err)
	}
	again := reflect.New(request.Type().Elem())
	if err := decode(once, again.Interface(), refuseUnknown); err != nil {
		t.Fatalf("%q is printed as %s, which is refused: %v", body, once, err)
	}
	if twice, err := encode(again.Interface()); err != nil || !bytes.Equal(once, twice) {
		t.Fatalf("%q is printed as %s, and that as %s, %v", body, once, twice, err)
	}
}

// mustRefuseTwice gives the first member of a body that was accepted once more.
func mustRefuseTwice(t *testing.T, body []byte, request reflect.Type) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(body))
	var value json.RawMessage
	dec.Token() // the opening brace; an empty body has none
	key, err := dec.Token()
	if _, is := key.(string); err != nil || !is || dec.Decode(&value) != nil {
		return // there are no members
	}
	name, err := json.Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	twice := slices.Concat([]byte{'{'}, name, []byte{':'}, value, []byte{','}, bytes.TrimSpace(body)[1:])
	for _, u := range []unknown{refuseUnknown, ignoreUnknown} {
		err := decode(twice, reflect.New(request).Interface(), u)
		var e *controlplane.Error
		if !errors.As(err, &e) || u == ignoreUnknown && e.Code != Malformed {
			t.Fatalf("%q: %v", twice, err)
		}
	}
}

// mustReadAsOthers compares a request with what encoding/json makes of the body. It
// reads null in other ways, and tells an empty list from none.
func mustReadAsOthers(t *testing.T, body []byte, request reflect.Value) {
	t.Helper()
	if len(bytes.TrimSpace(body)) == 0 || bytes.Contains(body, []byte("null")) {
		return
	}
	theirs := reflect.New(request.Type().Elem())
	if err := json.Unmarshal(body, theirs.Interface()); err != nil {
		t.Fatalf("%q is accepted, encoding/json says %v", body, err)
	}
	if got, want := printed(t, request), printed(t, theirs); got != want {
		t.Fatalf("%q is %s, encoding/json reads %s", body, got, want)
	}
}

func printed(t *testing.T, request reflect.Value) string {
	t.Helper()
	text, err := encode(request.Interface())
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), "null", "[]")
}

// mustNameMembers wants a body to name members of the request and nothing else.
func mustNameMembers(t *testing.T, body []byte, request reflect.Type) {
	t.Helper()
	var named map[string]json.RawMessage
	if len(bytes.TrimSpace(body)) > 0 && json.Unmarshal(body, &named) != nil {
		t.Fatalf("%q is accepted", body)
	}
	for _, m := range membersOf(request) {
		delete(named, m.name)
	}
	if len(named) > 0 {
		t.Fatalf("%q is accepted by a request without %v", body, named)
	}
}
