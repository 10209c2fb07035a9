package main

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/spf13/cobra"

	"latchkey/agent"
	"latchkey/agent/host"
	"latchkey/agent/plan"
	"latchkey/agent/safefile"
	"latchkey/authz/name"
	"latchkey/authz/wire"
	"latchkey/cmd/internal/cli"
)

// changesPlanned is plan's exit status when there is something to do.
const changesPlanned = 2

// How often run looks at the machine without news.
const (
	defaultInterval = 30 * time.Second
	minInterval     = time.Second
	maxInterval     = time.Hour
)

func (p program) run() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Keep this machine as its stack says (what the service runs)",
		Long: `run waits for news from the control plane and for changes on this machine, makes a pass
over the machine at each and at the interval, and reports. It runs until it gets an
interrupt or SIGTERM, one on a machine, and writes its log to standard error. Logins do
not need it: it may stop at any time.

An account for emergencies is one that latchkey does not manage, by which somebody gets in
when all else fails. run looks whether it still would, and says so in status, in the log
and to the control plane.`,
		Example: "  latchkey-agent run --interval 30s",
		Args:    cli.Args(),
	}
	interval := cmd.Flags().Duration("interval", defaultInterval, "`TIME` from look to look when there is no news: 1s to 1h")
	breakGlass := cmd.Flags().String("break-glass", "", "the local `ACCOUNT` for emergencies, looked at daily and never changed")
	cli.Settings(cmd, "interval", "break-glass")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *interval < minInterval || *interval > maxInterval {
			return cli.Usage("--interval 30s", "interval %s is not between %s and %s", *interval, minInterval, maxInterval)
		}
		a, err := p.agent(cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		a.Interval = *interval
		if a.BreakGlass, err = p.breakGlass(*breakGlass); err != nil {
			return err
		}
		release, err := a.Cache.LockRun()
		if errors.Is(err, safefile.ErrLocked) {
			return cli.Hint(errors.New("another latchkey-agent runs on this machine"), "latchkey-agent status")
		}
		if err != nil {
			return err
		}
		defer release()
		homes, changed, err := p.machine().WatchHomes(cmd.Context())
		if err != nil {
			a.Log.Warn("changes of keys in homes are seen at the interval alone", "reason", err)
		}
		a.Homes = homes
		if a.Wake, err = agent.Watch(cmd.Context(), a.Layout, changed, a.Log); err != nil {
			a.Log.Warn("changes of files are seen at the interval alone", "reason", err)
		}
		return a.Run(cmd.Context())
	}
	return cmd
}

// breakGlass returns what looks at the account for emergencies, nil without a name.
func (p program) breakGlass(account string) (func(context.Context, plan.Ledger) error, error) {
	if account == "" {
		return nil, nil
	}
	user, err := host.ParseLocalName(account)
	if err != nil {
		return nil, cli.Usage("--break-glass ACCOUNT, the name of an account of this machine", "%s", err)
	}
	machine := p.machine()
	return func(ctx context.Context, owned plan.Ledger) error {
		return machine.BreakGlass(ctx, user, owned, time.Now())
	}, nil
}

// planned is what plan shows as JSON.
type planned struct {
	Steps   []string        `json:"steps"`
	Refused []agent.NotOurs `json:"refused"` // who is not set up, or not in full
	Frozen  string          `json:"frozen"`  // why nothing of this is done; empty: apply does it
}

func (p program) plan() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Print what apply would do",
		Long: `plan looks at the machine and prints, a step a line, what apply would do with the
newest bundle. It changes nothing. The exit status is 0 when there is nothing to do, 2
when there is, and 1 when that was not found out.`,
		Example: "  latchkey-agent plan\n  latchkey-agent plan --json",
		Args:    cli.Args(),
	}
	asJSON := cli.JSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		a, err := p.ready(cmd, false)
		if err != nil {
			return err
		}
		steps, err := a.Plan(cmd.Context())
		if err != nil {
			return err
		}
		if err := printPlan(cmd, steps, a.Frozen(), *asJSON); err != nil || steps.Empty() {
			return err
		}
		return cli.Exit(changesPlanned)
	}
	return cmd
}

func printPlan(cmd *cobra.Command, steps plan.Plan, frozen error, asJSON bool) error {
	if !asJSON {
		if frozen != nil {
			cmd.PrintErrf("latchkey-agent: nothing of this is done: %s\n", cli.Text(frozen.Error()))
		}
		cmd.Print(steps.String())
		return nil
	}
	out := planned{Steps: []string{}, Refused: []agent.NotOurs{}}
	for _, s := range steps.Steps {
		out.Steps = append(out.Steps, s.String())
	}
	for _, r := range steps.Refused {
		n := agent.NotOurs{Name: r.Name, Reason: r.Reason.Error()}
		var why *name.Refusal
		if errors.As(r.Reason, &why) {
			n.Code = why.Code
		}
		out.Refused = append(out.Refused, n)
	}
	if frozen != nil {
		out.Frozen = frozen.Error()
	}
	return cli.JSON(cmd.OutOrStdout(), out)
}

func (p program) apply() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Make the machine as its stack says, once",
		Long: `apply asks the control plane for the newest bundle, or takes the stored one when it
does not answer, makes one pass over the machine and stops.

A bundle that takes access from many users at once without confirming it is held:
the machine stays as it is. --take-removals takes such a bundle.`,
		Example: "  latchkey-agent apply\n  latchkey-agent apply --take-removals",
		Args:    cli.Args(),
	}
	take := cmd.Flags().Bool("take-removals", false, "take the newest bundle whatever it removes")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		progress := cli.NewProgress(cmd.ErrOrStderr())
		defer progress.Done()
		p.tell = func(s plan.Step) { progress.Step("%s", s) }
		a, err := p.ready(cmd, *take)
		if err != nil {
			return err
		}
		report, err := a.Pass(cmd.Context())
		progress.Done()
		if err != nil {
			return err
		}
		if err := a.Send(cmd.Context(), report); err != nil {
			cmd.PrintErrf("latchkey-agent: the control plane was not told: %s\n", cli.Text(err.Error()))
		}
		return printReport(cmd, report)
	}
	return cmd
}

// ready returns an agent that holds the newest bundle it can get.
func (p program) ready(cmd *cobra.Command, takeRemovals bool) (*agent.Agent, error) {
	a, err := p.agent(io.Discard)
	if err != nil {
		return nil, err
	}
	a.TakeRemovals = takeRemovals
	loadErr := a.Load()
	if err := a.Fetch(cmd.Context()); err != nil {
		cmd.PrintErrf("latchkey-agent: going on with the stored bundle: %s\n", cli.Text(err.Error()))
	}
	if !a.Ready() {
		return nil, errors.Join(agent.ErrNoBundle, loadErr)
	}
	return a, nil
}

// printReport prints what was done and returns an error when not all was.
func printReport(cmd *cobra.Command, report wire.Report) error {
	failed := 0
	for _, s := range report.Steps {
		if s.Error != "" {
			failed++
			cmd.PrintErrf("not done: %s\n", cli.Text(s.Error))
			continue
		}
		cmd.Println(cli.Text(s.What))
	}
	for _, r := range report.Refused {
		cmd.PrintErrf("refused %q: %s\n", r.What, cli.Text(r.Error))
	}
	if failed > 0 {
		return cli.Hint(errors.New("not everything was done"), "latchkey-agent status")
	}
	return nil
}
