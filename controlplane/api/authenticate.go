package api

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"time"

	"latchkey/controlplane"
)

// authenticator says who is calling.
type authenticator struct {
	region string
	now    func() time.Time
	// credential looks up an access key: ControlPlane.Credential.
	credential func(ctx context.Context, accessKeyID string) (controlplane.Credential, error)
}

// proof is an authenticated caller, and by what.
type proof struct {
	caller controlplane.Caller
	// signature is nil when the caller came with a password.
	signature *signature
}

// nobodysSecret takes the place of an unknown key's secret, so that the same work
// is done for it.
const nobodysSecret = "0000000000000000000000000000000000000000"

// authenticate checks the credentials of a request to a surface. A key that is
// not known and a proof made with a wrong secret get one and the same answer.
func (a authenticator) authenticate(r *http.Request, body []byte, to surface) (proof, error) {
	header, err := authorization(r)
	if err != nil {
		return proof{}, err
	}
	if strings.HasPrefix(header, "Basic ") && to.basic {
		return a.basic(r.Context(), header)
	}
	s, err := parseSignature(header)
	if err != nil {
		return proof{}, err
	}
	if err := s.checkForm(r, body, a.region, to, a.now()); err != nil {
		return proof{}, err
	}
	known, cred, err := a.lookUp(r.Context(), s.keyID)
	if err != nil {
		return proof{}, err
	}
	if !s.madeWith(cred.Secret, r, body) || !known {
		return proof{}, noSuchKey()
	}
	return proof{cred.Caller, &s}, nil
}

// authorization returns the one Authorization header. Credentials in the URL are
// refused, as is every other query: no route has one, and it would be in logs.
func authorization(r *http.Request) (string, error) {
	values := r.Header.Values("Authorization")
	switch {
	case r.URL.RawQuery != "" || r.URL.ForceQuery:
		return "", refuse(BadCredentials, "the URL has a query: credentials and input go in the header and the body")
	case len(values) == 0 || values[0] == "":
		return "", refuse(NoCredentials, "the request carries no credentials")
	case len(values) > 1:
		return "", refuse(BadCredentials, "header authorization is there more than once")
	}
	return values[0], nil
}

func (a authenticator) basic(ctx context.Context, header string) (proof, error) {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(header, "Basic "))
	id, secret, found := strings.Cut(string(raw), ":")
	if err != nil || !found || id == "" {
		return proof{}, refuse(BadCredentials, "the Authorization header is not an access key id and its secret")
	}
	known, cred, err := a.lookUp(ctx, id)
	if err != nil {
		return proof{}, err
	}
	if !sameText(secret, cred.Secret) || !known {
		return proof{}, noSuchKey()
	}
	return proof{caller: cred.Caller}, nil
}

// lookUp finds an access key. For one that is not known it returns a credential
// that nobody has, so that the caller's work is the same.
func (a authenticator) lookUp(ctx context.Context, keyID string) (known bool, cred controlplane.Credential, err error) {
	cred, err = a.credential(ctx, keyID)
	var e *controlplane.Error
	if errors.As(err, &e) && e.Code == controlplane.Unauthenticated {
		return false, controlplane.Credential{Secret: nobodysSecret}, nil
	}
	return err == nil, cred, err
}

func noSuchKey() error {
	return refuse(controlplane.Unauthenticated, "the access key is not known, or its secret is another")
}
