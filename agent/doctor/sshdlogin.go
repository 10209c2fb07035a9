package doctor

import (
	"slices"
	"strconv"
	"strings"
)

func sshdPublicKey(f Facts, r *report) {
	asked := 0
	for _, l := range f.Host.asked() {
		if l.Settings == nil {
			continue
		}
		asked++
		methods := patterns(l.Settings["authenticationmethods"])
		switch {
		case first(l.Settings["pubkeyauthentication"]) == "no":
			r.problem("set PubkeyAuthentication yes in sshd's configuration, or on its command line", "PubkeyAuthentication is no for %s", l.Name)
		case len(methods) > 0 && !slices.Contains(methods, "any") && !slices.Contains(methods, "publickey"):
			r.warn("look at AuthenticationMethods in sshd's configuration", "AuthenticationMethods asks %s for more than a key: %s", l.Name, strings.Join(methods, " "))
		}
	}
	if asked > 0 {
		r.fine("a key is enough for sshd")
	}
}

// sshdKeyTypes looks whether sshd takes at least one key of each user.
func sshdKeyTypes(f Facts, r *report) {
	asked := 0
	for _, l := range f.Host.asked() {
		taken := acceptedTypes(l.Settings)
		if taken == nil || len(l.KeyTypes) == 0 {
			continue
		}
		asked++
		if !slices.ContainsFunc(l.KeyTypes, func(t string) bool { return accepts(taken, t) }) {
			r.problem("give the user a key of another type, or change PubkeyAcceptedAlgorithms", "sshd takes no key of %s: they are %s", l.Name, few(l.KeyTypes))
		}
	}
	if asked > 0 {
		r.fine("sshd takes the keys of our users")
	}
}

// acceptedTypes are the signature algorithms sshd takes; before OpenSSH 8.5 the
// setting had another name. nil when sshd does not say.
func acceptedTypes(s map[string][]string) []string {
	for _, key := range []string{"pubkeyacceptedalgorithms", "pubkeyacceptedkeytypes"} {
		if v := first(s[key]); v != "" {
			return strings.Split(v, ",")
		}
	}
	return nil
}

// accepts: an RSA key signs by three algorithms.
func accepts(taken []string, keyType string) bool {
	names := []string{keyType}
	if keyType == "ssh-rsa" {
		names = append(names, "rsa-sha2-256", "rsa-sha2-512")
	}
	return slices.ContainsFunc(names, func(n string) bool { return slices.ContainsFunc(taken, func(t string) bool { return glob(t, n) }) })
}

// sshdPAM: without PAM sshd itself refuses an account whose password begins with
// an exclamation mark, key or not.
func sshdPAM(f Facts, r *report) {
	asked := 0
	for _, l := range f.Host.asked() {
		if l.Settings == nil {
			continue
		}
		asked++
		locked := strings.HasPrefix(l.Account.Password, "!")
		if first(l.Settings["usepam"]) == "no" && locked {
			r.problem("latchkey-agent apply sets the password field to *", "sshd does not use PAM and refuses %s, whose password is locked (!)", l.Name)
		}
	}
	if asked > 0 {
		r.fine("no password field keeps our users out")
	}
}

func sshdLimits(f Facts, r *report) {
	asked := f.Host.asked()
	if len(asked) == 0 || asked[0].Settings == nil {
		return
	}
	s := asked[0].Settings
	if n, err := strconv.Atoi(first(s["maxauthtries"])); err == nil && n < fewTries {
		r.warn("set MaxAuthTries 6 in sshd's configuration", "MaxAuthTries is %d: who has more keys in his SSH agent is sent away before the right one", n)
	}
	// 0 means no limit.
	if n, err := strconv.Atoi(first(s["logingracetime"])); err == nil && n > 0 && n < shortGrace {
		r.warn("set LoginGraceTime 120 in sshd's configuration", "LoginGraceTime is %d s, which a slow disk under the login hook may use up", n)
	}
	r.fine("sshd leaves enough tries and time")
}
