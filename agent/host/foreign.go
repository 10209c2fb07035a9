package host

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"latchkey/agent/plan"
	"latchkey/authz/wire"
)

// Foreign takes the inventory and says of it what the control plane is told. allowed
// leaves out keys in homes of our accounts.
func (h *Host) Foreign(ctx context.Context, owned plan.Ledger, allowed bool) (wire.Inventory, error) {
	in, err := h.Inventory(ctx, owned)
	if err != nil {
		return wire.Inventory{}, err
	}
	return summary(in, allowed, time.Now()), nil
}

// summary says what an inventory holds in words of ours: whoever writes a key file or a
// rule can not make it say anything (design law 7).
func summary(in Inventory, allowed bool, now time.Time) wire.Inventory {
	out := wire.Inventory{At: wire.FormatTime(now), Entries: []wire.Unmanaged{}}
	add := func(kind, account, place, what string) {
		if len(out.Entries) == wire.MaxUnmanaged {
			out.More++
			return
		}
		out.Entries = append(out.Entries, wire.Unmanaged{Kind: kind, Account: plain(account), Place: plain(place), What: what})
	}
	for _, r := range in.Roots {
		add(wire.UnmanagedRoot, r, "", "")
	}
	for _, m := range in.Members {
		add(wire.UnmanagedMember, m.Account, "", "group "+m.Group) // one of ours
	}
	for _, r := range in.Rules {
		if r.Who != "root" { // it gives nothing
			add(wire.UnmanagedSudo, sudoers(r.Who), r.File, allows(r))
		}
	}
	for _, k := range in.Keys {
		if !(allowed && k.Managed && k.InHome) {
			add(wire.UnmanagedKey, k.Account, k.File, keySummary(k))
		}
	}
	for _, p := range in.Passwords {
		add(wire.UnmanagedPassword, p.Account, "", map[bool]string{true: "empty"}[p.Empty])
	}
	for _, u := range in.Unread {
		add(wire.UnmanagedUnread, "", u.Place, "")
	}
	if n := len(in.Notes); n > 0 {
		add(wire.UnmanagedUnread, "", "", fmt.Sprintf("%d notes of latchkey-agent inventory", n))
	}
	return out
}

// odd stands for a name or a path that we do not repeat.
const odd = "(odd characters)"

// plain passes names and paths of ordinary characters.
func plain(s string) string {
	const most = 255
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("/._@$+-%#!:, ", c) >= 0) {
			return odd
		}
	}
	if len(s) > most {
		return odd
	}
	return s
}

// sudoers shortens whom a rule is for: of an alias its name.
func sudoers(who string) string {
	alias, _, found := strings.Cut(who, " (")
	if found {
		return alias
	}
	return who
}

// sudoTag is a tag of sudoers(5), or a list of users in its brackets: neither is a
// command.
var sudoTag = regexp.MustCompile(`\([^)]*\)|[A-Z_]+:`)

// allows says what sort of thing a rule lets do. A word of it is never repeated.
func allows(r SudoRule) string {
	_, commands, found := strings.Cut(r.Rule, "=")
	if !found {
		return "found by cvtsudoers"
	}
	what := "some commands"
	words := strings.FieldsFunc(sudoTag.ReplaceAllString(commands, " "), func(c rune) bool { return c == ' ' || c == '\t' || c == ',' })
	if slices.Contains(words, "ALL") {
		what = "everything"
	}
	if strings.Contains(commands, "NOPASSWD:") {
		what += ", without a password"
	}
	return what
}

// keyTypes are those whose names may be in a file that sshd reads (sshd(8)).
var keyTypes = []string{"ssh-ed25519", "ssh-rsa", "ssh-dss", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
	"sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com", "ssh-ed25519-cert-v01@openssh.com", "ssh-rsa-cert-v01@openssh.com"}

// keyOptions are the options of a key (sshd(8), AUTHORIZED_KEYS FILE FORMAT).
var keyOptions = []string{"agent-forwarding", "cert-authority", "command", "environment", "expiry-time", "from", "no-agent-forwarding", "no-port-forwarding",
	"no-pty", "no-touch-required", "no-user-rc", "no-X11-forwarding", "permitlisten", "permitopen", "port-forwarding", "principals", "pty", "restrict",
	"tunnel", "user-rc", "verify-required", "X11-forwarding"}

// keySummary says what a key is: a fingerprint is ours to compute, all else is of a
// closed list.
func keySummary(k UnmanagedKey) string {
	text := "of another type "
	if slices.Contains(keyTypes, k.Type) {
		text = k.Type + " "
	}
	text += k.Fingerprint
	if names := optionNames(k.Options); len(names) > 0 {
		text += " with " + strings.Join(names, ", ")
	}
	if k.Ignored != "" {
		text += ", which sshd ignores"
	}
	return text
}

// optionNames lists the names of a key's options, those that are none as one "other".
func optionNames(options string) (names []string) {
	for options != "" {
		option := options[:optionEnd(options)]
		options = strings.TrimPrefix(options[len(option):], ",")
		name, _, _ := strings.Cut(option, "=")
		at := slices.IndexFunc(keyOptions, func(k string) bool { return strings.EqualFold(k, name) })
		name = "other"
		if at >= 0 {
			name = keyOptions[at]
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// optionEnd is where the first of several options ends.
func optionEnd(options string) int {
	quoted := false
	for i := 0; i < len(options); i++ {
		switch c := options[i]; {
		case c == '\\' && i+1 < len(options) && options[i+1] == '"':
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			return i
		}
	}
	return len(options)
}
