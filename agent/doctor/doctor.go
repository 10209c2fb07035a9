// Package doctor says what is wrong with a machine, why, and what to do about it.
//
// It is pure: agent/host and the agent look and give Facts, Diagnose makes
// findings of them. What could not be looked at is a finding too, so that
// "unknown" is never shown as "good".
package doctor

import (
	"fmt"
	"strings"
)

// Severity is how bad a finding is. Only these three are made.
type Severity string

// The severities, best first.
const (
	OK      Severity = "ok"
	Warning Severity = "warning" // works, or is not known to; somebody should look
	Problem Severity = "problem" // somebody who should get in does not, or access is not safe
)

// Finding is what one check came to. A check may have several findings, one for each
// thing that is wrong, and has exactly one when nothing is.
type Finding struct {
	// Code names the check and is stable.
	Code     string   `json:"code"`
	Severity Severity `json:"severity"`
	// Fact is what is so, with its cause, on one line. It may hold text that was found
	// on the machine, as it was found.
	Fact string `json:"fact"`
	// Fix is what to do, where possible a command; empty when nothing is to be done.
	Fix string `json:"fix,omitempty"`
}

// check is one thing looked into. A check that says nothing does not apply to the
// machine.
type check struct {
	code string
	look func(Facts, *report)
}

// checks are all checks in the order in which they are shown: what others depend on
// comes first.
var checks = []check{
	{"identity", identity},
	{"service", service},
	{"server", server},
	{"bundle", bundle},
	{"last_pass", lastPass},
	{"drift", drift},
	{"clock", clock},
	{"disk", disk},
	{"files", files},
	{"leftovers", leftovers},
	{"hook", hookProgram},
	{"hook_answer", hookAnswer},
	{"accounts", accounts},
	{"nss", nameService},
	{"shell", shell},
	{"nologin", noLogin},
	{"pam_access", pamAccess},
	{"sshd_config", sshdConfig},
	{"sshd_running", sshdRunning},
	{"sshd_override", sshdOverride},
	{"sshd_dropin", sshdDropIn},
	{"sshd_end", sshdEnd},
	{"sshd_match", sshdMatch},
	{"sshd_displaced", sshdDisplaced},
	{"sshd_allow", sshdAllow},
	{"sshd_publickey", sshdPublicKey},
	{"sshd_key_types", sshdKeyTypes},
	{"sshd_pam", sshdPAM},
	{"sshd_limits", sshdLimits},
	{"sudo", sudo},
	{"sudo_include", sudoInclude},
	{"sudo_policy", sudoPolicy},
	{"sudo_user", sudoUser},
	{"selinux", selinux},
}

// Codes returns the code of every check, in the order of Diagnose.
func Codes() []string {
	var codes []string
	for _, c := range checks {
		codes = append(codes, c.code)
	}
	return codes
}

// Diagnose makes the findings of the facts. It never returns none: a machine always
// has an identity or not.
func Diagnose(f Facts) []Finding {
	r := report{}
	for _, c := range checks {
		r.code = c.code
		c.look(f, &r)
	}
	return r.findings
}

// Worst returns the worst severity of the findings, OK for none.
func Worst(findings []Finding) Severity {
	worst := OK
	for _, f := range findings {
		if f.Severity == Problem || f.Severity == Warning && worst == OK {
			worst = f.Severity
		}
	}
	return worst
}

// report collects the findings of the check at work.
type report struct {
	code     string
	findings []Finding
}

func (r *report) add(s Severity, fix, format string, args ...any) {
	r.findings = append(r.findings, Finding{Code: r.code, Severity: s, Fact: fmt.Sprintf(format, args...), Fix: fix})
}

func (r *report) problem(fix, format string, args ...any) { r.add(Problem, fix, format, args...) }

func (r *report) warn(fix, format string, args ...any) { r.add(Warning, fix, format, args...) }

// fine says what is right, unless the check has found something else.
func (r *report) fine(format string, args ...any) {
	if n := len(r.findings); n == 0 || r.findings[n-1].Code != r.code {
		r.add(OK, "", format, args...)
	}
}

// few shows at most eight of many names.
func few(names []string) string {
	const most = 8
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
