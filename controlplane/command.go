package controlplane

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"latchkey/authz/wire"
	"latchkey/controlplane/store"
)

// commandsKept is how many are kept of each instance.
const commandsKept = 100

// The types and the states of commands, in the original's words; there is also
// skipped, which the store gives.
const (
	syncUsers    = "sync_remote_users"
	grantAccess  = "grant_remote_access"
	revokeAccess = "revoke_remote_access"

	commandPending    = "pending"
	commandSuccessful = "successful"
	commandFailed     = "failed"
)

// reportCommands keeps what a report says an instance did with a serial, and ends
// what it was to do with earlier ones. A report of an earlier epoch is about a state
// that no longer counts.
func (c *ControlPlane) reportCommands(ctx context.Context, o store.Observation, i store.Instance, r wire.Report, now time.Time) error {
	if r.Epoch != c.epoch || r.Serial == 0 {
		return nil
	}
	raised, err := o.RaisedAt(ctx, i.Stack, r.Epoch, r.Serial)
	if errors.Is(err, store.ErrNotFound) {
		raised = now
	} else if err != nil {
		return err
	}
	for _, done := range commandsIn(r.Steps) {
		done.ID, done.Instance, done.Epoch, done.Serial = newUUID(), i.ID, r.Epoch, r.Serial
		done.CreatedAt, done.CompletedAt = later(raised, i.CreatedAt), now
		if err := o.PutCommand(ctx, done); err != nil {
			return err
		}
	}
	return o.SkipCommands(ctx, i.ID, r.Epoch, r.Serial, now, commandsKept)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// commandsIn says what a report's steps come to: always the synchronisation, and a
// grant or a revocation where accounts were opened or closed.
func commandsIn(steps []wire.Result) []store.Command {
	commands := []store.Command{{Type: syncUsers, Status: commandSuccessful}}
	note := func(kind string, s wire.Result) {
		at := slices.IndexFunc(commands, func(c store.Command) bool { return c.Type == kind })
		if at < 0 {
			at, commands = len(commands), append(commands, store.Command{Type: kind, Status: commandSuccessful})
		}
		if s.Error != "" {
			commands[at].Status = commandFailed
		}
	}
	for _, s := range steps {
		note(syncUsers, s)
		if kind := accessOf(s.What); kind != "" {
			note(kind, s)
		}
	}
	return commands
}

// accessOf is the command that a step belongs to besides the synchronisation, by the
// words with which the agent prints its steps.
func accessOf(step string) string {
	for _, opens := range []string{"create account ", "repair account "} {
		if strings.HasPrefix(step, opens) {
			return grantAccess
		}
	}
	for _, closes := range []string{"drop groups of ", "end sessions of ", "stop lingering of ", "take jobs of ", "lock account ", "remove account "} {
		if strings.HasPrefix(step, closes) {
			return revokeAccess
		}
	}
	return ""
}

// DescribeCommands lists the work of an instance, newest first, or the commands
// named. Until the instance has reported on its stack's present serial there is a
// pending sync_remote_users; one that a newer serial overtakes is skipped, as in the
// original. The newest hundred of an instance are kept.
func (c *ControlPlane) DescribeCommands(ctx context.Context, caller Caller, req DescribeCommandsRequest) (DescribeCommandsResponse, error) {
	out := DescribeCommandsResponse{Commands: []Command{}}
	given := []bool{req.DeploymentId != "", req.InstanceId != "", len(req.CommandIds) > 0}
	if severalGiven(given...) {
		return out, refused("Deployment Id, Instance Id, Command Ids: only one of them can be given")
	}
	if !slices.Contains(given, true) {
		return out, refused("Deployment Id, Instance Id, Command Ids: one of them is required")
	}
	ids, err := parseAll(req.CommandIds, parseRecord("Command Id"))
	if err != nil {
		return out, err
	}
	var commands []store.Command
	switch {
	case len(ids) > 0:
		commands, err = c.commandsNamed(ctx, caller, ids)
	case req.InstanceId != "":
		commands, err = c.commandsOf(ctx, caller, req.InstanceId)
	default: // there are no deployments
		err = c.read(ctx, caller, func(store.View, principal) error { return nil })
	}
	for _, command := range commands {
		out.Commands = append(out.Commands, showCommand(command))
	}
	return out, err
}

const describeCommands = "opsworks:DescribeCommands"

// commandsOf lists the commands of an instance. The pending one is kept as soon as
// somebody has seen it, so that it can be asked for by its id until it is done.
func (c *ControlPlane) commandsOf(ctx context.Context, caller Caller, instance string) ([]store.Command, error) {
	id, err := parseInstance(instance)
	if err != nil {
		return nil, err
	}
	var commands []store.Command
	var pending store.Command
	err = c.read(ctx, caller, func(v store.View, who principal) error {
		i, err := c.instanceFor(ctx, v, who, describeCommands, id)
		if err != nil {
			return err
		}
		if pending, err = c.pending(ctx, v, i); err != nil {
			return err
		}
		commands, err = v.CommandsOf(ctx, id)
		return err
	})
	isPending := func(k store.Command) bool {
		return k.Epoch == pending.Epoch && k.Serial == pending.Serial && k.Type == pending.Type
	}
	if err != nil || slices.ContainsFunc(commands, isPending) {
		return commands, err
	}
	err = c.cfg.Store.Observe(ctx, func(o store.Observation) error {
		if _, err := o.Instance(ctx, id); err != nil {
			return err
		}
		if err := o.PutCommand(ctx, pending); err != nil {
			return err
		}
		commands, err = o.CommandsOf(ctx, id)
		return err
	})
	if errors.Is(err, store.ErrNotFound) { // deregistered in between
		return nil, noInstance(id)
	}
	return commands, err
}

// pending is what an instance has to do until it reports on the present serial.
func (c *ControlPlane) pending(ctx context.Context, v store.View, i store.Instance) (store.Command, error) {
	serial, err := v.Serial(ctx, i.Stack)
	if err != nil {
		return store.Command{}, err
	}
	raised, err := v.RaisedAt(ctx, i.Stack, c.epoch, serial)
	return store.Command{
		ID: newUUID(), Instance: i.ID, Epoch: c.epoch, Serial: serial, Type: syncUsers, Status: commandPending,
		CreatedAt: later(raised, i.CreatedAt),
	}, err
}

func (c *ControlPlane) commandsNamed(ctx context.Context, caller Caller, ids []string) ([]store.Command, error) {
	var commands []store.Command
	err := c.read(ctx, caller, func(v store.View, who principal) error {
		for _, id := range ids {
			command, err := v.Command(ctx, id)
			missing := errors.Is(err, store.ErrNotFound)
			if err != nil && !missing {
				return err
			}
			if err := c.authoriseHidden(ctx, v, who, describeCommands, target{stack: command.Stack}, "*"); err != nil {
				return err
			}
			if missing {
				return &Error{Code: NotFound, Message: "Unable to find command with ID " + id}
			}
			commands = append(commands, command)
		}
		return nil
	})
	return commands, err
}

func showCommand(k store.Command) Command {
	out := Command{
		CommandId: k.ID, InstanceId: k.Instance.String(), CreatedAt: timestamp(k.CreatedAt), Status: k.Status, Type: k.Type,
	}
	if !k.CompletedAt.IsZero() {
		// When the instance began is not known: it reports when it is done.
		out.AcknowledgedAt, out.CompletedAt = timestamp(k.CompletedAt), timestamp(k.CompletedAt)
	}
	switch k.Status {
	case commandSuccessful:
		out.ExitCode = new(int64)
	case commandFailed:
		out.ExitCode = new(int64)
		*out.ExitCode = 1
	}
	return out
}
