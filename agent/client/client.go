// Package client speaks with the control plane over HTTPS: enrol, fetch the
// bundle, report. It proves the server by the pinned key before it says anything,
// follows no redirects, uses no proxy of the environment, and bounds every wait
// and every answer.
package client

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"latchkey/authz"
	"latchkey/authz/name"
	"latchkey/authz/wire"
)

// Waits. The server holds a conditional GET for at most MaxWait.
const (
	MaxWait   = 55 * time.Second
	spare     = 20 * time.Second // beyond the wait, for the way there and back
	dialTime  = 10 * time.Second
	minPause  = 500 * time.Millisecond
	maxPause  = 30 * time.Second
	maxTries  = 3
	maxErrors = 64 << 10
)

// ErrServer is returned when the other side does not prove the pinned key.
var ErrServer = name.Refuse("wrong_server", "the server does not prove the key that the join token names")

// Client is one instance's way to its control plane. It is safe for several
// goroutines.
type Client struct {
	server   *url.URL
	instance authz.InstanceID
	key      ed25519.PrivateKey
	now      func() time.Time
	http     *retryablehttp.Client
	date     atomic.Pointer[date]
}

// date is what time it was by the server, and when it said so.
type date struct{ told, heard time.Time }

// Date returns the time that the server named in its last good answer, to the second,
// and when that came by this process's monotonic clock; zero before the first. The
// server is proved, so its word is as good as the grants that come from it.
func (c *Client) Date() (told, heard time.Time) {
	d := c.date.Load()
	if d == nil {
		return time.Time{}, time.Time{}
	}
	return d.told, d.heard
}

// New makes a client. Before enrolment instance and key are zero and only Enroll
// may be called. server must be an https URL without a path.
func New(server string, pin wire.Pin, instance authz.InstanceID, key ed25519.PrivateKey, log *slog.Logger) (*Client, error) {
	u, err := ParseServer(server)
	if err != nil {
		return nil, err
	}
	rc := retryablehttp.NewClient()
	rc.Logger = quiet{log}
	rc.RetryMax = maxTries
	rc.RetryWaitMin, rc.RetryWaitMax = minPause, maxPause
	rc.Backoff = func(_, _ time.Duration, attempt int, _ *http.Response) time.Duration { return Pause(attempt) }
	rc.CheckRetry = func(ctx context.Context, resp *http.Response, err error) (bool, error) {
		if errors.Is(err, ErrServer) {
			return false, err // it will not be another one in a second
		}
		return retryablehttp.DefaultRetryPolicy(ctx, resp, err)
	}
	rc.ErrorHandler = retryablehttp.PassthroughErrorHandler
	rc.HTTPClient = &http.Client{
		Transport: &http.Transport{
			Proxy:                  nil,
			DialContext:            (&net.Dialer{Timeout: dialTime}).DialContext,
			TLSClientConfig:        pinned(u.Hostname(), pin),
			TLSHandshakeTimeout:    dialTime,
			ResponseHeaderTimeout:  MaxWait + spare,
			DisableCompression:     true,
			MaxIdleConns:           2,
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
			ForceAttemptHTTP2:      false,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &Client{server: u, instance: instance, key: key, now: time.Now, http: rc}, nil
}

// ParseServer reads the control plane's address: https://HOST[:PORT].
func ParseServer(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || !isPort(u) || (u.Path != "" && u.Path != "/") ||
		*u != (url.URL{Scheme: "https", Host: u.Host, Path: u.Path}) {
		return nil, fmt.Errorf("server %q is not https://HOST:PORT", s)
	}
	u.Path = ""
	return u, nil
}

func isPort(u *url.URL) bool {
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && n > 0 || u.Port() == "" && !strings.HasSuffix(u.Host, ":")
}

// Pause returns how long to wait before the attempt after the given one, counted
// from 0: full jitter up to a doubling bound with a cap. What the server asks for
// in Retry-After does not count beyond that: a wrong or hostile answer must not
// put a revocation off.
func Pause(attempt int) time.Duration {
	bound := maxPause
	if attempt < 10 {
		bound = min(maxPause, minPause<<attempt)
	}
	return time.Duration(rand.Int64N(int64(bound))) + time.Millisecond
}

// pinned accepts a server whose chain holds the pinned key and leads from it to
// a certificate for the host name. Nothing else is looked at: no system root.
func pinned(host string, pin wire.Pin) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ServerName: host,
		// The usual check is replaced by the one below, which is stricter.
		InsecureSkipVerify:     true,
		SessionTicketsDisabled: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			return verify(state.PeerCertificates, host, pin)
		},
	}
}

func verify(chain []*x509.Certificate, host string, pin wire.Pin) error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	found := false
	for _, c := range chain {
		if sha256.Sum256(c.RawSubjectPublicKeyInfo) == pin {
			roots.AddCert(c)
			found = true
			continue
		}
		between.AddCert(c)
	}
	if !found || len(chain) == 0 {
		return ErrServer
	}
	_, err := chain[0].Verify(x509.VerifyOptions{DNSName: host, Roots: roots, Intermediates: between})
	if err != nil {
		return fmt.Errorf("%w: %v", ErrServer, err)
	}
	return nil
}

// Enroll asks to join. It may be repeated with the same message.
func (c *Client) Enroll(ctx context.Context, e wire.Enroll) (wire.Enrolled, error) {
	var answer wire.Enrolled
	body, err := wire.Encode(e)
	if err != nil {
		return answer, err
	}
	resp, err := c.send(ctx, http.MethodPost, "/agent/v1/enroll", body, nil, spare)
	if err != nil {
		return answer, err
	}
	err = wire.Decode(resp.body, &answer)
	return answer, err
}

// Bundle asks for a bundle newer than the given version and waits for one up to
// wait. changed is false when there is none.
func (c *Client) Bundle(ctx context.Context, epoch, serial int64, wait time.Duration) (sealed []byte, changed bool, err error) {
	header := http.Header{
		"If-None-Match": {`"` + strconv.FormatInt(epoch, 10) + "." + strconv.FormatInt(serial, 10) + `"`},
		"Prefer":        {"wait=" + strconv.Itoa(int(wait.Seconds()))},
	}
	resp, err := c.send(ctx, http.MethodGet, "/agent/v1/bundle", nil, header, wait+spare)
	if err != nil {
		return nil, false, err
	}
	return resp.body, resp.status == http.StatusOK, nil
}

// Report tells the control plane what was done.
func (c *Client) Report(ctx context.Context, r wire.Report) error {
	body, err := wire.Encode(r)
	if err != nil {
		return err
	}
	_, err = c.send(ctx, http.MethodPost, "/agent/v1/report", body, nil, spare)
	return err
}

type response struct {
	status int
	body   []byte
}

// send makes one request, signed when the instance has a key, within a time for
// all tries together.
func (c *Client) send(ctx context.Context, method, path string, body []byte, header http.Header, limit time.Duration) (response, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	req, err := retryablehttp.NewRequestWithContext(ctx, method, c.server.String()+path, body)
	if err != nil {
		return response{}, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.key != nil {
		req.Header.Set("Authorization", wire.SignRequest(c.key, c.instance, method, path, body, c.now()))
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return response{}, shorten(err, c.server.Host)
	}
	defer resp.Body.Close()
	heard := time.Now()
	answer, err := read(resp)
	if told, dateErr := http.ParseTime(resp.Header.Get("Date")); err == nil && dateErr == nil {
		c.date.Store(&date{told, heard})
	}
	return answer, err
}

// read takes the body up to its limit and turns a refusal into an error.
func read(resp *http.Response) (response, error) {
	limit := int64(wire.MaxBundle)
	if resp.StatusCode != http.StatusOK {
		limit = maxErrors
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil:
		return response{}, fmt.Errorf("read answer: %w", err)
	case int64(len(body)) > limit:
		return response{}, wire.ErrTooLarge
	case resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusNotModified || resp.StatusCode == http.StatusNoContent:
		return response{resp.StatusCode, body}, nil
	}
	var fault struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	if json.Unmarshal(bytes.TrimSpace(body), &fault) != nil || fault.Message == "" {
		fault.Message = http.StatusText(resp.StatusCode)
	}
	return response{}, &Refused{Status: resp.StatusCode, Type: fault.Type, Message: fault.Message}
}

// Refused is a control plane's clear no. The text is the server's: quote it.
type Refused struct {
	Status        int
	Type, Message string
}

// Error says what was answered.
func (r *Refused) Error() string {
	return fmt.Sprintf("control plane answered %d: %q", r.Status, r.Message)
}

// shorten drops the URL from an error of net/http, which repeats method and
// address, and keeps what happened.
func shorten(err error, host string) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return fmt.Errorf("reach %s: %w", host, err)
}

// quiet hands retryablehttp's lines to our log as debug lines: the caller reports
// what matters.
type quiet struct{ log *slog.Logger }

func (q quiet) Error(msg string, kv ...any) { q.log.Debug(msg, kv...) }
func (q quiet) Warn(msg string, kv ...any)  { q.log.Debug(msg, kv...) }
func (q quiet) Info(msg string, kv ...any)  { q.log.Debug(msg, kv...) }
func (q quiet) Debug(msg string, kv ...any) { q.log.Debug(msg, kv...) }
