package agent

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"latchkey/agent/cache"
	"latchkey/agent/plan"
	"latchkey/authz"
	"latchkey/authz/wire"
)

// finish completes a report with what stands apart from the steps of the pass, and stores
// it as the status.
func (a *Agent) finish(report wire.Report, err error) (wire.Report, error) {
	report.At = wire.FormatTime(a.Now())
	report.Refused = append(report.Refused, refusals(a.contest.refused(time.Now()))...)
	if _, why := a.stale(); why != nil {
		report.Refused = append(report.Refused, result("control plane", why))
	}
	if a.clock.wrong != nil {
		report.Refused = append(report.Refused, result("clock", a.clock.wrong))
	}
	if a.held != nil {
		report.Refused = append(report.Refused, result("bundle "+strconv.FormatInt(a.held.Serial, 10), ErrHeld))
	}
	if a.breaker.aside {
		report.Refused = append(report.Refused, a.asideResult())
	}
	if a.untrue != nil {
		report.Refused = append(report.Refused, result("login hook", a.untrue))
	}
	if a.glass.wrong != nil {
		report.Refused = append(report.Refused, result("break-glass account", a.glass.wrong))
	}
	status := cache.Status{BreakGlass: a.glass.text, Pass: report.At, Report: report}
	if !a.clock.seen.IsZero() {
		status.Seen = wire.FormatTime(a.clock.seen)
	}
	if !a.contact.IsZero() {
		status.Contact = wire.FormatTime(a.contact)
	}
	if a.trouble != nil {
		status.Trouble = a.trouble.Error()
	}
	return report, errors.Join(err, a.Cache.SaveStatus(status))
}

// refusals lists who was left out. The names are as they came, so they may be
// anything: what is longer than any name is cut, or one user could make the
// report too long to be taken.
func refusals(all []plan.Refused) []wire.Result {
	const most = 64
	out := []wire.Result{}
	for _, r := range all {
		what := r.Name
		if len(what) > most {
			what = strings.ToValidUTF8(what[:most], "") + "…"
		}
		out = append(out, result(what, r.Reason))
	}
	return out
}

// withUndone adds the steps that are still to do after the last round. One that
// was done and has to be done again did not last: that is no success.
func withUndone(steps []wire.Result, p plan.Plan) []wire.Result {
	var undone []wire.Result
	for _, s := range p.Steps {
		undone = append(undone, result(s.String(), errUndone))
	}
	return appendNew(steps, undone)
}

// appendNew leaves out a step that is in the report already: one that did not
// succeed is tried in every round. One that was done, and did not succeed when it had
// to be done again, is not done.
func appendNew(steps, more []wire.Result) []wire.Result {
	place := map[string]int{}
	for i, s := range steps {
		place[s.What] = i
	}
	for _, s := range more {
		i, known := place[s.What]
		switch {
		case !known:
			steps = append(steps, s)
		case steps[i].Error == "":
			steps[i] = s
		}
	}
	return steps
}

var errUndone = errors.New("still to be done after the pass")

func anyDone(results []wire.Result) bool {
	for _, r := range results {
		if r.Error == "" {
			return true
		}
	}
	return false
}

func result(what string, err error) wire.Result {
	r := wire.Result{What: what}
	if err == nil {
		return r
	}
	r.Error = err.Error()
	var why *authz.Refusal
	if errors.As(err, &why) {
		r.Code = why.Code
	}
	return r
}

// done lists the steps that a pass took, none where one did not succeed: what is
// repeated then is our own trouble and nobody's fight.
func done(r wire.Report) (steps []string) {
	for _, s := range r.Steps {
		if s.Error != "" {
			return nil
		}
		steps = append(steps, s.What)
	}
	return steps
}

// content is what of a report makes it worth sending.
func content(r wire.Report) string {
	r.At = ""
	text, err := wire.Encode(r)
	if err != nil {
		return ""
	}
	return string(text)
}
