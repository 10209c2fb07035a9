package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"latchkey/agent"
	"latchkey/agent/cache"
	"latchkey/agent/host"
	"latchkey/authz"
	"latchkey/authz/name"
	"latchkey/cmd/internal/cli"
)

// state is what status shows.
type state struct {
	Instance  string        `json:"instance"`
	Stack     string        `json:"stack"`
	StackName string        `json:"stack_name"`
	Server    string        `json:"server"`
	Epoch     int64         `json:"epoch"`
	Serial    int64         `json:"serial"`
	SSHD      bool          `json:"sshd"`
	Accounts  []account     `json:"accounts"`
	Frozen    *cache.Freeze `json:"frozen,omitempty"` // nil when changes are made
	Last      *cache.Status `json:"last,omitempty"`   // nil before the first pass
}

type account struct {
	Name  string `json:"name"`
	UID   string `json:"uid"`
	State string `json:"state"`
	// LastLogin is when somebody was last seen to log in, RFC 3339; empty: never.
	LastLogin string `json:"last_login"`
}

func (p program) status() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say who this instance is and what the last pass came to",
		Long: `status prints what is stored on this machine, and asks nobody: the instance and its
stack, the newest bundle, whether sshd takes keys from latchkey, when the agent last
looked at the machine and last had an answer, what it could not do and whom it refused,
and each managed account with its last login. Times are in UTC.`,
		Example: "  latchkey-agent status --json",
		Args:    cli.Args(),
	}
	asJSON := cli.JSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		a, err := p.agent(io.Discard)
		if err != nil {
			return err
		}
		s, err := stateOf(a)
		if err != nil {
			return err
		}
		if *asJSON {
			return cli.JSON(cmd.OutOrStdout(), s)
		}
		return printState(cmd, s)
	}
	return cmd
}

func stateOf(a *agent.Agent) (state, error) {
	i := a.Identity
	s := state{Instance: i.Instance.String(), Stack: i.Stack.String(), StackName: i.StackName, Server: i.Server}
	seen, err := a.Cache.Seen()
	if err != nil {
		return s, err
	}
	s.Epoch, s.Serial = seen.Epoch, seen.Serial
	owned, err := a.Cache.Ledger()
	if err != nil {
		return s, err
	}
	uses, err := a.Cache.Uses()
	if err != nil {
		return s, err
	}
	last := map[string]string{}
	for _, u := range uses.Seen {
		last[u.Name] = max(last[u.Name], u.At) // of one form and zone
	}
	s.SSHD, s.Accounts = owned.SSHD, []account{}
	for u, o := range owned.Accounts {
		s.Accounts = append(s.Accounts, account{u.String(), o.UID.String(), string(o.State), last[u.String()]})
	}
	slices.SortFunc(s.Accounts, func(a, b account) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	if f, found := a.Cache.Frozen(); found {
		s.Frozen = &f
	}
	pass, err := a.Cache.Status()
	switch {
	case err == nil:
		s.Last = &pass
	case !errors.Is(err, fs.ErrNotExist):
		return s, err
	}
	return s, nil
}

func printState(cmd *cobra.Command, s state) error {
	rows := [][]string{
		{"instance", s.Instance},
		{"stack", s.StackName + " (" + s.Stack + ")"},
		{"control plane", s.Server},
		{"newest bundle", "epoch " + strconv.FormatInt(s.Epoch, 10) + ", serial " + strconv.FormatInt(s.Serial, 10)},
		{"sshd drop-in", map[bool]string{true: "in", false: "out: latchkey-agent sshd enable"}[s.SSHD]},
	}
	if s.Frozen != nil {
		rows = append(rows, []string{"frozen", "since " + s.Frozen.Since + ": " + s.Frozen.Reason})
	}
	if s.Last != nil {
		rows = append(rows, []string{"last pass", s.Last.Pass}, []string{"last answer", s.Last.Contact},
			[]string{"trouble", s.Last.Trouble}, []string{"break-glass", orNobodyLooks(s.Last.BreakGlass)})
	}
	if err := cli.Table(cmd.OutOrStdout(), []string{"WHAT", "VALUE"}, rows); err != nil {
		return err
	}
	rows = nil
	for _, a := range s.Accounts {
		rows = append(rows, []string{a.Name, a.UID, a.State, a.LastLogin})
	}
	cmd.Println()
	if err := cli.Table(cmd.OutOrStdout(), []string{"ACCOUNT", "UID", "STATE", "LAST LOGIN"}, rows); err != nil || s.Last == nil {
		return err
	}
	for _, r := range s.Last.Report.Refused {
		cmd.Printf("refused %q: %s\n", r.What, cli.Text(r.Error))
	}
	for _, r := range s.Last.Report.Steps {
		if r.Error != "" {
			cmd.Printf("not done: %s\n", cli.Text(r.Error))
		}
	}
	return nil
}

// orNobodyLooks says it where no account for emergencies is looked at.
func orNobodyLooks(text string) string {
	if text == "" {
		return "warning: no account for emergencies is looked at (run --break-glass ACCOUNT)"
	}
	return text
}

func (p program) explain() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain USER",
		Short: "Say why this machine lets a user in, or does not",
		Long: `explain says from the stored bundle and from what it sees on the machine whether and
why the account USER may log in here, and what else lets it in or gives it more: keys,
passwords, sudo rules and groups that are not ours. It asks nobody. USER may be an
account that is not ours, such as root.`,
		Example: "  latchkey-agent explain alice",
		Args:    cli.Args("USER"),
	}
	asJSON := cli.JSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		e, err := p.explained(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if *asJSON {
			return cli.JSON(cmd.OutOrStdout(), e)
		}
		for _, fact := range e.Facts {
			cmd.Println(cli.Text(fact))
		}
		for _, way := range e.Beside {
			cmd.Println("beside us: " + cli.Text(way))
		}
		return nil
	}
	return cmd
}

// explanation is what we give an account, and what else it has.
type explanation struct {
	User string `json:"user"`
	agent.Explanation
	Beside []string `json:"beside"`
}

func (p program) explained(ctx context.Context, account string) (e explanation, err error) {
	e.User = account
	local, err := host.ParseLocalName(account)
	user, reason := name.ParseUsername(account)
	if err != nil {
		return e, cli.Usage("a login name, such as alice", "user %q: %s", account, reason)
	}
	if reason == nil {
		if e.Explanation, err = p.explainedByUs(ctx, user); err != nil {
			return e, err
		}
	} else {
		e.Explanation = agent.Explanation{Facts: []string{"latchkey gives nobody this name: " + reason.Error()}, Pending: []string{}}
	}
	if err := p.needs(); err != nil {
		return e, err
	}
	owned, err := p.dir().Ledger()
	if err != nil {
		return e, err
	}
	e.Beside, err = p.machine().Ways(ctx, local, owned, time.Now())
	return e, err
}

func (p program) explainedByUs(ctx context.Context, user authz.Username) (agent.Explanation, error) {
	a, err := p.agent(io.Discard)
	if err != nil {
		return agent.Explanation{}, err
	}
	if err := a.Load(); err != nil && !a.Ready() {
		return agent.Explanation{}, err
	}
	return a.Explain(ctx, user)
}
