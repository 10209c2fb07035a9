package host

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"latchkey/agent/doctor"
	"latchkey/agent/plan"
	"latchkey/authz/name"
)

// maxSudoFiles bounds how many files of sudo's policy are read.
const maxSudoFiles = 256

// Inventory lists the access on this machine that is not of the ledger: keys in homes
// and in the folders sshd reads, sudo rules, members of privileged groups, accounts
// that are root, passwords. It changes nothing, and does not trust what lies in a
// home. Its error is only for account files that do not read.
func (h *Host) Inventory(ctx context.Context, owned plan.Ledger) (Inventory, error) {
	text, err := readAll(passwdFile, shadowFile, groupFile)
	if err != nil {
		return Inventory{}, err
	}
	accounts, groups := readAccounts(text[0], text[1], text[2])
	t := taking{h: h, owned: owned, in: Inventory{Keys: []UnmanagedKey{}, Rules: []SudoRule{}, Members: []Member{}, Roots: []string{},
		Passwords: []Password{}, Unread: []Unread{}, Notes: []string{}}}
	for _, a := range accounts {
		t.account(a)
	}
	t.groups(accounts, groups)
	t.keys(accounts)
	t.overridden(ctx)
	t.sudoFile(sudoersFile, 0)
	t.sudoNames(ctx)
	t.elsewhere()
	t.groupsAtLogin()
	t.sort()
	return t.in, nil
}

// taking is one inventory under way.
type taking struct {
	h     *Host
	owned plan.Ledger
	in    Inventory

	sudoFiles int
	aliases   map[string]string
}

func (t *taking) note(format string, args ...any) {
	t.in.Notes = append(t.in.Notes, fmt.Sprintf(format, args...))
}

func (t *taking) unread(place string, err error) {
	t.in.Unread = append(t.in.Unread, Unread{place, err.Error()})
}

// managed reports whether the account is ours.
func (t *taking) managed(a plan.Account) bool {
	u, err := name.ParseUsername(a.Name)
	own, found := t.owned.Accounts[u]
	return err == nil && found && uint32(own.UID) == a.UID
}

// adopted reports whether a key is one of the account's by the ledger.
func (t *taking) adopted(a plan.Account, k keyLine) bool {
	u, err := name.ParseUsername(a.Name)
	return err == nil && t.managed(a) && slices.ContainsFunc(t.owned.Accounts[u].Adopted, func(text string) bool {
		own, ok := oneKey(text)
		return ok && own.fingerprint == k.fingerprint
	})
}

func (t *taking) account(a plan.Account) {
	if a.UID == 0 && a.Name != "root" {
		t.in.Roots = append(t.in.Roots, a.Name)
	}
	if a.Password == "set" || a.Password == "" {
		t.in.Passwords = append(t.in.Passwords, Password{a.Name, a.Password == ""})
	}
}

func (t *taking) groups(accounts map[string]plan.Account, groups map[string]plan.Group) {
	for _, g := range privileged {
		group, found := groups[g]
		if !found {
			continue
		}
		members := slices.Clone(group.Members)
		for _, a := range accounts {
			if a.GID == group.GID && a.Name != "root" {
				members = append(members, a.Name)
			}
		}
		slices.Sort(members)
		for _, m := range slices.Compact(members) {
			t.in.Members = append(t.in.Members, Member{g, m})
		}
	}
}

// keys reads the files that sshd's configuration names anywhere, and the two it
// reads when nothing is said, for every account.
func (t *taking) keys(accounts map[string]plan.Account) {
	patterns := []string{".ssh/authorized_keys", ".ssh/authorized_keys2"}
	r := configReader{base: filepath.Dir(t.h.Layout.SSHDConfig)}
	if err := r.read(t.h.Layout.SSHDConfig, "", 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.unread(t.h.Layout.SSHDConfig, err)
	}
	for _, line := range r.lines {
		switch {
		case line.File == t.h.Layout.SSHD:
		case line.Key == "authorizedkeysfile":
			patterns = append(patterns, strings.Fields(strings.ReplaceAll(line.Value, `"`, ""))...)
		case slices.Contains([]string{"authorizedkeyscommand", "trustedusercakeys", "authorizedprincipalscommand", "authorizedprincipalsfile"}, line.Key) &&
			line.Value != "none":
			t.note("%s line %d: sshd lets in who %s %s says, which is not listed here", line.File, line.Line, line.Key, line.Value)
		}
	}
	var spots []spot
	var homes []string
	var whose []plan.Account
	for _, a := range accounts {
		seen := map[string]bool{}
		for _, p := range patterns {
			if p == "none" {
				continue
			}
			file, ok := keyPath(p, a.Name, a.Home, a.UID)
			if !ok {
				t.unread(p, fmt.Errorf("no path for the account %s", a.Name))
			} else if !seen[file] {
				seen[file] = true
				spots = append(spots, spot{kind: "inventory of " + a.Name, path: file, base: filepath.Dir(a.Home), alone: true})
				homes, whose = append(homes, a.Home), append(whose, a)
			}
		}
	}
	t.h.folders(slices.Compact(homes)...) // finds the file systems that are silent as a whole
	read := func(i int) keysIn { return readKeys(spots[i].path, whose[i], t.managed(whose[i])) }
	askEach(&t.h.stuck, spots, read, func(i int, found keysIn, silent error) {
		found.err = errors.Join(found.err, silent)
		t.keyFile(spots[i].path, whose[i], found)
	})
}

// overridden says what counts before our drop-in, though nobody asks doctor (requirement
// R67): it is reported, and not fought.
func (t *taking) overridden(ctx context.Context) {
	for _, p := range listeningSSHD() {
		if o := doctor.Overrides(p.Options); len(o) > 0 {
			t.note("sshd was started with %s, which counts before its configuration", strings.Join(o, " "))
		}
	}
	if t.owned.SSHD && t.owned.SSHDLoaded {
		if err := t.h.proveSSHD(ctx, t.owned.KeysMode()); err != nil {
			t.note("%v", err)
		}
	}
}

// keysIn is what was found in a file of keys.
type keysIn struct {
	keys []keyLine
	bad  int // lines that are none
	of   unix.Stat_t
	err  error
}

// readKeys reads one file of keys of an account, less our own lines where it is ours.
func readKeys(path string, a plan.Account, ours bool) (found keysIn) {
	text, of, err := readForeign(path, a.Home)
	if ours {
		text = string(plan.OwnLines([]byte(text)))
	}
	found.of, found.err = of, err
	found.keys, found.bad = keyLines(text)
	return found
}

// keyFile takes in what was found in one file of keys of an account.
func (t *taking) keyFile(path string, a plan.Account, found keysIn) {
	st, err := found.of, found.err
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR):
		return
	case err != nil:
		t.unread(path, err)
		return
	}
	ignored := ""
	switch {
	case t.managed(a) && t.owned.SSHD && t.owned.KeysMode() != plan.KeysHome:
		ignored = "the account is ours: sshd does not read this file"
	case st.Uid != 0 && st.Uid != a.UID:
		ignored = "it belongs to uid " + strconv.FormatUint(uint64(st.Uid), 10)
	case st.Mode&0o022 != 0:
		ignored = "others can write to it"
	}
	for _, k := range found.keys {
		if t.adopted(a, k) {
			continue
		}
		t.in.Keys = append(t.in.Keys, UnmanagedKey{Account: a.Name, Managed: t.managed(a), InHome: belowHome(path, a.Home), File: path, Line: k.number, Type: k.typ,
			Fingerprint: k.fingerprint, Options: k.options, Ignored: ignored})
	}
	if found.bad > 0 {
		t.unread(path, fmt.Errorf("%d lines are no keys", found.bad))
	}
}

// belowHome reports whether a file lies below a home.
func belowHome(path, home string) bool {
	inside, err := filepath.Rel(home, path)
	return err == nil && home != "/" && filepath.IsLocal(inside)
}

// readForeign reads a file that a user may have made. Below a home no link leads
// out of it; elsewhere the file itself is no link. A pipe or a device is not waited
// for.
func readForeign(path, home string) (string, unix.Stat_t, error) {
	const flags = os.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_NOFOLLOW
	var f *os.File
	var err error
	if belowHome(path, home) {
		inside := strings.TrimPrefix(path, filepath.Clean(home)+"/")
		root, err := os.OpenRoot(home)
		if err != nil {
			return "", unix.Stat_t{}, err
		}
		defer root.Close()
		f, err = root.OpenFile(inside, flags, 0)
		if err != nil {
			return "", unix.Stat_t{}, err
		}
	} else if f, err = os.OpenFile(path, flags, 0); err != nil {
		return "", unix.Stat_t{}, err
	}
	defer f.Close()
	return readPlain(f)
}

// sudoFile reads one file of sudo's policy, line by line, and what it includes.
func (t *taking) sudoFile(path string, depth int) {
	if path == t.h.Layout.Sudoers && t.owned.Sudoers {
		return
	}
	if t.sudoFiles++; depth > maxInclude || t.sudoFiles > maxSudoFiles {
		t.unread(path, errors.New("too many files are included"))
		return
	}
	text, err := readSmall(path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		t.unread(path, err)
		return
	}
	for _, line := range sudoLines(text) {
		if to, folder, ok := sudoInclude(line.text); ok {
			t.sudoIncluded(path, to, folder, depth)
			continue
		}
		for alias, list := range sudoAlias(line.text) {
			if t.aliases == nil {
				t.aliases = map[string]string{}
			}
			t.aliases[alias] = list
		}
		if who, rule, ok := sudoSpec(line.text); ok {
			t.in.Rules = append(t.in.Rules, SudoRule{path, line.number, who, rule})
		}
	}
}

// sudoIncluded goes on with what a line of from includes. In a folder sudo passes
// over names with a dot or a trailing ~ (sudoers(5)).
func (t *taking) sudoIncluded(from, to string, folder bool, depth int) {
	if !filepath.IsAbs(to) {
		to = filepath.Join(filepath.Dir(from), to)
	}
	if !folder {
		t.sudoFile(to, depth+1)
		return
	}
	entries, err := os.ReadDir(to)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.unread(to, err)
	}
	for _, e := range entries {
		if n := e.Name(); !strings.Contains(n, ".") && !strings.HasSuffix(n, "~") {
			t.sudoFile(filepath.Join(to, n), depth+1)
		}
	}
}

// sudoNames asks cvtsudoers, which reads the policy as sudo does, whether our own
// reading has missed anybody, and says where rules may be that are in no file.
func (t *taking) sudoNames(ctx context.Context) {
	for i, r := range t.in.Rules {
		if list, found := t.aliases[r.Who]; found {
			t.in.Rules[i].Who = r.Who + " (" + list + ")"
		}
	}
	text, err := t.h.run(ctx, "cvtsudoers", "-e", "-f", "json", sudoersFile)
	if err != nil {
		t.note("the sudo rules were read line by line, by us alone: %v", err)
		return
	}
	names, err := sudoersNames(text)
	if err != nil {
		t.note("the sudo rules were read line by line, by us alone: cvtsudoers prints %v", err)
		return
	}
	for _, n := range names {
		if !t.named(n) {
			t.in.Rules = append(t.in.Rules, SudoRule{Who: n, Rule: "found by cvtsudoers, which names no line"})
		}
	}
}

// elsewhere says which accounts, groups and rules are in no file of this machine
// (nsswitch.conf(5)).
func (t *taking) elsewhere() {
	text, err := readSmall("/etc/nsswitch.conf")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.unread("/etc/nsswitch.conf", err)
	}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		database, sources, _ := strings.Cut(strings.TrimSpace(line), ":")
		if database != "passwd" && database != "group" && database != "sudoers" {
			continue
		}
		for _, source := range strings.Fields(sources) {
			if !slices.Contains([]string{"files", "compat", "systemd", "altfiles"}, source) && source[0] != '[' {
				t.note("%s also comes from %s (/etc/nsswitch.conf), whose entries are not listed here", database, source)
			}
		}
	}
}

// groupsAtLogin says who gets groups by logging in, which are in no group file
// (pam_group(8)); only where a service has that module.
func (t *taking) groupsAtLogin() {
	const rules = "/etc/security/group.conf"
	asked := false
	services, _ := filepath.Glob("/etc/pam.d/*")
	for _, service := range services {
		text, err := readSmall(service)
		if err != nil {
			t.unread(service, err)
		}
		for line := range strings.Lines(text) {
			line, _, _ = strings.Cut(line, "#")
			asked = asked || strings.Contains(line, "pam_group.so")
		}
	}
	if !asked {
		return
	}
	text, err := readSmall(rules)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.unread(rules, err)
	}
	number := 0
	for line := range strings.Lines(text) {
		number++
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line != "" {
			t.note("%s line %d: who logs in by it is in more groups: %s", rules, number, line)
		}
	}
}

// named reports whether a rule, or our own file, names somebody already.
func (t *taking) named(who string) bool {
	for _, r := range t.in.Rules {
		for _, word := range strings.FieldsFunc(r.Who, func(c rune) bool { return strings.ContainsRune(" \t,()!\"", c) }) {
			if strings.ReplaceAll(word, `\`, "") == who {
				return true
			}
		}
	}
	u, err := name.ParseUsername(who)
	_, ours := t.owned.Accounts[u]
	return err == nil && ours && t.owned.Sudoers
}

// sudoersNames reads the users of cvtsudoers' JSON, as sudoers writes them.
func sudoersNames(text string) ([]string, error) {
	var policy struct {
		Specs []struct {
			Users []map[string]any `json:"User_List"`
		} `json:"User_Specs"`
	}
	if err := json.Unmarshal([]byte(text), &policy); err != nil {
		return nil, err
	}
	marks := map[string]string{"username": "", "usergroup": "%", "netgroup": "+", "userid": "#", "usergid": "%#", "nonunixgroup": "%:", "useralias": ""}
	var names []string
	for _, spec := range policy.Specs {
		for _, user := range spec.Users {
			for kind, mark := range marks {
				if v, found := user[kind]; found {
					names = append(names, mark+fmt.Sprint(v))
				}
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// sort puts everything in an order that does not change from one time to the next.
func (t *taking) sort() {
	slices.SortFunc(t.in.Keys, func(a, b UnmanagedKey) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	slices.SortFunc(t.in.Passwords, func(a, b Password) int { return cmp.Compare(a.Account, b.Account) })
	slices.SortFunc(t.in.Unread, func(a, b Unread) int {
		return cmp.Or(cmp.Compare(a.Place, b.Place), cmp.Compare(a.Reason, b.Reason))
	})
	slices.Sort(t.in.Roots)
	t.in.Unread = slices.Compact(t.in.Unread)
}
