package main

import (
	"errors"

	"github.com/spf13/cobra"

	"latchkey/agent"
	"latchkey/agent/host"
	"latchkey/cmd/internal/cli"
)

// fromOpsWorks is the one value of --from.
const fromOpsWorks = "opsworks"

func (p program) adopt() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "adopt [NAME...]",
		Short: "Take over accounts that are on this machine already",
		Long: `adopt takes over accounts of this machine that the stack lets people in by under the
very same name and uid, and no other account is ever taken over. Without --yes it only
prints which ones it would take, what would then change, and why it would not take the
others; the exit status is then 2 when there is something to do and 0 when there is
nothing. --from opsworks means every account whose primary group is opsworks, and lists
what else OpsWorks left that lets people in; nothing of that is taken away.

First give the control plane the people with the uids they have here (latchkey import
users) and the stack their permissions. An adopted account keeps its home, and is never
removed: revert gives it back as it was, and when its access ends it is closed.`,
		Example: "  latchkey-agent adopt alice bob\n  latchkey-agent adopt --from opsworks --yes",
		Args:    cli.Args("[NAME...]"),
	}
	from := cmd.Flags().String("from", "", "`opsworks`: every account that OpsWorks made")
	yes := cmd.Flags().Bool("yes", false, "take them over; without, only show what would be done")
	asJSON := cli.JSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		switch {
		case *from != "" && *from != fromOpsWorks:
			return cli.Usage("--from opsworks", "--from: %q is not known", *from)
		case *from == "" && len(names) == 0:
			return cli.Usage("latchkey-agent adopt NAME..., or --from opsworks", "latchkey-agent adopt needs a NAME")
		}
		return p.takeOver(cmd, names, *from, *yes, *asJSON)
	}
	return cmd
}

// adoption is what adopt prints.
type adoption struct {
	agent.Adoption
	Behind []host.Leftover `json:"left_behind"`
}

func (p program) takeOver(cmd *cobra.Command, names []string, from string, yes, asJSON bool) error {
	a, err := p.ready(cmd, false)
	if err != nil {
		return err
	}
	group := ""
	if from == fromOpsWorks {
		group = host.OpsWorksGroup
	}
	out := adoption{Behind: []host.Leftover{}}
	if !yes {
		if out.Adoption, err = a.PlanAdoption(cmd.Context(), names, group); err != nil {
			return err
		}
		if err := p.printAdoption(cmd, &out, from, asJSON); err != nil {
			return err
		}
		if len(out.Take) == 0 {
			return nil
		}
		return cli.Exit(changesPlanned)
	}
	adopted, report, err := a.Adopt(cmd.Context(), names, group)
	if err != nil {
		return err
	}
	out.Adoption = adopted
	if err := p.printAdoption(cmd, &out, from, asJSON); err != nil {
		return err
	}
	if len(out.Take) > 0 {
		if err := a.Source.Report(cmd.Context(), report); err != nil {
			cmd.PrintErrf("latchkey-agent: the control plane was not told: %s\n", cli.Text(err.Error()))
		}
	}
	for _, s := range report.Steps {
		if s.Error != "" {
			cmd.PrintErrf("not done: %s\n", cli.Text(s.Error))
			err = cli.Hint(errors.New("not everything was done"), "latchkey-agent status")
		}
	}
	if err == nil && len(out.Refused) > 0 && from == "" {
		err = errors.New("not every account named was taken over")
	}
	return err
}

func (p program) printAdoption(cmd *cobra.Command, out *adoption, from string, asJSON bool) error {
	if from == fromOpsWorks {
		owned, err := p.dir().Ledger()
		if err != nil {
			return err
		}
		if out.Behind, err = p.machine().Leftovers(cmd.Context(), owned); err != nil {
			return err
		}
	}
	if asJSON {
		return cli.JSON(cmd.OutOrStdout(), out)
	}
	for _, t := range out.Take {
		cmd.Printf("adopt account %s (uid %s)\n", t.Name, t.UID)
	}
	for _, s := range out.Steps {
		cmd.Println(cli.Text(s))
	}
	for _, r := range out.Refused {
		cmd.Printf("refused %q: %s\n", r.Name, cli.Text(r.Reason))
	}
	for _, l := range out.Left {
		cmd.Printf("left alone %q: %s\n", l.Name, cli.Text(l.Reason))
	}
	for _, b := range out.Behind {
		cmd.Printf("left behind: %s, %s: %s\n", cli.Text(b.What), cli.Text(b.Where), cli.Text(b.Do))
	}
	for _, n := range out.Notes {
		cmd.Println("note: " + cli.Text(n))
	}
	return nil
}
