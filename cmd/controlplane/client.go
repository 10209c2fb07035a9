package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"latchkey/cmd/internal/cli"
	"latchkey/controlplane/api"
)

const (
	callTimeout = 40 * time.Second
	maxAnswer   = 64 << 20 // bytes: DescribeUserProfiles of 100,000 users
)

// client calls actions on the plain surface. It signs every call, so the secret
// stays here.
type client struct {
	connection
	keyID, secret string
	http          *http.Client
}

// dial prepares a client; nothing is sent yet.
func (c connection) dial() (*client, error) {
	c, err := c.resolve()
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(c.server)
	if err != nil || u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return nil, cli.Usage("it looks like https://HOST:PORT", "--server: %q is not the address of a server", c.server)
	}
	c.server = "https://" + u.Host
	cl := &client{connection: c}
	if cl.keyID, cl.secret, err = readCredentials(c.credentials); err != nil {
		return nil, err
	}
	pool, err := readPool(c.ca)
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	cl.http = &http.Client{
		Transport:     transport,
		Timeout:       callTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return cl, nil
}

// readPool reads a certificate authority; no file stands for the system's own.
func readPool(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, cli.Usage("", "--ca: %v", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, cli.Usage("it is the file tls/ca.pem of the server's data directory", "--ca: %s holds no certificate", path)
	}
	return pool, nil
}

// readCredentials reads the profile "default" of the AWS shared-credentials
// format.
func readCredentials(path string) (keyID, secret string, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", "", cli.Usage("", "--credentials: %v", err)
	}
	profile := ""
	for _, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			profile = strings.Trim(line, "[] ")
			continue
		}
		name, value, found := strings.Cut(line, "=")
		if !found || profile != "default" {
			continue
		}
		switch strings.TrimSpace(name) {
		case "aws_access_key_id":
			keyID = strings.TrimSpace(value)
		case "aws_secret_access_key":
			secret = strings.TrimSpace(value)
		}
	}
	if keyID == "" || secret == "" {
		return "", "", cli.Usage("it is in the AWS shared-credentials format: aws_access_key_id and aws_secret_access_key under [default]",
			"--credentials: %s holds no access key", path)
	}
	return keyID, secret, nil
}

// apiError is the server's refusal.
type apiError struct {
	Code    string `json:"__type"`
	Message string `json:"message"`
	status  int
}

func (e *apiError) Error() string {
	if e.Message == "" {
		return fmt.Sprintf("the server answered with HTTP status %d", e.status)
	}
	return e.Message + " (" + e.Code + ")"
}

// Hint says what to do about it, where that is known.
func (e *apiError) Hint() string {
	switch e.status {
	case http.StatusUnauthorized:
		return "look at --credentials, at this machine's clock, and at --region"
	case http.StatusForbidden:
		return "an administrator can grant it: latchkey permission set --help"
	}
	return ""
}

// call sends an action's input and decodes its output into out, which may be nil.
func (c *client) call(ctx context.Context, action string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode the input of %s: %v", action, err)
	}
	answer, err := c.send(ctx, action, body)
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("read the answer to %s: %v", action, err)
	}
	return nil
}

// send sends a body as it is and returns the answer's.
func (c *client) send(ctx context.Context, action string, body []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.server+"/api/v1/"+action, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	// Two calls of one second that are alike in everything else have this, signed,
	// to tell them apart.
	r.Header.Set("Amz-Sdk-Invocation-Id", rand.Text())
	if err := api.Sign(r, body, c.keyID, c.secret, c.region, time.Now()); err != nil {
		return nil, fmt.Errorf("sign the request: %v", err)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, c.unreachable(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the answer to %s: %v", action, err)
	case len(answer) > maxAnswer:
		return nil, fmt.Errorf("the answer to %s is larger than %d bytes", action, maxAnswer)
	case resp.StatusCode != http.StatusOK:
		return nil, refusal(resp.StatusCode, answer)
	}
	return answer, nil
}

func refusal(status int, body []byte) error {
	e := &apiError{status: status}
	if json.Unmarshal(body, e) != nil {
		e.Message = ""
	}
	return e
}

// unreachable says why no answer came.
func (c *client) unreachable(err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		err = of.Err // without the method and the URL
	}
	fact := fmt.Errorf("reach %s: %w", c.server, err)
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	switch {
	case errors.As(err, &unknown):
		return cli.Hint(fact, "give the server's certificate authority with --ca; it is tls/ca.pem in its data directory")
	case errors.As(err, &name):
		return cli.Hint(fact, "start the server with --name for every name it is reached by")
	case errors.Is(err, syscall.ECONNREFUSED):
		return cli.Hint(fact, "is the server running? latchkey serve --help shows how to start it")
	case errors.As(err, new(*net.DNSError)):
		return cli.Hint(fact, "is the name in --server right?")
	case errors.Is(err, context.DeadlineExceeded):
		return cli.Hint(fact, "is something between that drops what is sent to it, such as a firewall?")
	}
	return fact
}
