package manual_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"latchkey/cmd/internal/manual"
)

// sample is a command line with one of everything.
func sample() manual.Manual {
	root := &cobra.Command{Use: "prog", Short: "A program"}
	run := func(*cobra.Command, []string) {}
	set := &cobra.Command{
		Use: "set NAME", Short: "Set what \\n stands for", Run: run,
		Long: `.Set is a word
'of' a text - with --flags, ~ and ^ and ` + "`" + `.

Next:

  one  the first
  two  the second…
after
  prog set web
	and	a tab`,
		Example: "  prog set web \\\n    --wait 1m",
	}
	root.PersistentFlags().StringP("server", "s", "", "`URL` of the server [$LATCHKEY_SERVER]")
	set.Flags().Duration("wait", time.Minute, "how long")
	set.Flags().Bool("yes", false, "do it")
	set.Flags().String("hidden", "", "not shown")
	if err := set.Flags().MarkHidden("hidden"); err != nil {
		panic(err)
	}
	set.Flags().String("config", "", "`FILE` with settings")
	root.CompletionOptions.DisableDefaultCmd = true // its pages are cobra's to word
	root.AddCommand(set, &cobra.Command{Use: "gone", Hidden: true, Run: run})
	return manual.Manual{Root: root, Section: "8", Version: `1"2`, SeeAlso: []string{"other(5)"}}
}

func TestPages(t *testing.T) {
	want := []manual.Page{{Name: "prog.8", Text: `.TH "PROG" 8 "" "prog 1\(dq2" Latchkey
.SH NAME
prog \- A program
.SH SYNOPSIS
\fBprog\fR COMMAND
.SH DESCRIPTION
A program.
.SH COMMANDS
.TP
\fBprog\-set\fR(8)
Set what \en stands for.
.SH OPTIONS
.TP
\fB\-h\fR, \fB\-\-help\fR
help for prog
.TP
\fB\-s\fR, \fB\-\-server\fR \fIURL\fR
URL of the server [$LATCHKEY_SERVER]
.SH ENVIRONMENT
What a flag does not give is taken from the variable that stands in brackets beside it.
.SH SEE ALSO
other(5)
`}, {Name: "prog-set.8", Text: `.TH "PROG\-SET" 8 "" "prog 1\(dq2" Latchkey
.SH NAME
prog\-set \- Set what \en stands for
.SH SYNOPSIS
\fBprog set\fR NAME [flags]
.SH DESCRIPTION
\&.Set is a word
\&\(aqof\(aq a text \- with \-\-flags, \(ti and \(ha and \(ga.
.PP
Next:
.TP
\fBone\fR
the first
.TP
\fBtwo\fR
the second\[u2026]
.PP
after
.PP
.RS 4
.nf
prog set web
and	a tab
.fi
.RE
.SH OPTIONS
.TP
\fB\-\-config\fR \fIFILE\fR
FILE with settings
.TP
\fB\-h\fR, \fB\-\-help\fR
help for set
.TP
\fB\-s\fR, \fB\-\-server\fR \fIURL\fR
URL of the server [$LATCHKEY_SERVER]
.TP
\fB\-\-wait\fR \fIduration\fR
how long (default 1m0s)
.TP
\fB\-\-yes\fR
do it
.SH ENVIRONMENT
What a flag does not give is taken from the variable that stands in brackets beside it, and then from the file of \-\-config.
.SH EXIT STATUS
0 done, 1 not done, 2 the command line is wrong. A status that is described above goes before these.
.SH EXAMPLES
.PP
.RS 4
.nf
prog set web \e
  \-\-wait 1m
.fi
.RE
.SH SEE ALSO
prog(8)
`}}
	if diff := cmp.Diff(want, sample().Pages()); diff != "" {
		t.Error(diff)
	}
}

func TestMain_Writes(t *testing.T) {
	var errs bytes.Buffer
	dir := filepath.Join(t.TempDir(), "man", "man8")
	for range 2 { // also over what is there
		if status := manual.Main(sample(), []string{dir}, &errs); status != 0 || errs.Len() != 0 {
			t.Fatalf("ended with %d: %s", status, &errs)
		}
	}
	for _, p := range sample().Pages() {
		if text, err := os.ReadFile(filepath.Join(dir, p.Name)); err != nil || string(text) != p.Text {
			t.Errorf("%s is %q: %v", p.Name, text, err)
		}
	}
	if status := manual.Main(sample(), nil, &errs); status != 1 || errs.String() != "prog: one folder is needed, to write the pages to\n" {
		t.Errorf("without a folder it ended with %d: %s", status, &errs)
	}
	errs.Reset()
	if status := manual.Main(sample(), []string{filepath.Join(dir, "prog.8")}, &errs); status != 1 || errs.Len() == 0 {
		t.Errorf("with a file for a folder it ended with %d: %s", status, &errs)
	}
}
