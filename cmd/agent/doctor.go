package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"latchkey/agent"
	"latchkey/agent/doctor"
	"latchkey/agent/plan"
	"latchkey/agent/safefile"
	"latchkey/cmd/internal/cli"
)

// diagnosis is what doctor shows.
type diagnosis struct {
	Worst    doctor.Severity  `json:"worst"`
	Findings []doctor.Finding `json:"findings"`
	Fixed    []string         `json:"fixed"`     // with --fix: what was done before the findings
	NotFixed []string         `json:"not_fixed"` // with --fix: what was tried in vain
}

func (p program) doctor() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what is wrong with this machine, why, and what to do",
		Long: `doctor looks at everything that logins through latchkey stand on: the agent and its
folder, clock and disk, accounts, sshd, sudo, the login hook. It changes nothing and
asks nobody but this machine. The exit status is 1 when there is a problem; a warning
is none.

--fix repairs what is safe to repair and ours: owner and mode of our files, what a
killed process left, one pass over the machine with the stored bundle, and the
service. What is not ours it only tells.`,
		Example: "  latchkey-agent doctor\n  latchkey-agent doctor --json\n  latchkey-agent doctor --fix",
		Args:    cli.Args(),
	}
	fix := cmd.Flags().Bool("fix", false, "repair what is safe to repair, then look again")
	asJSON := cli.JSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := p.needs(); err != nil {
			return err
		}
		facts, a := p.examine(cmd.Context())
		d := diagnosis{Fixed: []string{}, NotFixed: []string{}}
		if *fix {
			r := repair{p: p, a: a, d: &d}
			r.all(cmd.Context(), facts)
			facts, _ = p.examine(cmd.Context())
		}
		d.Findings = doctor.Diagnose(facts)
		d.Worst = doctor.Worst(d.Findings)
		if err := printDiagnosis(cmd, d, *asJSON); err != nil {
			return err
		}
		if d.Worst == doctor.Problem || len(d.NotFixed) > 0 {
			return cli.Exit(1)
		}
		return nil
	}
	return cmd
}

// examine looks at everything. The agent it returns works from what is stored.
func (p program) examine(ctx context.Context) (doctor.Facts, *agent.Agent) {
	dir, machine := p.dir(), p.machine()
	identity, err := dir.Identity()
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	a := &agent.Agent{Identity: identity, Cache: dir, Machine: machine, Layout: plan.Linux(), Facts: p.facts(identity.Server),
		Log: newLog(io.Discard), Now: time.Now}
	own, question := a.Examine(ctx)
	own.IdentityErr = err
	return doctor.Facts{Now: time.Now(), Built: built(), Layout: a.Layout, Agent: own, Host: machine.Examine(ctx, question)}, a
}

func printDiagnosis(cmd *cobra.Command, d diagnosis, asJSON bool) error {
	if asJSON {
		return cli.JSON(cmd.OutOrStdout(), d)
	}
	for _, what := range d.Fixed {
		cmd.Println("done: " + cli.Text(what))
	}
	for _, what := range d.NotFixed {
		cmd.Println("not done: " + cli.Text(what))
	}
	count := map[doctor.Severity]int{}
	for _, f := range d.Findings {
		count[f.Severity]++
		cmd.Printf("%-7s  %-14s  %s\n", f.Severity, f.Code, cli.Text(f.Fact))
		if f.Fix != "" {
			cmd.Printf("%-25s  fix: %s\n", "", cli.Text(f.Fix))
		}
	}
	cmd.Printf("%d problems, %d warnings\n", count[doctor.Problem], count[doctor.Warning])
	return nil
}

// repair is one run of --fix.
type repair struct {
	p program
	a *agent.Agent
	d *diagnosis
}

func (r repair) result(what string, err error) {
	if err != nil {
		r.d.NotFixed = append(r.d.NotFixed, what+": "+err.Error())
		return
	}
	r.d.Fixed = append(r.d.Fixed, what)
}

// all repairs our own folder first, because a pass works in it. A machine that is
// not enrolled has nothing of ours.
func (r repair) all(ctx context.Context, f doctor.Facts) {
	if !f.Agent.Enrolled {
		return
	}
	for _, file := range f.Host.Files {
		if file.Ours && !file.Odd {
			r.own(file, f.Layout)
		}
	}
	r.pass(ctx, f)
	for _, u := range f.Host.Units {
		if u.Name == doctor.Unit && u.Load == "loaded" && (u.Active != "active" || u.File == "disabled") {
			r.result("enable and start the service", r.p.machine().EnableService(ctx))
		}
	}
}

// own gives the agent's folders and files their owner and mode; what else is ours a
// pass looks after. A file that others may have written is not made root's: what it
// says may be theirs.
func (r repair) own(f doctor.File, l plan.Layout) {
	want := map[bool]uint32{true: 0o700, false: 0o600}[f.Folder]
	if f.Path == l.StateDir {
		want = 0o711
	} else if !f.Private {
		return
	}
	if f.UID == 0 && f.GID == 0 && f.Mode == want || !f.Folder && (f.UID != 0 || f.Mode&0o022 != 0) {
		return
	}
	attr := safefile.Attr{Mode: fs.FileMode(want)}
	what := fmt.Sprintf("give %s to root with mode %#o", f.Path, want)
	if f.Folder {
		r.result(what, r.p.files().Mkdir(f.Path, attr))
		return
	}
	const most = 64 << 20
	content, _, err := safefile.Read(f.Path, most)
	if err == nil {
		_, err = r.p.files().Replace(f.Path, content, attr, nil)
	}
	r.result(what, err)
}

// pass removes what is left over and makes one pass with the stored bundle.
func (r repair) pass(ctx context.Context, f doctor.Facts) {
	release, err := r.a.Cache.Lock()
	if err != nil {
		r.result("wait for the right to change the machine", err)
		return
	}
	defer func() {
		if err := release(); err != nil {
			r.result("give the lock back", err)
		}
	}()
	if len(f.Host.Leftovers) > 0 {
		err := r.p.machine().Clean()
		for _, path := range f.Host.Leftovers {
			r.result("remove "+path, err)
		}
	}
	if !r.a.Ready() || len(f.Agent.Pending) == 0 {
		return
	}
	report, err := r.a.LockedPass(ctx)
	if err != nil {
		r.result("make a pass", err)
	}
	for _, s := range report.Steps {
		var undone error
		if s.Error != "" {
			undone = errors.New(s.Error)
		}
		r.result(s.What, undone)
	}
}
