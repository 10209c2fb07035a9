package agent

import (
	"context"
	"strings"

	"latchkey/agent/plan"
	"latchkey/authz"
)

// Explanation says whether an account may log in to this machine, and why.
type Explanation struct {
	User    authz.Username `json:"user"`
	LogsIn  bool           `json:"logs_in"`
	Sudo    bool           `json:"sudo"`
	Facts   []string       `json:"facts"`
	Pending []string       `json:"pending"` // steps a pass would do for this user
}

// Ready reports whether there is a bundle to work from.
func (a *Agent) Ready() bool { return a.bundle != nil }

// Explain looks at the machine and the stored bundle; it changes nothing.
func (a *Agent) Explain(ctx context.Context, user authz.Username) (Explanation, error) {
	release, err := a.Cache.Lock()
	if err != nil {
		return Explanation{}, err
	}
	defer release()
	owned, err := a.Cache.Ledger()
	if err != nil {
		return Explanation{}, err
	}
	p, have, err := a.look(ctx, owned)
	if err != nil {
		return Explanation{}, err
	}
	e := Explanation{User: user, Facts: []string{}, Pending: []string{}}
	for _, r := range a.rejected {
		if r.Name == user.String() {
			e.fact("the bundle names this user, but holds what was refused: " + r.Reason.Error())
		}
	}
	granted := e.grant(a.access, a, user)
	if _, why := a.stale(); why != nil {
		e.fact(why.Error())
	}
	for _, key := range owned.Accounts[user].Adopted {
		e.fact("key " + key + " was adopted from the home on this machine")
	}
	e.uses(a.Cache, user)
	e.account(have, owned, a.Layout, user, granted)
	for _, r := range p.Refused {
		if r.Name == user.String() {
			e.fact("this machine leaves something out: " + r.Reason.Error())
		}
	}
	for _, s := range p.Steps {
		if s.User == user {
			e.Pending = append(e.Pending, s.String())
			e.fact("still to be done: " + s.String())
		}
	}
	return e, nil
}

func (e *Explanation) fact(text string) { e.Facts = append(e.Facts, text) }

// grant adds what the stack gives, and returns it.
func (e *Explanation) grant(access authz.Access, a *Agent, user authz.Username) authz.Grant {
	for _, g := range access.Grants {
		if g.Username != user {
			continue
		}
		e.fact("the stack gives " + g.ARN.String() + " SSH as " + user.String() + " (uid " + g.UID.String() + ")")
		if g.Sudo {
			e.fact(sudoFact(g))
		}
		if g.Restricted {
			e.fact("the keys open sessions alone: no forwarding of ports, agent or X11, no tunnel")
		}
		for _, k := range g.Keys {
			e.fact("key " + k.Type() + " " + k.Fingerprint())
		}
		if len(g.Keys) == 0 {
			e.fact("there is no SSH key: nobody can log in with this name")
		}
		if !g.NotAfter.IsZero() {
			e.fact("until " + g.NotAfter.UTC().Format("2006-01-02 15:04:05 UTC"))
		}
		if !g.NotAfter.IsZero() && !a.at().Before(g.NotAfter) {
			e.fact("the permission has ended")
			return g
		}
		e.LogsIn, e.Sudo = len(g.Keys) > 0, g.Sudo
		return g
	}
	e.fact("the stack gives no SSH")
	return authz.Grant{}
}

func sudoFact(g authz.Grant) string {
	if g.SudoCommands.IsZero() {
		return "the stack gives sudo"
	}
	return "the stack gives sudo for nothing but " + g.SudoCommands.Sudoers()
}

// account adds what stands on the machine, which may say no where the stack says
// yes.
func (e *Explanation) account(have plan.State, owned plan.Ledger, l plan.Layout, user authz.Username, g authz.Grant) {
	own, ours := owned.Accounts[user]
	account, exists := have.Accounts[user.String()]
	mode := owned.KeysMode()
	_, keys := have.Files[l.KeyFile(user)]
	if mode == plan.KeysHome {
		keys = have.Blocks[user].Lines != ""
	}
	switch {
	case !exists:
		e.fact("there is no such account on this machine")
	case !ours || account.UID != uint32(own.UID):
		e.fact("the account was not made by us: latchkey does not decide about it")
	case account.Locked():
		e.fact("the account is closed")
	case own.Before != nil:
		e.fact("the account is open, adopted by us")
	default:
		e.fact("the account is open, made by us")
	}
	e.LogsIn = e.LogsIn && exists && ours && account.UID == uint32(own.UID) && !account.Locked() && keys && owned.SSHD && (have.Hook == nil || !mode.AsksHook()) && !have.RefusesEnd(mode, g)
	e.Sudo = e.Sudo && e.LogsIn && strings.Contains(string(have.Files[l.Sudoers].Content), "\n"+user.String()+" ALL=")
	if owned.SSHD && !mode.AsksHook() {
		e.fact("sshd gets keys in the mode " + string(mode))
	}
	if have.Hook != nil && mode.AsksHook() {
		e.fact("sshd refuses to run the login hook: " + have.Hook.Error())
	}
	if !owned.SSHD {
		e.fact("sshd does not ask us: latchkey-agent sshd enable")
	}
	if e.LogsIn {
		e.fact("so: logs in with one of these keys")
		return
	}
	e.fact("so: latchkey does not let this user in")
}
