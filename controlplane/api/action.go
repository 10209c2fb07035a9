package api

import (
	"context"
	"reflect"
	"slices"
	"strings"

	"latchkey/authz"
	"latchkey/controlplane"
)

// Action is one thing that can be asked of the control plane. Everything that
// lists, documents or serves actions is made from these values.
type Action struct {
	// Name is the API's name, "SetPermission".
	Name string
	// IAM is the name that policies and levels know it by, "opsworks:SetPermission".
	// The AWS surface serves only those of opsworks.
	IAM authz.Action
	// Doc is one line for people.
	Doc string
	// Changes tells an action that changes something: one signature makes it act
	// at most once.
	Changes bool
	// Request and Response are the struct types of its input and output; Response
	// is nil for an action without output.
	Request, Response reflect.Type
	// MaxBody is the largest request body in bytes.
	MaxBody int64

	run func(context.Context, *controlplane.ControlPlane, controlplane.Caller, []byte, unknown) (any, error)
}

// effect is whether an action changes anything.
type effect bool

const (
	reads   effect = false
	changes effect = true
)

// action makes the Action of one use case, given as a method expression.
func action[Req, Resp any](iam authz.Action, does effect, doc string,
	use func(*controlplane.ControlPlane, context.Context, controlplane.Caller, Req) (Resp, error)) Action {
	a := Action{
		Name:     string(iam[strings.IndexByte(string(iam), ':')+1:]),
		IAM:      iam,
		Doc:      doc,
		Changes:  bool(does),
		Request:  reflect.TypeFor[Req](),
		Response: reflect.TypeFor[Resp](),
		MaxBody:  MaxBody,
	}
	if a.Response == reflect.TypeFor[controlplane.Nothing]() {
		a.Response = nil
	}
	a.run = func(ctx context.Context, cp *controlplane.ControlPlane, who controlplane.Caller, body []byte, u unknown) (any, error) {
		var req Req
		if err := decode(body, &req, u); err != nil {
			return nil, err
		}
		resp, err := use(cp, ctx, who, req)
		if err != nil || a.Response == nil {
			return nil, err
		}
		return resp, nil
	}
	return a
}

// upTo returns the action with another largest body.
func (a Action) upTo(bytes int64) Action {
	a.MaxBody = bytes
	return a
}

// Actions returns every action that is served, in the order of the reference.
func Actions() []Action {
	return slices.Concat(original(), machines(), holdings(), questions(), imports())
}

const originalService = "opsworks:"

// find returns the action of a name, among those that s serves.
func find(actions map[string]Action, s surface, name string) (Action, error) {
	a, served := actions[name]
	known := authz.Action(originalService+name).Rule().Scope != authz.ScopeUnknown
	switch {
	case served && (!s.onlyOriginal || strings.HasPrefix(string(a.IAM), originalService)):
		return a, nil
	case name == "":
		return Action{}, refuse(UnknownOperation, "no action is named: the header is  X-Amz-Target: %sACTION", awsTarget)
	case served:
		return Action{}, refuse(UnknownOperation, "%s is not an action of the OpsWorks API: call it at %s%s", name, plainPath, name)
	case known:
		return Action{}, refuse(controlplane.Invalid, "%s is known but not served by this control plane", name)
	}
	return Action{}, refuse(UnknownOperation, "no action has the name %q", clip(name))
}
