// Package manual makes the manual pages of a command line from its commands, in the
// macros of man(7). A page says what --help says, and no more, so that it cannot be
// older than the program. Help is plain text: cobra's own package for this reads it as
// Markdown, which eats signs and runs lists together, and does not print what values are
// called.
//
// The programs do not link it. Built with the tag manual, each is instead the program
// that writes its own pages (make man).
package manual

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Manual is the manual of one program.
type Manual struct {
	Root    *cobra.Command // with its commands; what cobra adds by itself is added to them
	Section string         // 1 for a command of everybody's, 8 for one of root's
	Version string
	SeeAlso []string // pages beside those of the program, such as sudoers(5), for the root's page
}

// Page is one page, for one command.
type Page struct {
	Name string // of its file, such as latchkey-stack-settings.1
	Text string // ASCII
}

// Main writes the pages into the folder that args names, and returns the exit status.
// It makes the folder, and replaces pages that are there.
func Main(m Manual, args []string, stderr io.Writer) int {
	err := errors.New("one folder is needed, to write the pages to")
	if len(args) == 1 {
		err = m.write(args[0])
	}
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", m.Root.Name(), err)
		return 1
	}
	return 0
}

func (m Manual) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, p := range m.Pages() {
		if err := os.WriteFile(filepath.Join(dir, p.Name), []byte(p.Text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Pages returns a page for each command, the root's first. The same commands and
// version give the same pages: there is no date in them.
func (m Manual) Pages() []Page {
	m.Root.InitDefaultCompletionCmd() // which cobra adds only when the program runs
	return m.pages(m.Root)
}

func (m Manual) pages(cmd *cobra.Command) []Page {
	list := []Page{{Name: title(cmd) + "." + m.Section, Text: m.page(cmd)}}
	for _, sub := range subcommands(cmd) {
		list = append(list, m.pages(sub)...)
	}
	return list
}

func subcommands(cmd *cobra.Command) []*cobra.Command {
	return slices.DeleteFunc(slices.Clone(cmd.Commands()), func(sub *cobra.Command) bool { return !sub.IsAvailableCommand() })
}

// title is what man is asked for: the words of the command with hyphens.
func title(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

func (m Manual) page(cmd *cobra.Command) string {
	cmd.InitDefaultHelpFlag()
	var r roff
	r.line(".TH %s %s \"\" %s Latchkey", quote(strings.ToUpper(title(cmd))), m.Section, quote(m.Root.Name()+" "+m.Version))
	r.line(".SH NAME")
	r.line("%s \\- %s", escape(title(cmd)), escape(cmd.Short))
	r.synopsis(cmd)
	r.line(".SH DESCRIPTION")
	r.prose(cmp.Or(cmd.Long, cmd.Short+"."))
	r.commands(cmd, m.Section)
	r.options(cmd)
	if !cmd.HasAvailableSubCommands() {
		r.line(".SH EXIT STATUS")
		r.prose("0 done, 1 not done, 2 the command line is wrong. A status that is described above goes before these.")
	}
	if cmd.Example != "" {
		r.line(".SH EXAMPLES")
		r.literal(strings.Split(cmd.Example, "\n"))
	}
	m.seeAlso(&r, cmd)
	return r.String()
}

func (r *roff) synopsis(cmd *cobra.Command) {
	path := cmd.CommandPath()
	usage := " COMMAND"
	if !cmd.HasAvailableSubCommands() {
		usage = strings.TrimPrefix(cmd.UseLine(), path)
	}
	r.line(".SH SYNOPSIS")
	r.line("\\fB%s\\fR%s", escape(path), escape(usage))
}

func (r *roff) commands(cmd *cobra.Command, section string) {
	if !cmd.HasAvailableSubCommands() {
		return
	}
	r.line(".SH COMMANDS")
	for _, sub := range subcommands(cmd) {
		r.item("\\fB"+escape(title(sub))+"\\fR("+section+")", sub.Short+".")
	}
}

// options prints every flag that the command takes, those of the commands above too,
// as help does: by name.
func (r *roff) options(cmd *cobra.Command) {
	var flags []*pflag.Flag
	cmd.InheritedFlags() // makes the flags of the commands above the command's own
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			flags = append(flags, f)
		}
	})
	fromVariable := false
	r.line(".SH OPTIONS")
	for _, f := range flags {
		value, text := pflag.UnquoteUsage(f)
		fromVariable = fromVariable || strings.Contains(text, "[$")
		if d := f.DefValue; !slices.Contains([]string{"", "false", "[]", "0"}, d) {
			text += " (default " + d + ")"
		}
		r.item(option(f, value), text)
	}
	if !fromVariable {
		return
	}
	next := "."
	if cmd.Flags().Lookup("config") != nil {
		next = ", and then from the file of --config."
	}
	r.line(".SH ENVIRONMENT")
	r.prose("What a flag does not give is taken from the variable that stands in brackets beside it" + next)
}

func option(f *pflag.Flag, value string) string {
	tag := "\\fB" + escape("--"+f.Name) + "\\fR"
	if f.Shorthand != "" {
		tag = "\\fB" + escape("-"+f.Shorthand) + "\\fR, " + tag
	}
	if value != "" {
		tag += " \\fI" + escape(value) + "\\fR"
	}
	return tag
}

func (m Manual) seeAlso(r *roff, cmd *cobra.Command) {
	var pages []string
	if cmd.HasParent() {
		pages = []string{title(cmd.Parent()) + "(" + m.Section + ")"}
	} else {
		pages = m.SeeAlso
	}
	if len(pages) > 0 {
		r.line(".SH SEE ALSO")
		r.prose(strings.Join(pages, ", "))
	}
}
