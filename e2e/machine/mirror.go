package machine

import (
	"slices"
	"strings"
)

// This file is pure: it reads the text of apt's configuration.

// archive is one place to get packages from.
type archive struct {
	uri        string
	suites     []string
	components []string
}

// oneLine reads the one-line format of sources.list(5), "deb [options] uri suite
// component…". Lines it does not understand say nothing.
func oneLine(text string) []archive {
	var found []archive
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "deb")
		if !ok || rest == strings.TrimLeft(rest, " \t") {
			continue // deb-src, or no entry
		}
		if options, ok := strings.CutPrefix(strings.TrimSpace(rest), "["); ok {
			_, rest, _ = strings.Cut(options, "]")
		}
		if words := strings.Fields(rest); len(words) >= 2 {
			found = append(found, archive{words[0], words[1:2], words[2:]})
		}
	}
	return found
}

// deb822 reads the other format of sources.list(5): stanzas of fields, whose
// values go on in lines that begin with a blank.
func deb822(text string) []archive {
	var found []archive
	for stanza := range strings.SplitSeq(strings.ReplaceAll(text, "\r", ""), "\n\n") {
		fields := stanzaFields(stanza)
		if strings.EqualFold(strings.TrimSpace(fields["enabled"]), "no") || !slices.Contains(strings.Fields(fields["types"]), "deb") {
			continue
		}
		for _, uri := range strings.Fields(fields["uris"]) {
			found = append(found, archive{uri, strings.Fields(fields["suites"]), strings.Fields(fields["components"])})
		}
	}
	return found
}

func stanzaFields(stanza string) map[string]string {
	fields, last := map[string]string{}, ""
	for line := range strings.Lines(stanza) {
		switch key, value, ok := strings.Cut(line, ":"); {
		case strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t"):
			fields[last] += " " + line
		case ok:
			last = strings.ToLower(key)
			fields[last] = value
		}
	}
	return fields
}

// pickMirror returns the first archive that holds the main part of the system's
// own release and that debootstrap can read from (its manual page: http, https,
// file). "" when there is none, as on a system that is not Debian.
func pickMirror(archives []archive, osRelease string) string {
	system := shellVariables(osRelease)
	if system["ID"] != "debian" {
		return ""
	}
	for _, a := range archives {
		scheme, _, _ := strings.Cut(a.uri, ":")
		if slices.Contains(a.suites, system["VERSION_CODENAME"]) && slices.Contains(a.components, "main") &&
			slices.Contains([]string{"http", "https", "file"}, scheme) {
			return a.uri
		}
	}
	return ""
}

// shellVariables reads NAME=value lines as os-release(5) has them.
func shellVariables(text string) map[string]string {
	found := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			found[name] = strings.Trim(value, `"'`)
		}
	}
	return found
}
