// Package controlplane holds the use cases: what a person, a program or an
// instance can ask of the control plane. It is the only place that authorises,
// always by authz.Decide, and always in the transaction that acts.
//
// Every action has the form
//
//	func (c *ControlPlane) NAME(ctx, Caller, NAMERequest) (NAMEResponse, error)
//
// and answers with an *Error when it refuses. The order is the same everywhere:
// the request is parsed, the caller is authorised, and only then is anything
// looked up, so that nobody learns what exists from the kind of refusal.
package controlplane

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"

	"latchkey/authz"
	"latchkey/authz/iam"
	"latchkey/authz/wire"
	"latchkey/controlplane/datadir"
	"latchkey/controlplane/store"
)

// Config is what a control plane is made of. All of it is required unless said.
type Config struct {
	Store *store.Store
	// Signer signs bundles; VerifierKeys are the keys that instances shall trust
	// for them, the signer's among them, in the form of sumdb/note.
	Signer       note.Signer
	VerifierKeys []string
	// Pin is the certificate authority that instances shall accept, for join tokens.
	Pin wire.Pin
	// Account and Region stand in ARNs: "000000000000", "us-east-1".
	Account, Region string
	// AgentVersion is the version of the agent that came with this program, as
	// DescribeAgentVersions lists it; empty: not known.
	AgentVersion string
	// Secrets seals the secrets of access keys, with a key outside the database.
	Secrets *datadir.Sealer
	// MinUID and MaxUID bound the uids given out, both included; zero means 20000
	// and 59999.
	MinUID, MaxUID authz.UID
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// The uids given out when nobody chose a range.
const (
	defaultMinUID authz.UID = 20000
	defaultMaxUID authz.UID = 59999
)

// ControlPlane answers every use case. It is safe for concurrent use.
type ControlPlane struct {
	cfg   Config
	id    string // the control plane's own, in every bundle
	epoch int64

	changes   changes
	sights    sights
	documents documents

	compiling sync.Mutex // one bundle is compiled at a time; guards nothing
	mu        sync.Mutex // guards bundles
	bundles   map[authz.StackID]Sealed
}

// New checks the configuration and prepares the store: the control plane's id
// and epoch are made the first time and kept.
func New(ctx context.Context, cfg Config) (*ControlPlane, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.MinUID == 0 && cfg.MaxUID == 0 {
		cfg.MinUID, cfg.MaxUID = defaultMinUID, defaultMaxUID
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	c := &ControlPlane{cfg: cfg, bundles: map[authz.StackID]Sealed{}}
	c.changes.waiting = map[authz.StackID]chan struct{}{}
	c.sights.seen = map[authz.InstanceID]sight{}
	c.documents.parsed = map[string]iam.Policy{}
	if err := c.identity(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

var (
	accountForm = regexp.MustCompile(`^[0-9]{12}$`)
	regionForm  = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
)

func (cfg Config) check() error {
	var faults []error
	fault := func(is bool, text string) {
		if is {
			faults = append(faults, errors.New(text))
		}
	}
	fault(cfg.Store == nil, "no store is given")
	fault(cfg.Signer == nil, "no signer is given")
	fault(cfg.Secrets == nil, "no sealer for secrets is given")
	fault(!accountForm.MatchString(cfg.Account), "account is not 12 digits")
	fault(!regionForm.MatchString(cfg.Region), "region is not a word of a-z, 0-9 and -")
	fault(cfg.MinUID < authz.MinUID || cfg.MaxUID > authz.MaxUID || cfg.MinUID > cfg.MaxUID,
		"uid range is empty or not within "+authz.MinUID.String()+"-"+authz.MaxUID.String())
	verifiers := make([]note.Verifier, 0, len(cfg.VerifierKeys))
	for _, key := range cfg.VerifierKeys {
		v, err := note.NewVerifier(key)
		if err != nil {
			return fmt.Errorf("verifier key: %v", err)
		}
		verifiers = append(verifiers, v)
	}
	if cfg.Signer != nil {
		_, err := note.VerifierList(verifiers...).Verifier(cfg.Signer.Name(), cfg.Signer.KeyHash())
		fault(err != nil, "signer's own key is not among the verifier keys")
	}
	return errors.Join(faults...)
}

// identity reads the control plane's id and epoch, or makes them.
func (c *ControlPlane) identity(ctx context.Context) error {
	read := func(v store.View) (err error) {
		if c.id, err = v.Meta(ctx, store.ControlPlaneID); err != nil {
			return err
		}
		text, err := v.Meta(ctx, store.Epoch)
		if err != nil {
			return err
		}
		c.epoch, err = strconv.ParseInt(text, 10, 64)
		return err
	}
	err := c.cfg.Store.Read(ctx, read)
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	err = c.cfg.Store.Write(ctx, c.bySystem("latchkey:CreateControlPlane"), func(tx *store.Tx) error {
		if err := read(tx.View); !errors.Is(err, store.ErrNotFound) {
			return errors.Join(errIdentified, err)
		}
		if err := tx.SetMeta(ctx, store.ControlPlaneID, newUUID()); err != nil {
			return err
		}
		return tx.SetMeta(ctx, store.Epoch, "1")
	})
	if err != nil && !errors.Is(err, errIdentified) {
		return err
	}
	return c.cfg.Store.Read(ctx, read)
}

var errIdentified = errors.New("another process made the control plane's identity")

// Close writes what is kept in memory only: when instances were last seen. The
// store stays open.
func (c *ControlPlane) Close(ctx context.Context) error { return c.flushSights(ctx) }

// bySystem is the audit entry of something that nobody asked for by a request.
func (c *ControlPlane) bySystem(action authz.Action) store.Entry {
	return store.Entry{At: c.cfg.Now(), Actor: "system", Action: string(action)}
}

// stackARN is arn:aws:opsworks:REGION:ACCOUNT:stack/ID/, with the slash.
func (c *ControlPlane) stackARN(id authz.StackID) string {
	return c.arnPrefix() + "stack/" + id.String() + "/"
}

// arnPrefix is what the ARNs of all that is ours begin with.
func (c *ControlPlane) arnPrefix() string {
	return "arn:aws:opsworks:" + c.cfg.Region + ":" + c.cfg.Account + ":"
}

// timestamp is the original's form: 2013-08-01T22:53:42+00:00.
func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05-07:00") }
