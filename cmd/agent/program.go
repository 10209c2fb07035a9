package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"latchkey/agent"
	"latchkey/agent/cache"
	"latchkey/agent/client"
	"latchkey/agent/host"
	"latchkey/agent/plan"
	"latchkey/agent/safefile"
	"latchkey/cmd/internal/cli"
)

// program wires the agent's parts for one kind of system.
type program struct {
	system string
	point  func(string)    // nil but in a test of crashes
	tell   func(plan.Step) // nil but where a person waits for a pass
}

func (p program) files() safefile.Writer { return safefile.Writer{Point: p.point} }

func (p program) dir() *cache.Dir { return cache.Open(plan.Linux(), p.files()) }

// needs refuses early what could not end well: another system, another user.
func (p program) needs() error {
	if p.system != "linux" {
		return fmt.Errorf("the agent does not manage %s machines yet", p.system)
	}
	if os.Geteuid() != 0 {
		return cli.Hint(errors.New("only root can look after accounts"), "sudo latchkey-agent …")
	}
	return nil
}

// agent returns an agent for the enrolled machine, writing its log to w: only run
// keeps a log, the other commands print what they did.
func (p program) agent(w io.Writer) (*agent.Agent, error) {
	if err := p.needs(); err != nil {
		return nil, err
	}
	dir := p.dir()
	identity, err := dir.Identity()
	if errors.Is(err, fs.ErrNotExist) || err == nil && identity.Instance.IsZero() {
		return nil, cli.Hint(errors.New("this machine is not enrolled"),
			"latchkey-agent enroll --server https://HOST:PORT --token-file FILE")
	}
	if err != nil {
		return nil, err
	}
	log := newLog(w)
	source, err := newSource(identity, log)
	if err != nil {
		return nil, err
	}
	machine, beside := p.machine(), p.machine() // each for one goroutine
	return &agent.Agent{
		Identity: identity, Cache: dir, Source: source, Machine: machine, ProveKeys: machine.ProveKeys, Locals: machine.Locals,
		Logins: beside.Logins, Foreign: beside.Foreign, ForeignKeys: machine.ForeignKeys, Layout: plan.Linux(),
		Facts: p.facts(identity.Server), Log: log, Interval: defaultInterval, Now: time.Now, Built: built(),
	}, nil
}

// built is the time of the commit that the program was made from, zero when the
// program does not know it.
func built() time.Time {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return time.Time{}
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.time" {
			when, _ := time.Parse(time.RFC3339, s.Value) // zero when it is no time
			return when
		}
	}
	return time.Time{}
}

func (p program) machine() *host.Host {
	return &host.Host{Layout: plan.Linux(), Files: p.files(), Point: p.point, Tell: p.tell}
}

func newSource(i cache.Identity, log *slog.Logger) (*client.Client, error) {
	pin, err := i.ServerPin()
	if err != nil {
		return nil, err
	}
	key, err := i.Key()
	if err != nil {
		return nil, err
	}
	return client.New(i.Server, pin, i.Instance, key, log)
}

func newLog(w io.Writer) *slog.Logger {
	drop := func(groups []string, a slog.Attr) slog.Attr {
		// Under systemd the journal has the time already.
		if len(groups) == 0 && a.Key == slog.TimeKey && os.Getenv("JOURNAL_STREAM") != "" {
			return slog.Attr{}
		}
		return a
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: drop}))
}

// askable refuses where nobody can be asked and no yes was given.
func askable(cmd *cobra.Command, yes bool) error {
	if yes || cli.IsTerminal(cmd.InOrStdin()) {
		return nil
	}
	return cli.Usage("give --yes to do it unasked", "%s needs --yes when it is not on a terminal", cmd.CommandPath())
}

// confirm asks for a yes.
func confirm(cmd *cobra.Command, question string) error {
	cmd.PrintErrf("%s Type yes: ", question)
	var answer string
	if _, err := fmt.Fscanln(cmd.InOrStdin(), &answer); err != nil || answer != "yes" {
		return errors.New("nothing was changed")
	}
	return nil
}
