package controlplane

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"latchkey/authz"
	"latchkey/authz/name"
	"latchkey/controlplane/store"
)

// Reasons for refusing a change or a clone of a stack.
var (
	errServiceRole = name.Refuse("service_role_fixed", "a stack's service role cannot be changed")
	errNoApps      = name.Refuse("no_apps", "there are no apps to clone")
)

// UpdateStack changes what the request names of a stack and keeps the rest; of a
// member that has members of its own, those named. It changes nobody's access.
func (c *ControlPlane) UpdateStack(ctx context.Context, caller Caller, req UpdateStackRequest) (Nothing, error) {
	id, err := parseStack(req.StackId)
	if err != nil {
		return Nothing{}, err
	}
	const action = "opsworks:UpdateStack"
	return Nothing{}, c.write(ctx, caller, action, func(ch *change) error {
		if err := c.authorise(ctx, ch.View, ch.who, action, id); err != nil {
			return err
		}
		before, err := stackNamed(ctx, ch.View, id)
		if err != nil {
			return err
		}
		old, err := decodeMembers(before)
		if err != nil {
			return err
		}
		if req.ServiceRoleArn != nil && *req.ServiceRoleArn != old.ServiceRoleArn {
			return invalid("Service Role Arn", errServiceRole)
		}
		after, err := overlaid(before, req)
		if err != nil {
			return err
		}
		ch.Record(id.String(), map[string]string{"from": before.Name, "to": after.Name})
		return ch.UpdateStack(ctx, after)
	})
}

func copySettings(ctx context.Context, ch *change, from, to authz.StackID) error {
	set, err := settings(ctx, ch.View, from)
	if err != nil {
		return err
	}
	return ch.SetStackSettings(ctx, to, storedSettings(set))
}

// CloneStack makes a stack like another, with what the request names in another
// value. With ClonePermissions everybody has on it what he has on the other,
// otherwise nobody has anything. Instances, join tokens and tags are not cloned.
func (c *ControlPlane) CloneStack(ctx context.Context, caller Caller, req CloneStackRequest) (CloneStackResponse, error) {
	source, err := authz.ParseStackID(req.SourceStackId)
	if err != nil {
		return CloneStackResponse{}, invalid("Source Stack Id", err)
	}
	if len(req.CloneAppIds) > 0 {
		return CloneStackResponse{}, invalid("Clone App Ids", errNoApps)
	}
	const action = "opsworks:CloneStack"
	id := newID(authz.ParseStackID)
	err = c.write(ctx, caller, action, func(ch *change) error {
		if err := c.authorise(ctx, ch.View, ch.who, action, source); err != nil {
			return err
		}
		parent, err := stackNamed(ctx, ch.View, source)
		if err != nil {
			return err
		}
		clone, err := overlaid(parent, req)
		if err != nil {
			return err
		}
		clone.ID = id
		if err := ch.InsertStack(ctx, clone); err != nil {
			return err
		}
		if err := copySettings(ctx, ch, source, id); err != nil {
			return err
		}
		withPermissions := req.ClonePermissions != nil && *req.ClonePermissions
		ch.Record(id.String(), map[string]string{
			"source": source.String(), "name": clone.Name, "permissions": strconv.FormatBool(withPermissions),
		})
		if withPermissions {
			return ch.CopyPermissions(ctx, source, id)
		}
		return nil
	})
	if err != nil {
		return CloneStackResponse{}, err
	}
	return CloneStackResponse{StackId: id.String()}, nil
}

// overlaid lays the members that a request names over those of a stack. What is
// not a member of a stack is passed over.
func overlaid(st store.Stack, request any) (store.Stack, error) {
	members, err := decodeMembers(st)
	if err != nil {
		return store.Stack{}, err
	}
	named, err := json.Marshal(request)
	if err != nil {
		return store.Stack{}, fmt.Errorf("encode request: %w", err)
	}
	if err := json.Unmarshal(named, &members); err != nil {
		return store.Stack{}, fmt.Errorf("members of a request: %w", err)
	}
	st.Name = members.Name
	st.Members, err = stackMembers(members)
	return st, err
}

func decodeMembers(st store.Stack) (members CreateStackRequest, err error) {
	if err := json.Unmarshal(st.Members, &members); err != nil {
		return members, fmt.Errorf("members of stack %s: %w", st.ID, err)
	}
	return members, nil
}

// DescribeStackSummary counts a stack's instances by status.
func (c *ControlPlane) DescribeStackSummary(
	ctx context.Context, caller Caller, req DescribeStackSummaryRequest,
) (DescribeStackSummaryResponse, error) {
	id, err := parseStack(req.StackId)
	if err != nil {
		return DescribeStackSummaryResponse{}, err
	}
	var out DescribeStackSummaryResponse
	err = c.read(ctx, caller, func(v store.View, who principal) error {
		if err := c.authorise(ctx, v, who, "opsworks:DescribeStackSummary", id); err != nil {
			return err
		}
		st, err := stackNamed(ctx, v, id)
		if err != nil {
			return err
		}
		instances, err := v.InstancesOf(ctx, id)
		if err != nil {
			return err
		}
		out.StackSummary = StackSummary{
			StackId: id.String(), Name: st.Name, Arn: c.stackARN(id), InstancesCount: c.countByStatus(instances),
		}
		return nil
	})
	return out, err
}

func (c *ControlPlane) countByStatus(instances []store.Instance) (n InstancesCount) {
	now := c.cfg.Now()
	for _, i := range instances {
		switch status(c.sights.last(i.ID, i.LastSeen), now) {
		case statusRegistered:
			n.Registered++
		case statusOnline:
			n.Online++
		case statusLost:
			n.ConnectionLost++
		}
	}
	return n
}

// noInstaller stands where the original named the archive of its agent. Old
// clients put it into a command line unquoted and run what they get as root, so it
// is a name that never leads anywhere (RFC 2606), and says what to do instead.
const noInstaller = "https://join-with-latchkey-token-create.invalid/"

// DescribeStackProvisioningParameters answers "aws opsworks register" as far as it
// asks. How a machine really joins is by a join token. The original's client puts
// the values into a shell script, so they hold letters, digits and dashes only.
func (c *ControlPlane) DescribeStackProvisioningParameters(
	ctx context.Context, caller Caller, req DescribeStackProvisioningParametersRequest,
) (DescribeStackProvisioningParametersResponse, error) {
	id, err := parseStack(req.StackId)
	if err != nil {
		return DescribeStackProvisioningParametersResponse{}, err
	}
	err = c.read(ctx, caller, func(v store.View, who principal) error {
		if err := c.authorise(ctx, v, who, "opsworks:DescribeStackProvisioningParameters", id); err != nil {
			return err
		}
		_, err := stackNamed(ctx, v, id)
		return err
	})
	if err != nil {
		return DescribeStackProvisioningParametersResponse{}, err
	}
	return DescribeStackProvisioningParametersResponse{
		AgentInstallerUrl: noInstaller,
		Parameters: map[string]string{
			"assets_download_bucket": "none", // the original's client stops without it
			"control_plane":          c.id,
			"region":                 c.cfg.Region,
		},
	}, nil
}
