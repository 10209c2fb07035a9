package controlplane

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"latchkey/authz"
	"latchkey/authz/iam"
	"latchkey/authz/name"
)

// Reasons for refusing a question about what somebody may do.
var (
	errKeyOurs    = name.Refuse("context_key_ours", "is for the control plane to say")
	errAskedTime  = name.Refuse("time_malformed", "is not a time like 2026-08-01T22:53:42Z")
	errAskedEpoch = name.Refuse("epoch_malformed", "is not a number of seconds since 1970")
	errAskedTimes = name.Refuse("times_differ", "is not the second of aws:CurrentTime")
)

// inquiry is a question, parsed.
type inquiry struct {
	user   authz.ARN
	action authz.Action
	on     target
	// instance is what is asked about when it is one: its stack is still to be found.
	instance authz.InstanceID
	keys     map[string][]string // of the request, in lower case
}

// parseInquiry reads a question. place stands before the member in a refusal:
// "Questions[3]." in a batch.
func (c *ControlPlane) parseInquiry(place string, req AuthorizeRequest, now time.Time) (q inquiry, err error) {
	if q.user, err = authz.ParseARN(req.IamUserArn); err != nil {
		return q, invalid(place+"IamUserArn", err)
	}
	if q.action, err = authz.ParseAction(req.Action); err != nil {
		return q, invalid(place+"Action", err)
	}
	if q.on, q.instance, err = c.askedAbout(q.action, req.Resource); err != nil {
		return q, invalid(place+"Resource", err)
	}
	if q.keys, q.on.at, err = c.askedKeys(req.Context, now); err != nil {
		return q, invalid(place+"Context", err)
	}
	return q, nil
}

// askedAbout reads what a question is about. What begins like an ARN of ours and names
// no stack and no instance is refused: it is mistyped, and would slip past a level of
// deny. An action on the account or on oneself has no resource.
func (c *ControlPlane) askedAbout(action authz.Action, text string) (on target, i authz.InstanceID, err error) {
	switch {
	case text == "" || text == "*":
	case strings.HasPrefix(text, c.arnPrefix()):
		r, err := c.parseResource(text)
		if err != nil {
			return target{}, i, errResource
		}
		on.stack, i = r.stack, r.instance
	default:
		if on, err = parseTarget(text); err != nil {
			return target{}, i, err
		}
	}
	if scope := action.Rule().Scope; scope == authz.ScopeAccount || scope == authz.ScopeSelf {
		return target{}, authz.InstanceID{}, nil
	}
	return on, i, nil
}

// parseTarget reads the id of a stack, the ARN of a user, or another ARN.
func parseTarget(text string) (target, error) {
	if stack, err := authz.ParseStackID(text); err == nil {
		return target{stack: stack}, nil
	}
	if user, err := authz.ParseARN(text); err == nil {
		return target{user: user}, nil
	}
	other, err := iam.ParseResource(text)
	return target{other: other}, err
}

// askedKeys returns the condition keys of the request that a question is about, and
// when it is made. What the question does not say is not known, but for the time,
// which is now, and the region, which is ours.
func (c *ControlPlane) askedKeys(given map[string][]string, now time.Time) (map[string][]string, time.Time, error) {
	keys := map[string][]string{}
	for _, key := range slices.Sorted(maps.Keys(given)) {
		folded := strings.ToLower(key)
		if keyOurs(folded) {
			return nil, now, fmt.Errorf("%s %w", clean(key, maxFact), errKeyOurs)
		}
		if _, twice := keys[folded]; twice || key == "" {
			return nil, now, iam.ErrContext
		}
		keys[folded] = given[key]
	}
	at, err := askedTime(keys, now)
	if err != nil {
		return nil, now, err
	}
	known := authz.Circumstances{Region: c.cfg.Region, Now: at}.RequestKeys()
	delete(known, "aws:SecureTransport") // it is not known whether the request came over TLS
	for key, values := range known {
		if _, said := keys[strings.ToLower(key)]; !said {
			keys[strings.ToLower(key)] = values
		}
	}
	return keys, at, nil
}

// keyOurs reports whether a key, in lower case, is about the user or the resource, or
// is one that no request of this control plane ever has.
func keyOurs(key string) bool {
	switch key {
	case "aws:username", "aws:userid", "aws:tokenissuetime":
		return true
	}
	for _, prefix := range []string{"aws:principal", "aws:resourcetag/", "latchkey:"} {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

// askedTime is when a question says that it is asked.
func askedTime(keys map[string][]string, now time.Time) (time.Time, error) {
	at := now
	current, epoch := keys["aws:currenttime"], keys["aws:epochtime"]
	if len(current) > 0 {
		t, err := time.Parse(time.RFC3339, current[0])
		if err != nil || len(current) > 1 {
			return now, fmt.Errorf("aws:CurrentTime %w", errAskedTime)
		}
		at = t
	}
	if len(epoch) > 0 {
		n, err := strconv.ParseInt(epoch[0], 10, 64)
		t := time.Unix(n, 0)
		switch {
		case err != nil || len(epoch) > 1 || t.UTC().Year() < 0 || t.UTC().Year() > 9999:
			return now, fmt.Errorf("aws:EpochTime %w", errAskedEpoch)
		case len(current) > 0 && t.Unix() != at.Unix():
			return now, fmt.Errorf("aws:EpochTime %w", errAskedTimes)
		}
		at = t
	}
	return at, nil
}
