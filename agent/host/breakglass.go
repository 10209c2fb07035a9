package host

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"latchkey/agent/doctor"
	"latchkey/agent/plan"
	"latchkey/authz/name"
)

// A machine should have one account that gets in when everything else is broken: local,
// with a key of its own, and none of our business (requirement R144). What nobody uses
// rots unseen, so it is looked at. Nothing here changes anything.

// ErrBreakGlass is the reason code of everything that is wrong with that account.
var ErrBreakGlass = name.Refuse("break_glass", "the account for emergencies would not let anybody in")

// LocalName is the name of an account that is not ours. Only ParseLocalName makes one.
type LocalName struct{ s string }

// ParseLocalName accepts ^[a-z_][a-z0-9_-]{0,31}$, reserved names too: root, admin and
// the like are what such an account is called.
func ParseLocalName(s string) (LocalName, error) {
	ok := s != "" && len(s) <= 32
	for i := 0; i < len(s); i++ {
		c := s[i]
		ok = ok && ('a' <= c && c <= 'z' || c == '_' || i > 0 && ('0' <= c && c <= '9' || c == '-'))
	}
	if !ok {
		return LocalName{}, fmt.Errorf("account %q is no name of a local account", s)
	}
	return LocalName{s}, nil
}

// String returns the name, or "" for the zero value.
func (n LocalName) String() string { return n.s }

// closedAccount says why an account of these groups cannot be logged in to whatever its
// keys are, nil when it can. settings are what sshd -T says for it.
func closedAccount(a plan.Account, groups []string, settings map[string][]string, now time.Time) error {
	is := func(key, value string) bool { return len(settings[key]) > 0 && settings[key][0] == value }
	list, kept, certain := doctor.KeptOut(a.Name, groups, settings)
	const day = 24 * 60 * 60
	switch {
	case a.Expires > 0 && now.Unix()/day >= a.Expires:
		return fmt.Errorf("account %s has expired", a.Name)
	case strings.HasPrefix(a.Password, "!") && is("usepam", "no"):
		return fmt.Errorf("account %s is locked, and sshd does not leave that to PAM", a.Name)
	case strings.HasSuffix(a.Shell, "/nologin"), strings.HasSuffix(a.Shell, "/false"):
		return fmt.Errorf("account %s has the shell %s", a.Name, a.Shell)
	case is("pubkeyauthentication", "no"):
		return fmt.Errorf("sshd takes no keys from %s", a.Name)
	case a.UID == 0 && is("permitrootlogin", "no"):
		return errors.New("sshd does not let root in")
	case list != "" && certain:
		return errors.New(kept)
	}
	return nil
}

// usableKey reports whether a text of authorized_keys lines (sshd(8)) holds a key that
// sshd would take at the time given.
func usableKey(text string, now time.Time) bool {
	keys, _ := keyLines(text)
	for _, k := range keys {
		if !endedKey(k.options, now) {
			return true
		}
	}
	return false
}

// endedKey reports whether options end a key by now, or make it none: a certificate
// authority's. An end that is not understood counts as past.
func endedKey(options string, now time.Time) bool {
	lower := strings.ToLower(options)
	if strings.Contains(lower, "cert-authority") {
		return true
	}
	_, after, found := strings.Cut(lower, `expiry-time="`)
	if !found {
		return false
	}
	text, _, _ := strings.Cut(after, `"`)
	zone := time.Local
	if utc, ok := strings.CutSuffix(text, "z"); ok {
		text, zone = utc, time.UTC
	}
	for _, form := range []string{"20060102", "200601021504", "20060102150405"} {
		if len(text) == len(form) {
			end, err := time.ParseInLocation(form, text, zone)
			return err != nil || !now.Before(end)
		}
	}
	return true
}
