package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf8"
)

// maxText bounds one piece of foreign text on a terminal, in bytes.
const maxText = 4096

// Text makes text from elsewhere safe for a terminal and a log line: control
// characters, line ends, invalid UTF-8 and invisible or direction-changing
// characters are shown as Go escapes, and past 4096 bytes it is cut.
func Text(s string) string {
	cut := len(s) > maxText
	if cut {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	if strings.IndexFunc(s, odd) >= 0 || !utf8.ValidString(s) {
		s = escape(s)
	}
	if cut {
		s += "…"
	}
	return s
}

// odd reports control, format (direction marks, zero widths), private and line
// separator characters.
func odd(r rune) bool { return !unicode.IsGraphic(r) }

func escape(s string) string {
	var b strings.Builder
	for i, width := 0, 0; i < len(s); i += width {
		var r rune
		r, width = utf8.DecodeRuneInString(s[i:])
		if odd(r) || r == utf8.RuneError && width == 1 {
			q := strconv.Quote(s[i : i+width])
			b.WriteString(q[1 : len(q)-1])
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// JSON prints v as indented JSON with a newline. Control characters beyond ASCII
// are escaped too, so the output is safe on a terminal.
func JSON(w io.Writer, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("print %T as JSON: %v", v, err)
	}
	_, err := io.WriteString(w, escapeJSON(b.String()))
	return err
}

// escapeJSON rewrites odd characters, which can only stand inside strings, as \u.
func escapeJSON(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n' || !odd(r):
			b.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// Table prints rows in columns under a header, every cell through [Text]. An
// empty cell is shown as "-". A list with no rows prints the header only.
func Table(w io.Writer, header []string, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{header}, rows...) {
		cells := make([]string, len(row))
		for i, c := range row {
			if cells[i] = Text(c); c == "" {
				cells[i] = "-"
			}
		}
		fmt.Fprintln(tw, strings.Join(cells, "\t"))
	}
	return tw.Flush()
}
