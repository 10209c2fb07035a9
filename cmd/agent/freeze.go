package main

import (
	"github.com/spf13/cobra"

	"latchkey/agent/plan"
	"latchkey/cmd/internal/cli"
)

func (p program) freeze() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "freeze",
		Short: "Change nothing on this machine until unfreeze",
		Long: `freeze writes ` + plan.Linux().Freeze + `. While that file is there the agent takes no step,
also after a restart; it goes on fetching what its stack says. Logins go on as they
are, and access that has an end still ends. sshd disable and revert still work. A file
that is put there by other means does the same; its first line is the reason.`,
		Example: "  latchkey-agent freeze --reason 'change 4711, ask alice'",
		Args:    cli.Args(),
	}
	reason := cmd.Flags().String("reason", "", "`TEXT` that says why, for status and for the control plane")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := p.needs(); err != nil {
			return err
		}
		if err := p.dir().Freeze(*reason); err != nil {
			return err
		}
		cmd.Println("frozen: latchkey-agent unfreeze lets changes be made again")
		return nil
	}
	return cmd
}

func (p program) unfreeze() *cobra.Command {
	return &cobra.Command{
		Use:     "unfreeze",
		Short:   "Let changes be made again",
		Long:    `unfreeze removes ` + plan.Linux().Freeze + `. The service then does what has waited.`,
		Example: "  latchkey-agent unfreeze",
		Args:    cli.Args(),
		RunE: func(*cobra.Command, []string) error {
			if err := p.needs(); err != nil {
				return err
			}
			return p.dir().Unfreeze()
		},
	}
}
