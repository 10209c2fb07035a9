package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"latchkey/controlplane"
)

// MaxSkew is how far a request's date may be from the server's clock (AWS allows
// 15 minutes; requirement R108 wants 5).
const MaxSkew = 5 * time.Minute

const amzDate = "20060102T150405Z"

// signature is a parsed Authorization header of Signature Version 4.
type signature struct {
	keyID, day, region, service string
	signed                      []string // header names: lower case, sorted, each once
	value                       [sha256.Size]byte
	header                      string
	at                          time.Time // X-Amz-Date
}

var authorizationForm = regexp.MustCompile(`^AWS4-HMAC-SHA256 ` +
	`Credential=([A-Za-z0-9]{1,128})/([0-9]{8})/([a-z0-9-]{1,64})/([a-z0-9-]{1,64})/aws4_request, ?` +
	`SignedHeaders=([a-z0-9-]+(?:;[a-z0-9-]+)*), ?` +
	`Signature=([0-9a-f]{64})$`)

// parseSignature reads the one form of the header that the stock clients send.
func parseSignature(header string) (signature, error) {
	m := authorizationForm.FindStringSubmatch(header)
	if m == nil {
		return signature{}, refuse(BadCredentials, "the Authorization header is not of Signature Version 4")
	}
	s := signature{keyID: m[1], day: m[2], region: m[3], service: m[4], signed: strings.Split(m[5], ";"), header: header}
	if _, err := hex.Decode(s.value[:], []byte(m[6])); err != nil {
		return signature{}, refuse(BadCredentials, "the signature is not hexadecimal")
	}
	sorted := slices.Compact(slices.Sorted(slices.Values(s.signed)))
	if !slices.Equal(sorted, s.signed) {
		return signature{}, refuse(BadCredentials, "SignedHeaders are not sorted, or name one twice")
	}
	return s, nil
}

// checkForm checks everything about a signed request that needs no secret, and
// sets s.at: what is signed, when, and for where (requirement R108).
func (s *signature) checkForm(r *http.Request, body []byte, region string, to surface, now time.Time) error {
	if err := s.checkHeaders(r, body); err != nil {
		return err
	}
	at, err := time.Parse(amzDate, r.Header.Get("X-Amz-Date"))
	if err != nil || at.Format(amzDate) != r.Header.Get("X-Amz-Date") {
		return refuse(BadCredentials, "X-Amz-Date is not of the form YYYYMMDDTHHMMSSZ")
	}
	s.at = at
	switch d := now.Sub(at); {
	case d > MaxSkew || d < -MaxSkew:
		return refuse(controlplane.BadSignature, "signed at %s, but it is %s here: more than %s apart",
			at.Format(amzDate), now.UTC().Format(amzDate), MaxSkew)
	case s.day != at.Format("20060102"):
		return refuse(controlplane.BadSignature, "the credential's scope is of another day than X-Amz-Date")
	case s.region != region:
		return refuse(controlplane.BadSignature, "the credential's scope has region %q, this control plane is in %q", s.region, region)
	case !slices.Contains(to.services, s.service):
		return refuse(controlplane.BadSignature, "the credential's scope has service %q, this is %q", s.service, to.services[0])
	}
	return nil
}

// checkHeaders wants every header that means something (host, the date, the
// target, the content's type and hash) to be there once and to be signed.
func (s *signature) checkHeaders(r *http.Request, body []byte) error {
	for name, values := range r.Header {
		low := strings.ToLower(name)
		binding := strings.HasPrefix(low, "x-amz-") || low == "content-type"
		switch {
		case binding && !slices.Contains(s.signed, low):
			return refuse(BadCredentials, "header %s is not signed", clip(low))
		case (binding || slices.Contains(s.signed, low)) && len(values) != 1:
			return refuse(BadCredentials, "header %s is there more than once", clip(low))
		}
	}
	for _, name := range []string{"host", "x-amz-date"} {
		if !slices.Contains(s.signed, name) {
			return refuse(BadCredentials, "header %s is not signed", name)
		}
	}
	if r.Header.Get("X-Amz-Security-Token") != "" {
		return refuse(controlplane.Unauthenticated, "there are no temporary credentials here, so no session tokens")
	}
	if sum := r.Header.Get("X-Amz-Content-Sha256"); sum != "" && sum != hash(body) {
		return refuse(controlplane.BadSignature, "X-Amz-Content-Sha256 is not the hash of the body")
	}
	return nil
}

// madeWith signs the request again, with what was received of the headers that
// were signed and the hash of the body that was received, and compares in
// constant time.
func (s *signature) madeWith(secret string, r *http.Request, body []byte) bool {
	again := &http.Request{Method: r.Method, Host: r.Host, URL: &url.URL{Path: r.URL.Path}, Header: http.Header{}}
	for _, name := range s.signed {
		switch name {
		case "host", "x-amz-date": // the signer adds them itself
		case "content-length":
			again.ContentLength = int64(len(body))
		default:
			values := r.Header.Values(name)
			if len(values) != 1 {
				return false
			}
			// A lower-case key keeps the signer from leaving out headers that the Go
			// SDK does not sign and others do, such as User-Agent.
			again.Header[name] = values
		}
	}
	cred := aws.Credentials{AccessKeyID: s.keyID, SecretAccessKey: secret}
	// A new signer each time: it caches derived keys by access key and day alone,
	// so a kept one would go on accepting a secret that was replaced.
	err := v4.NewSigner().SignHTTP(context.Background(), cred, again, hash(body), s.service, s.region, s.at)
	return err == nil && sameText(again.Header.Get("Authorization"), canonicalHeader(s))
}

// canonicalHeader is the header as the signer prints it: some clients leave out
// the spaces after the commas.
func canonicalHeader(s *signature) string {
	return strings.NewReplacer(",SignedHeaders=", ", SignedHeaders=", ",Signature=", ", Signature=").Replace(s.header)
}

// Sign signs a request of ours, as latchkey's own command line does. body is what
// r's body will be. Everything in r.Header is signed.
func Sign(r *http.Request, body []byte, accessKeyID, secret, region string, now time.Time) error {
	cred := aws.Credentials{AccessKeyID: accessKeyID, SecretAccessKey: secret}
	return v4.NewSigner().SignHTTP(r.Context(), cred, r, hash(body), ownService, region, now)
}

func hash(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// sameText compares without telling by its time where, or how long, they differ.
func sameText(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
