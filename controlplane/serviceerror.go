package controlplane

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"latchkey/authz"
	"latchkey/authz/wire"
	"latchkey/controlplane/store"
)

// serviceErrorsKept is how many are kept of each instance.
const serviceErrorsKept = 50

// The types of service errors.
const (
	stepFailed  = "step_failed"
	userRefused = "user_refused"
)

// serviceErrors are the faults of a report that were not in the instance's report
// before: an agent says the same in every report until it is mended.
func serviceErrors(before []store.Receipt, r wire.Report, now time.Time) []store.ServiceError {
	known := map[store.ServiceError]bool{}
	if len(before) > 0 {
		var last wire.Report
		if json.Unmarshal(before[0].Body, &last) == nil { // one of ours always parses
			for _, e := range faults(last) {
				known[e] = true
			}
		}
	}
	var fresh []store.ServiceError
	for _, e := range faults(r) {
		if known[e] {
			continue
		}
		known[e] = true
		e.ID, e.CreatedAt = newUUID(), now
		fresh = append(fresh, e)
	}
	return fresh[:min(len(fresh), serviceErrorsKept)]
}

// faults are the lines of a report that say what went wrong.
func faults(r wire.Report) []store.ServiceError {
	var all []store.ServiceError
	for _, s := range r.Steps {
		if s.Error != "" {
			all = append(all, store.ServiceError{Type: stepFailed, Message: s.What + ": " + s.Error})
		}
	}
	for _, u := range r.Refused {
		all = append(all, store.ServiceError{Type: userRefused, Message: u.What + ": " + u.Error})
	}
	return all
}

// DescribeServiceErrors lists what the instances of a stack, or one instance,
// reported to have gone wrong, newest first, or those named, or all that the caller
// may see. The newest fifty of an instance are kept.
func (c *ControlPlane) DescribeServiceErrors(
	ctx context.Context, caller Caller, req DescribeServiceErrorsRequest,
) (DescribeServiceErrorsResponse, error) {
	out := DescribeServiceErrorsResponse{ServiceErrors: []ServiceError{}}
	if severalGiven(req.StackId != "", req.InstanceId != "", len(req.ServiceErrorIds) > 0) {
		return out, refused("Stack Id, Instance Id, Service Error Ids: only one of them can be given")
	}
	ask := asked{}
	var err error
	if req.StackId != "" {
		if ask.stack, err = parseStack(req.StackId); err != nil {
			return out, err
		}
	}
	if req.InstanceId != "" {
		if ask.instance, err = parseInstance(req.InstanceId); err != nil {
			return out, err
		}
	}
	if ask.ids, err = parseAll(req.ServiceErrorIds, parseRecord("Service Error Id")); err != nil {
		return out, err
	}
	err = c.read(ctx, caller, func(v store.View, who principal) error {
		all, err := c.serviceErrorsFor(ctx, v, who, ask)
		for _, e := range all {
			out.ServiceErrors = append(out.ServiceErrors, ServiceError{
				ServiceErrorId: e.ID, StackId: e.Stack.String(), InstanceId: e.Instance.String(),
				Type: e.Type, Message: e.Message, CreatedAt: timestamp(e.CreatedAt),
			})
		}
		return err
	})
	return out, err
}

// asked is what a list is about: a stack, an instance, or some ids.
type asked struct {
	stack    authz.StackID
	instance authz.InstanceID
	ids      []string
}

// severalGiven reports whether more than one of what excludes each other is there.
func severalGiven(given ...bool) bool {
	n := 0
	for _, is := range given {
		if is {
			n++
		}
	}
	return n > 1
}

// parseRecord returns the parser of the ids of what is kept about instances: they
// have the form of an instance's.
func parseRecord(attribute string) func(string) (string, error) {
	return func(s string) (string, error) {
		id, err := authz.ParseInstanceID(s)
		if err != nil {
			return "", invalid(attribute, err)
		}
		return id.String(), nil
	}
}

func (c *ControlPlane) serviceErrorsFor(ctx context.Context, v store.View, who principal, ask asked) ([]store.ServiceError, error) {
	const action = "opsworks:DescribeServiceErrors"
	switch {
	case !ask.stack.IsZero():
		if err := c.authorise(ctx, v, who, action, ask.stack); err != nil {
			return nil, err
		}
		if _, err := stackNamed(ctx, v, ask.stack); err != nil {
			return nil, err
		}
		return v.ServiceErrorsOn(ctx, ask.stack)
	case !ask.instance.IsZero():
		if _, err := c.instanceFor(ctx, v, who, action, ask.instance); err != nil {
			return nil, err
		}
		return v.ServiceErrorsOf(ctx, ask.instance)
	case len(ask.ids) > 0:
		return c.serviceErrorsNamed(ctx, v, who, action, ask.ids)
	}
	all, err := v.ServiceErrors(ctx)
	if err != nil {
		return nil, err
	}
	seen, err := c.permitted(ctx, v, who, action)
	if err != nil {
		return nil, err
	}
	var visible []store.ServiceError
	for _, e := range all {
		if seen(e.Stack) {
			visible = append(visible, e)
		}
	}
	return visible, nil
}

func (c *ControlPlane) serviceErrorsNamed(
	ctx context.Context, v store.View, who principal, action authz.Action, ids []string,
) ([]store.ServiceError, error) {
	var all []store.ServiceError
	for _, id := range ids {
		e, err := v.ServiceError(ctx, id)
		missing := errors.Is(err, store.ErrNotFound)
		if err != nil && !missing {
			return nil, err
		}
		if err := c.authoriseHidden(ctx, v, who, action, target{stack: e.Stack}, "*"); err != nil {
			return nil, err
		}
		if missing {
			return nil, &Error{Code: NotFound, Message: "Unable to find service error with ID " + id}
		}
		all = append(all, e)
	}
	return all, nil
}
