package host

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"latchkey/agent/plan"
)

// Ways says for people what of an inventory lets an account in, or gives it more, all
// of it beside what we give: keys, a password, sudo rules, privileged groups. groups
// are all that the account is in.
func (in Inventory) Ways(a plan.Account, groups []string) []string {
	ways := []string{}
	say := func(format string, args ...any) { ways = append(ways, fmt.Sprintf(format, args...)) }
	for _, k := range in.Keys {
		switch {
		case k.Account != a.Name:
		case k.Managed:
			say("key %s %s in %s is not of ours", k.Type, k.Fingerprint, place(k.File, k.Line))
		case k.Ignored != "":
			say("key %s %s in %s is not read: %s", k.Type, k.Fingerprint, place(k.File, k.Line), k.Ignored)
		default:
			say("key %s %s in %s lets in", k.Type, k.Fingerprint, place(k.File, k.Line))
		}
	}
	for _, p := range in.Passwords {
		if p.Account == a.Name {
			say("%s", map[bool]string{true: "it needs no password", false: "it has a password"}[p.Empty])
		}
	}
	for _, r := range in.Rules {
		if concerns(r.Who, a, groups) {
			say("sudo rule in %s: %s %s", place(r.File, r.Line), r.Who, r.Rule)
		}
	}
	for _, m := range in.Members {
		if m.Account == a.Name {
			say("it is in the group %s", m.Group)
		}
	}
	if a.UID == 0 {
		say("it is root: its uid is 0")
	}
	return ways
}

func place(file string, line int) string {
	if file == "" {
		return "sudo's policy"
	}
	return file + ":" + strconv.Itoa(line)
}

// concerns reports whether the list of users of a sudo rule (sudoers(5), User_List)
// names an account, by any of the forms that name one of this machine's. What excludes
// it is read as naming it: better told than missed.
func concerns(who string, a plan.Account, groups []string) bool {
	uid, gid := strconv.FormatUint(uint64(a.UID), 10), strconv.FormatUint(uint64(a.GID), 10)
	words := strings.FieldsFunc(who, func(c rune) bool { return strings.ContainsRune(" \t,()!\"", c) })
	return slices.ContainsFunc(words, func(word string) bool {
		word = strings.ReplaceAll(word, `\`, "")
		group, ofGroup := strings.CutPrefix(word, "%")
		return word == a.Name || word == "ALL" || word == "#"+uid || word == "%#"+gid || ofGroup && slices.Contains(groups, group)
	})
}
