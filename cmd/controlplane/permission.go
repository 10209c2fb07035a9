package main

import (
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"latchkey/authz"
	"latchkey/cmd/internal/cli"
	"latchkey/controlplane"
)

func newPermission() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "permission",
		Short:   "Permissions: what a user may do on a stack",
		Example: "  latchkey permission set --user alice --stack web --ssh",
	}
	conn := connectionFlags(cmd)
	return cli.Group(cmd, permissionSet(conn), permissionList(conn))
}

// permissionFlags are the parts of a permission that set sets.
type permissionFlags struct {
	user, stack, level, expires string
	ssh, sudo, all, restricted  bool
	commands                    []string
}

func permissionSet(conn *connection) *cobra.Command {
	var p permissionFlags
	cmd := &cobra.Command{
		Use:   "set --user USER --stack STACK",
		Short: "Set a user's level, SSH and sudo on a stack; what is left out stays",
		Long: `Set a user's level, SSH and sudo on a stack; what is left out stays. What a flag gives
it takes back with =false: --ssh=false.

--level says what the user may do with the stack in the API:

  deny      nothing, whatever policies allow, and no login to its instances
  iam_only  what policies allow, and no more (the default)
  show      see the stack, besides
  deploy    see it and deploy to it
  manage    everything with it but to clone it: permissions and join tokens too

With --sudo-command, beside --sudo, sudo is limited to the commands given, which replace
those before. Each is the absolute path of a program, and then the arguments it may be run
with, exactly these; without arguments it may be run without any. There are no wildcards.
Limit sudo to programs made for it: a shell, an editor, a pager or an interpreter, and
much else that can start programs or write files, gives all of root away; and so does a
program that the user can change.

With --restricted sshd forwards nothing for the user's keys; logins that are open already
stay as they are. Who has a shell can still run a program that forwards.`,
		Example: `  latchkey permission set --user alice --stack web --ssh --sudo
  latchkey permission set --user bob --stack web --level deny
  latchkey permission set --user alice --stack web --sudo=false
  latchkey permission set --user bob --stack web --ssh --sudo --sudo-command '/usr/bin/systemctl restart nginx'
  latchkey permission set --user carol --stack web --ssh --restricted --expires 8h`,
		Args: cli.Args(),
	}
	f := cmd.Flags()
	f.StringVar(&p.user, "user", "", "the `USER`: a name or an ARN")
	f.StringVar(&p.stack, "stack", "", "the `STACK`: a name or an id")
	f.StringVar(&p.level, "level", "", "`LEVEL`: deny, iam_only, show, deploy or manage")
	f.BoolVar(&p.ssh, "ssh", false, "may log in to the stack's instances")
	f.BoolVar(&p.sudo, "sudo", false, "may become root there; only with --ssh")
	f.StringArrayVar(&p.commands, "sudo-command", nil, "the only `COMMAND` that sudo runs, with its arguments; repeat it for more")
	f.BoolVar(&p.all, "sudo-all", false, "sudo runs every command again")
	f.BoolVar(&p.restricted, "restricted", false, "SSH keys open sessions alone: no forwarding, no tunnels; for logins from then on")
	f.StringVar(&p.expires, "expires", "", "when all of it ends by itself: a `TIME` like 2026-08-01T22:53:42Z, 8h from now, or never")
	cli.Require(cmd, "user", "stack")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		req, err := p.request(f, time.Now())
		if err != nil {
			return err
		}
		c, err := conn.dial()
		if err != nil {
			return err
		}
		if req.IamUserArn, req.StackId, err = c.named(cmd.Context(), p.user, p.stack); err != nil {
			return err
		}
		return c.call(cmd.Context(), "SetPermission", req, nil)
	}
	return cmd
}

// request holds what was given, without the user and the stack.
func (p *permissionFlags) request(f *pflag.FlagSet, now time.Time) (req controlplane.SetPermissionRequest, err error) {
	if f.Changed("level") {
		if _, err := authz.ParseLevel(p.level); err != nil {
			return req, cli.Usage("", "--level: %q is none of deny, iam_only, show, deploy, manage", p.level)
		}
		req.Level = &p.level
	}
	if f.Changed("ssh") {
		req.AllowSsh = &p.ssh
	}
	if f.Changed("sudo") {
		req.AllowSudo = &p.sudo
	}
	switch {
	case p.all && f.Changed("sudo-command"):
		return req, cli.Usage("give one of them", "--sudo-all and --sudo-command exclude each other")
	case p.all:
		req.SudoCommands = &[]string{}
	case f.Changed("sudo-command"):
		for _, text := range p.commands {
			if _, err := authz.ParseCommand(text); err != nil {
				return req, cli.Usage("it looks like '/usr/bin/systemctl restart nginx'", "--sudo-command %q: %v", text, err)
			}
		}
		if !p.sudo {
			return req, cli.Usage("add --sudo", "--sudo-command limits sudo and does not give it")
		}
		req.SudoCommands = &p.commands
	}
	if f.Changed("restricted") {
		req.Restricted = &p.restricted
	}
	if f.Changed("expires") {
		end, err := parseEnd(p.expires, now)
		if err != nil {
			return req, err
		}
		req.ExpiresAt = &end
	}
	if req == (controlplane.SetPermissionRequest{}) {
		return req, cli.Usage("give --level, --ssh, --sudo, --sudo-command, --restricted or --expires", "nothing is to be set")
	}
	return req, nil
}

// parseEnd turns what --expires was given into the API's form.
func parseEnd(given string, now time.Time) (string, error) {
	if given == "never" {
		return "", nil
	}
	if d, err := time.ParseDuration(given); err == nil && d > 0 {
		return now.Add(d).UTC().Format(time.RFC3339), nil
	}
	if t, err := time.Parse(time.RFC3339, given); err == nil {
		return t.UTC().Format(time.RFC3339), nil
	}
	return "", cli.Usage("it looks like 2026-08-01T22:53:42Z, 90m, 8h or never", "--expires: %q is no time to come", given)
}

func permissionList(conn *connection) *cobra.Command {
	var user, stack string
	cmd := &cobra.Command{
		Use:     "list [--user USER] [--stack STACK]",
		Short:   "List permissions of a user, of a stack, or of both",
		Example: "  latchkey permission list --stack web",
		Args:    cli.Args(),
	}
	cmd.Flags().StringVar(&user, "user", "", "the `USER`: a name or an ARN")
	cmd.Flags().StringVar(&stack, "stack", "", "the `STACK`: a name or an id")
	asJSON := cli.JSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if user == "" && stack == "" {
			return cli.Usage("give --user, --stack or both", "whose permissions is not said")
		}
		c, err := conn.dial()
		if err != nil {
			return err
		}
		names, err := c.stackNames(cmd.Context())
		if err != nil {
			return err
		}
		arn, id, err := c.named(cmd.Context(), user, stack)
		if err != nil {
			return err
		}
		var resp controlplane.DescribePermissionsResponse
		if err := c.call(cmd.Context(), "DescribePermissions", controlplane.DescribePermissionsRequest{IamUserArn: arn, StackId: id}, &resp); err != nil {
			return err
		}
		return show(cmd, *asJSON, resp, []string{"STACK", "USER", "LEVEL", "SSH", "SUDO", "EXPIRES"}, permissionRows(resp.Permissions, names))
	}
	return cmd
}

func permissionRows(all []controlplane.Permission, names map[string]string) (rows [][]string) {
	for _, p := range all {
		rows = append(rows, []string{first(names[p.StackId], p.StackId), p.IamUserArn, p.Level, sshText(p.AllowSsh, p.Restricted), sudoText(p.AllowSudo, p.SudoCommands), p.ExpiresAt})
	}
	return rows
}

// sshText says in a table whether there is SSH, and of which kind.
func sshText(has, restricted bool) string {
	if has && restricted {
		return "restricted"
	}
	return yes(has)
}

// sudoText says in a table whether there is sudo, and for how much.
func sudoText(has bool, commands []string) string {
	switch {
	case !has || len(commands) == 0:
		return yes(has)
	case len(commands) == 1:
		return "1 command"
	}
	return strconv.Itoa(len(commands)) + " commands"
}
