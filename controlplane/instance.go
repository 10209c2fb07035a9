package controlplane

import (
	"context"
	"crypto/ed25519"
	"errors"
	"net/netip"
	"strings"
	"time"

	"latchkey/authz"
	"latchkey/authz/wire"
	"latchkey/controlplane/store"
)

// lostAfter is two missed waits of 55 s and some room for a slow network.
const lostAfter = 3 * time.Minute

// DescribeInstances lists the instances of a stack, those named, or all that the
// caller may see, by host name.
func (c *ControlPlane) DescribeInstances(
	ctx context.Context, caller Caller, req DescribeInstancesRequest,
) (DescribeInstancesResponse, error) {
	out := DescribeInstancesResponse{Instances: []Instance{}}
	if severalGiven(req.StackId != "", req.LayerId != "", len(req.InstanceIds) > 0) {
		return out, refused("Stack Id, Layer Id, Instance Ids: only one of them can be given")
	}
	ids, err := parseAll(req.InstanceIds, parseInstance)
	if err != nil {
		return out, err
	}
	var stack authz.StackID
	if req.StackId != "" {
		if stack, err = parseStack(req.StackId); err != nil {
			return out, err
		}
	}
	err = c.read(ctx, caller, func(v store.View, who principal) error {
		instances, err := c.instancesFor(ctx, v, who, stack, req.LayerId != "", ids)
		if err != nil {
			return err
		}
		for _, i := range instances {
			shown, err := c.showInstance(i)
			if err != nil {
				return err
			}
			out.Instances = append(out.Instances, shown)
		}
		return nil
	})
	return out, err
}

func (c *ControlPlane) instancesFor(
	ctx context.Context, v store.View, who principal, stack authz.StackID, layer bool, ids []authz.InstanceID,
) ([]store.Instance, error) {
	const action = "opsworks:DescribeInstances"
	switch {
	case layer:
		return nil, nil // there are no layers
	case !stack.IsZero():
		if err := c.authorise(ctx, v, who, action, stack); err != nil {
			return nil, err
		}
		if _, err := v.Serial(ctx, stack); errors.Is(err, store.ErrNotFound) {
			return nil, noStack(stack)
		} else if err != nil {
			return nil, err
		}
		return v.InstancesOf(ctx, stack)
	case len(ids) > 0:
		return c.instancesNamed(ctx, v, who, action, ids)
	}
	all, err := v.Instances(ctx)
	if err != nil {
		return nil, err
	}
	seen, err := c.permitted(ctx, v, who, action)
	if err != nil {
		return nil, err
	}
	var visible []store.Instance
	for _, i := range all {
		if seen(i.Stack) {
			visible = append(visible, i)
		}
	}
	return visible, nil
}

func (c *ControlPlane) instancesNamed(
	ctx context.Context, v store.View, who principal, action authz.Action, ids []authz.InstanceID,
) ([]store.Instance, error) {
	var instances []store.Instance
	for _, id := range ids {
		i, err := c.instanceFor(ctx, v, who, action, id)
		if err != nil {
			return nil, err
		}
		instances = append(instances, i)
	}
	return instances, nil
}

// instanceFor finds an instance for an action on its stack. For one that does not
// exist the caller is judged on the account: who has no policy learns only that
// he may not.
func (c *ControlPlane) instanceFor(
	ctx context.Context, v store.View, who principal, action authz.Action, id authz.InstanceID,
) (store.Instance, error) {
	return c.instanceOn(ctx, v, who, action, id, target{})
}

// instanceOn does the same for a request that names tags.
func (c *ControlPlane) instanceOn(
	ctx context.Context, v store.View, who principal, action authz.Action, id authz.InstanceID, on target,
) (store.Instance, error) {
	i, err := v.Instance(ctx, id)
	missing := errors.Is(err, store.ErrNotFound)
	if err != nil && !missing {
		return i, err
	}
	on.stack = i.Stack
	if err := c.authoriseHidden(ctx, v, who, action, on, c.instanceARN(id)); err != nil {
		return i, err
	}
	if missing {
		return i, noInstance(id)
	}
	return i, nil
}

// authoriseHidden authorises an action on the stack of something whose stack the
// caller did not name. A denial names the thing and not its stack: the same words
// for one that does not exist, with the zero stack, and for one of a stack that the
// caller may not see.
func (c *ControlPlane) authoriseHidden(
	ctx context.Context, v store.View, who principal, action authz.Action, on target, shown string,
) error {
	err := c.authoriseOn(ctx, v, who, action, on)
	if denial := (*Error)(nil); errors.As(err, &denial) && denial.Code == Denied {
		return &Error{
			Code: Denied,
			Message: "User: " + who.ARN.String() + " is not authorized to perform: " + string(action) +
				" on resource: " + shown + " because " + authz.ErrNotGranted.Text,
			Err: denial.Err,
		}
	}
	return err
}

func (c *ControlPlane) instanceARN(id authz.InstanceID) string {
	return c.arnPrefix() + "instance/" + id.String()
}

func (c *ControlPlane) showInstance(i store.Instance) (Instance, error) {
	out := Instance{
		InstanceId: i.ID.String(), StackId: i.Stack.String(), Arn: c.instanceARN(i.ID),
		Hostname: shownHostname(i), CreatedAt: timestamp(i.CreatedAt), InfrastructureClass: "on-premises",
		Status: status(c.sights.last(i.ID, i.LastSeen), c.cfg.Now()),
		Os:     i.Facts.Platform, Platform: i.Facts.OS, Architecture: architecture(i.Facts.Architecture),
		RegisteredBy: i.RegisteredBy.String(), ReportedAgentVersion: i.Facts.Agent, LastServiceErrorId: i.LastServiceError,
	}
	if address, err := netip.ParseAddr(i.Facts.Address); err == nil {
		out.PrivateIp = address.String()
	}
	if i.Facts.OS != "" {
		system, version, _ := strings.Cut(i.Facts.Platform, " ")
		out.ReportedOs = &ReportedOs{Family: i.Facts.OS, Name: system, Version: version}
	}
	set, err := settingsOf(i)
	out.AgentVersion, out.InstallUpdatesOnBoot, out.SshKeyName = set.AgentVersion, set.InstallUpdatesOnBoot, set.SshKeyName
	return out, err
}

// The original's words that a registered machine can have.
const (
	statusRegistered = "registered"
	statusOnline     = "online"
	statusLost       = "connection_lost"
)

// status is the original's word for how an instance is.
func status(lastSeen, now time.Time) string {
	switch {
	case lastSeen.IsZero():
		return statusRegistered
	case now.Sub(lastSeen) <= lostAfter:
		return statusOnline
	default:
		return statusLost
	}
}

// architecture turns Go's word into the original's; it had two.
func architecture(s string) string {
	switch s {
	case "amd64", "x86_64":
		return "x86_64"
	case "386", "i386":
		return "i386"
	}
	return ""
}

// DeregisterInstance ends the control plane's knowledge of an instance: its key
// opens nothing from then on. The machine keeps its last state.
func (c *ControlPlane) DeregisterInstance(ctx context.Context, caller Caller, req DeregisterInstanceRequest) (Nothing, error) {
	id, err := parseInstance(req.InstanceId)
	if err != nil {
		return Nothing{}, err
	}
	const action = "opsworks:DeregisterInstance"
	err = c.write(ctx, caller, action, func(ch *change) error {
		i, err := c.instanceFor(ctx, ch.View, ch.who, action, id)
		if err != nil {
			return err
		}
		ch.Record(id.String(), map[string]string{"stack": i.Stack.String(), "hostname": i.Facts.Hostname})
		return ch.DeleteInstance(ctx, id)
	})
	if err == nil {
		c.sights.forget(id)
	}
	return Nothing{}, err
}

// errInstanceGone is the reason when an instance is not known, or not any more.
var errInstanceGone = errors.New("instance is not known")

// InstanceKey returns the key that an instance signs its requests with, and its
// stack. An unknown instance is an *Error Unauthenticated.
func (c *ControlPlane) InstanceKey(ctx context.Context, id authz.InstanceID) (ed25519.PublicKey, authz.StackID, error) {
	var i store.Instance
	err := c.cfg.Store.Read(ctx, func(v store.View) (err error) {
		i, err = v.Instance(ctx, id)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, authz.StackID{}, unauthenticated(errInstanceGone)
	}
	if err != nil {
		return nil, authz.StackID{}, err
	}
	key, err := wire.ParsePublicKey(i.PublicKey)
	return key, i.Stack, err
}
