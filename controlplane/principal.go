package controlplane

import (
	"context"
	"errors"
	"sync"

	"latchkey/authz"
	"latchkey/authz/iam"
	"latchkey/controlplane/store"
)

// principal is somebody as the store knows him in this transaction, with all that
// decides what he may do but his levels.
type principal struct {
	authz.Profile
	rights authz.Rights
	groups []string
	tags   map[string]string
	// context holds the condition keys of the request, without its resource's.
	context iam.Context
}

// identify looks the caller up, and refuses one whose key is gone.
func (c *ControlPlane) identify(ctx context.Context, v store.View, caller Caller) (principal, error) {
	if caller.ARN.IsZero() {
		return principal{}, unauthenticated(errNoCaller)
	}
	if caller.AccessKeyID != "" {
		k, err := v.AccessKey(ctx, caller.AccessKeyID)
		if errors.Is(err, store.ErrNotFound) || err == nil && (k.ARN != caller.ARN || !k.Active) {
			return principal{}, unauthenticated(errKeyGone)
		}
		if err != nil {
			return principal{}, err
		}
	}
	p, err := v.UserByARN(ctx, caller.ARN)
	if errors.Is(err, store.ErrNotFound) {
		return principal{}, errNoProfile
	}
	if err != nil {
		return principal{}, err
	}
	who, err := c.principal(ctx, v, p)
	if err != nil {
		return principal{}, err
	}
	who.context, err = iam.NewContext(c.circumstances(who, caller).Keys())
	return who, err
}

// principal collects what a user has in policies. His context is empty.
func (c *ControlPlane) principal(ctx context.Context, v store.View, p authz.Profile) (principal, error) {
	held, err := v.Holdings(ctx, p.ID)
	if err != nil {
		return principal{}, err
	}
	who := principal{Profile: p, groups: held.Groups, tags: map[string]string{}}
	for _, tag := range held.Tags {
		who.tags[tag.Key] = tag.Value
	}
	policies := make([]authz.Policy, len(held.Policies))
	for i, h := range held.Policies {
		policies[i] = c.policy(h)
	}
	if held.Boundary == nil {
		who.rights = authz.NewRights(policies, nil)
		return who, nil
	}
	boundary := c.policy(*held.Boundary)
	boundary.Origin = "permissions boundary " + held.Boundary.Name
	who.rights = authz.NewRights(policies, &boundary)
	return who, nil
}

// policy parses what somebody has. One that does not parse, and a managed one that
// is not there, are the zero policy, which denies.
func (c *ControlPlane) policy(h store.Held) authz.Policy {
	p := authz.Policy{Origin: "inline policy " + h.Name}
	if h.Managed {
		p.Origin = "policy " + h.Name
	}
	if h.Group != "" {
		p.Origin += " of group " + h.Group
	}
	text := h.Document
	if h.Managed && text == nil {
		text = []byte(authz.BuiltinPolicy(h.Name))
	}
	p.Document = c.documents.parse(text)
	return p
}

// circumstances are those of a request by a principal.
func (c *ControlPlane) circumstances(who principal, caller Caller) authz.Circumstances {
	return authz.Circumstances{
		Principal: who.Profile, PrincipalTags: who.tags, Groups: who.groups,
		SourceIP: caller.SourceIP, UserAgent: caller.UserAgent, Secure: caller.Secure,
		Region: c.cfg.Region, Now: c.cfg.Now(),
	}
}

// maxDocuments bounds how many parsed policies are remembered. Parsing costs some
// hundred times what a decision does.
const maxDocuments = 4096

// documents remembers the policies it has parsed, by their text.
type documents struct {
	mu     sync.Mutex // guards parsed
	parsed map[string]iam.Policy
}

// parse returns the zero policy, which denies, for a text that is malformed.
func (d *documents) parse(text []byte) iam.Policy {
	d.mu.Lock()
	defer d.mu.Unlock()
	p, found := d.parsed[string(text)]
	if found {
		return p
	}
	p, _ = iam.Parse(text)
	if len(d.parsed) >= maxDocuments {
		clear(d.parsed)
	}
	d.parsed[string(text)] = p
	return p
}
