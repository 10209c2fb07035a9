package main

import (
	"context"
	"errors"
	"io"
	"io/fs"

	"github.com/spf13/cobra"

	"latchkey/agent"
	"latchkey/agent/cache"
	"latchkey/agent/plan"
	"latchkey/agent/safefile"
	"latchkey/authz/wire"
	"latchkey/cmd/internal/cli"
)

func (p program) sshd() *cobra.Command {
	group := &cobra.Command{
		Use:     "sshd",
		Short:   "Have sshd take the keys of managed accounts from latchkey, or no longer",
		Example: "  latchkey-agent sshd enable",
	}
	enable := &cobra.Command{
		Use:   "enable",
		Short: "Have sshd take the keys of managed accounts from latchkey",
		Long: `enable writes ` + plan.Linux().SSHD + `, has sshd check the whole
configuration, reloads sshd, and proves that sshd uses it and still answers. If not, the
machine gets its old state back. Only members of the group ` + plan.Linux().MarkerGroup + ` are concerned, which
managed accounts are. The login hook has to be in place before: ` + plan.Linux().Hook + `.

An AuthorizedKeysCommand that was there before, such as that of a cloud, is displaced for
the members of that group. With --keep-command the login hook runs it for a key that it
does not know, as its own user latchkey-keys and for at most five seconds. Without the
flag the command is no longer kept. In the stack's other keys modes none is run.`,
		Example: "  latchkey-agent sshd enable\n  latchkey-agent sshd enable --keep-command",
		Args:    cli.Args(),
	}
	keep := enable.Flags().Bool("keep-command", false, "let the hook run the AuthorizedKeysCommand that ours displaces")
	enable.RunE = func(cmd *cobra.Command, _ []string) error { return p.enableSSHD(cmd, *keep) }
	disable := &cobra.Command{
		Use:   "disable",
		Short: "Have sshd take no keys from latchkey any more",
		Long: `disable removes ` + plan.Linux().SSHD + `, and our lines from homes where keys
are there, and reloads sshd. Nobody then logs in by latchkey; sessions that are open go
on, and accounts and sudo rules stay. enable takes it back.`,
		Example: "  latchkey-agent sshd disable",
		Args:    cli.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.changeSSHD(cmd, (*agent.Agent).DisableSSHD)
		},
	}
	return cli.Group(group, enable, disable)
}

// enableSSHD puts the drop-in in, and says what is kept, and as whom it runs.
func (p program) enableSSHD(cmd *cobra.Command, keep bool) error {
	if !keep {
		return p.changeSSHD(cmd, (*agent.Agent).EnableSSHD)
	}
	if err := p.needs(); err != nil {
		return err
	}
	command, user, err := p.machine().Displaced(cmd.Context())
	if err != nil {
		return err
	}
	if command == "" {
		return cli.Hint(errors.New("sshd has no AuthorizedKeysCommand of another: there is nothing to keep"), "latchkey-agent sshd enable")
	}
	if err := plan.CheckDisplaced(command); err != nil {
		return cli.Hint(err, "have sshd ask a script of root's that runs it, with %u, %U, %t, %k and %f as plain words")
	}
	err = p.changeSSHD(cmd, func(a *agent.Agent, ctx context.Context) ([]wire.Result, error) {
		return a.EnableSSHDKeeping(ctx, command)
	})
	if hookUser := plan.Linux().HookUser; err == nil {
		cmd.Println("for a key of a managed account that is not ours, " + cli.Text(command) + " is run as " + hookUser + ", elsewhere as " + cli.Text(user))
	}
	return err
}

type changer func(*agent.Agent, context.Context) ([]wire.Result, error)

func (p program) changeSSHD(cmd *cobra.Command, change changer) error {
	a, err := p.agent(io.Discard)
	if err != nil {
		return err
	}
	results, err := change(a, cmd.Context())
	if err != nil {
		return err
	}
	if len(results) == 0 {
		cmd.Println("nothing to change")
	}
	return printReport(cmd, wire.Report{Steps: results})
}

func (p program) revert() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "revert",
		Short: "Give the machine back: undo everything, remove our accounts, keep their homes",
		Long: `revert undoes everything that the ledger says latchkey-agent made: keys, sudo rules,
sshd drop-in, accounts, groups. Homes are kept and listed. Stop the service first. It
shows the steps and asks before it takes them, and needs no control plane; that one
forgets the machine by latchkey instance deregister.`,
		Example: "  systemctl disable --now latchkey-agent; latchkey-agent revert --yes",
		Args:    cli.Args(),
	}
	yes := cmd.Flags().Bool("yes", false, "do it without asking")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return p.giveBack(cmd, *yes) }
	return cmd
}

func (p program) giveBack(cmd *cobra.Command, yes bool) error {
	if err := askable(cmd, yes); err != nil {
		return err
	}
	if err := p.needs(); err != nil {
		return err
	}
	dir := p.dir()
	release, err := dir.LockRun()
	switch {
	case errors.Is(err, safefile.ErrLocked):
		return cli.Hint(errors.New("the service runs and would make everything again"), "systemctl disable --now latchkey-agent")
	case errors.Is(err, fs.ErrNotExist):
		// A revert that was cut short at its very end may have left an empty folder.
		return errors.Join(errors.New("there is nothing to give back"), dir.Forget())
	case err != nil:
		return err
	}
	defer release()
	a := &agent.Agent{Cache: cache.Open(plan.Linux(), p.files()), Machine: p.machine(), Layout: plan.Linux(), Log: newLog(io.Discard)}
	steps, err := a.RevertPlan(cmd.Context())
	if err != nil {
		return err
	}
	if !yes {
		cmd.PrintErr(steps.String())
		if err := confirm(cmd, "This ends all access that latchkey gave."); err != nil {
			return err
		}
	}
	results, homes, err := a.Revert(cmd.Context())
	printed := printReport(cmd, wire.Report{Steps: results})
	for _, home := range homes {
		cmd.Println("kept " + home)
	}
	return errors.Join(err, printed)
}
