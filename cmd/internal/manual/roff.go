package manual

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// roff is a page in the making. What it is given is plain text, but for line, whose
// format is roff.
type roff struct{ strings.Builder }

func (r *roff) line(format string, args ...any) { fmt.Fprintf(r, format+"\n", args...) }

// prose prints paragraphs, which an empty line parts. Lines of a paragraph flow
// together; those that are indented are a list or stand as they are.
func (r *roff) prose(text string) {
	begun := false
	for lines := strings.Split(strings.TrimSpace(text), "\n"); len(lines) > 0; {
		n := alike(lines)
		switch {
		case lines[0] == "":
		case indented(lines[0]):
			r.block(lines[:n])
		default:
			if begun {
				r.line(".PP")
			}
			r.flow(lines[:n])
		}
		begun, lines = true, lines[n:]
	}
}

// alike counts the lines at the beginning that are all empty, all indented, or neither.
func alike(lines []string) int {
	other := func(l string) bool {
		return (l == "") != (lines[0] == "") || indented(l) != indented(lines[0])
	}
	if i := slices.IndexFunc(lines, other); i >= 0 {
		return i
	}
	return len(lines)
}

func indented(line string) bool {
	return strings.HasPrefix(line, "  ") || strings.HasPrefix(line, "\t")
}

func (r *roff) flow(lines []string) {
	for _, l := range lines {
		r.line("%s", escape(l))
	}
}

// entry is a line of a list: a word, two spaces or more, what it means.
var entry = regexp.MustCompile(`^  (\S+)  +(\S.*)$`)

func (r *roff) block(lines []string) {
	for _, l := range lines {
		if !entry.MatchString(l) {
			r.literal(lines)
			return
		}
	}
	for _, l := range lines {
		part := entry.FindStringSubmatch(l)
		r.item("\\fB"+escape(part[1])+"\\fR", part[2])
	}
}

// item prints a tag, which is roff, and what it means.
func (r *roff) item(tag, text string) {
	r.line(".TP\n%s", tag)
	r.line("%s", escape(text))
}

// literal prints lines as they stand, but for two spaces or a tab that they begin with.
func (r *roff) literal(lines []string) {
	r.line(".PP\n.RS 4\n.nf")
	for _, l := range lines {
		r.line("%s", escape(strings.TrimPrefix(strings.TrimPrefix(l, "\t"), "  ")))
	}
	r.line(".fi\n.RE")
}

// escape returns roff that prints text as it is: a hyphen as the character of the
// keyboard, so that what is copied from the page can be typed, and everything beyond
// ASCII by its number (groff_char(7)).
func escape(text string) string {
	var b strings.Builder
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		b.WriteString(`\&`)
	}
	for _, c := range text {
		switch {
		case c == '\\':
			b.WriteString(`\e`)
		case c == '-':
			b.WriteString(`\-`)
		case c == '\'':
			b.WriteString(`\(aq`)
		case c == '`':
			b.WriteString(`\(ga`)
		case c == '^':
			b.WriteString(`\(ha`)
		case c == '~':
			b.WriteString(`\(ti`)
		case c > '~':
			fmt.Fprintf(&b, `\[u%04X]`, c)
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}

// quote makes text one argument of a macro.
func quote(text string) string { return `"` + strings.ReplaceAll(escape(text), `"`, `\(dq`) + `"` }
