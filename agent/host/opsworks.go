package host

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"latchkey/agent/plan"
)

// What the agent of AWS OpsWorks made, and leaves behind when it goes.
const (
	OpsWorksGroup = "opsworks" // the primary group of every account it made
	opsworksUser  = "aws"      // the account that it runs as
)

// Leftover is a way into the machine that OpsWorks made and nobody takes away.
type Leftover struct {
	What  string `json:"what"`
	Where string `json:"where"` // FILE:LINE, or empty
	Do    string `json:"do"`    // what to do about it
}

// leftovers finds them in what is not managed and in the main file of sudo's policy, whose
// name and text are given; members are the accounts that OpsWorks made.
func leftovers(in Inventory, policy, sudoers string, accounts map[string]plan.Account, members []string) []Leftover {
	out := []Leftover{}
	of := map[string]bool{opsworksUser: true}
	for _, m := range members {
		of[m] = true
	}
	if _, found := accounts[opsworksUser]; found {
		out = append(out, Leftover{"the account " + opsworksUser + " of the OpsWorks agent", "/etc/passwd", "when that agent is uninstalled:  userdel " + opsworksUser})
	}
	for _, l := range sudoLines(sudoers) {
		if name, folder, ok := sudoInclude(l.text); ok && !folder && strings.HasPrefix(path.Base(name), OpsWorksGroup) {
			out = append(out, Leftover{"sudo reads " + name, policy + ":" + strconv.Itoa(l.number), "when that file goes, take the line out with  visudo"})
		}
	}
	for _, r := range in.Rules {
		where := r.File + ":" + strconv.Itoa(r.Line)
		const proof = "the stack's sudo is proved, and given, only without it: "
		switch {
		case strings.HasPrefix(path.Base(r.File), OpsWorksGroup):
			out = append(out, Leftover{"sudo for " + r.Who, where, proof + " rm " + r.File})
		case of[r.Who]:
			out = append(out, Leftover{"sudo for " + r.Who, where, proof + " take the line out with  visudo -f " + r.File})
		}
	}
	for _, k := range in.Keys {
		if of[k.Account] && k.Ignored == "" {
			out = append(out, Leftover{"key " + k.Fingerprint + " of " + k.Account, k.File + ":" + strconv.Itoa(k.Line), keyAdvice(k)})
		}
	}
	return slices.Compact(out) // a file may be read twice
}

func keyAdvice(k UnmanagedKey) string {
	if k.Managed {
		return "sshd does not read it while our drop-in is in; revert gives it back"
	}
	return "it opens the account until that is adopted and  latchkey-agent sshd enable  was run, or the line goes"
}
