package cli_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"latchkey/cmd/internal/cli"
)

// sample is a command line with one of everything.
func sample() *cobra.Command {
	serve := &cobra.Command{Use: "serve", Short: "Serve", Args: cli.Args(), RunE: func(cmd *cobra.Command, _ []string) error {
		dir, _ := cmd.Flags().GetString("data-dir")
		names, _ := cmd.Flags().GetStringArray("name")
		wait, _ := cmd.Flags().GetDuration("wait")
		account, _ := cmd.Flags().GetString("account-id")
		fmt.Fprintf(cmd.OutOrStdout(), "%s %v %s %s\n", dir, names, wait, account)
		return nil
	}}
	serve.Flags().String("data-dir", "", "where")
	serve.Flags().StringArray("name", nil, "names")
	serve.Flags().Duration("wait", time.Minute, "how long")
	serve.Flags().String("account-id", "-", "account")
	serve.Flags().Bool("yes", false, "not a setting")
	cli.ConfigFlag(serve)
	cli.Settings(serve, "data-dir", "name", "wait", "account-id")
	cli.Require(serve, "data-dir")

	fail := func(name string, err error) *cobra.Command {
		return &cobra.Command{Use: name, Args: cli.Args(), RunE: func(*cobra.Command, []string) error { return err }}
	}
	show := &cobra.Command{Use: "show USER", Args: cli.Args("USER", "[FILE]"), RunE: func(*cobra.Command, []string) error { return nil }}
	wait := &cobra.Command{Use: "wait", Args: cli.Args(), RunE: func(cmd *cobra.Command, _ []string) error {
		<-cmd.Context().Done()
		return cmd.Context().Err()
	}}
	return cli.Group(&cobra.Command{Use: "prog", Short: "A program"}, serve, wait,
		fail("plain", errors.New("read x: no such file")),
		fail("hinted", cli.Hint(errors.New("no server"), "start one")),
		fail("odd", errors.New("name \x1b[2J\nroot")),
		fail("two", errors.Join(errors.New("first"), errors.New("second"))),
		fail("both", errors.Join(fmt.Errorf("%w: %w", errors.New("not kept"), errors.New("is for all")), errors.New("other"))),
		fail("changes", cli.Exit(2)),
		cli.Group(&cobra.Command{Use: "user"}, show))
}

func run(ctx context.Context, args ...string) string {
	var out, errs bytes.Buffer
	root := sample()
	root.SetOut(&out)
	root.SetErr(&errs)
	code := cli.Run(ctx, root, args)
	return fmt.Sprintf("exit %d\n%s%s", code, out.String(), errs.String())
}

func TestErrors(t *testing.T) {
	help := "hint: prog serve --help shows the usage and an example\n"
	for _, tt := range []struct{ args, want string }{
		{"", "exit 2\nprog: prog needs a command\nhint: one of: both, changes, completion, hinted, odd, plain, serve, two, user, wait\n"},
		{"serv --x", "exit 2\nprog: prog has no command \"serv\"\nhint: did you mean prog serve?\n"},
		{"user", "exit 2\nprog: prog user needs a command\nhint: one of: show\n"},
		{"user nothing", "exit 2\nprog: prog user has no command \"nothing\"\nhint: one of: show\n"},
		{"user show", "exit 2\nprog: prog user show needs USER\nhint: prog user show --help shows the usage and an example\n"},
		{"user show a b c", "exit 2\nprog: prog user show takes no argument \"c\"\nhint: prog user show --help shows the usage and an example\n"},
		{"user show a b", "exit 0\n"},
		{"help nothing", "exit 2\nprog: prog has no command \"nothing\"\nhint: one of: both, changes, completion, hinted, odd, plain, serve, two, user, wait\n"},
		{"completion fish-and-chips", "exit 2\nprog: prog completion has no command \"fish-and-chips\"\nhint: one of: bash, fish, powershell, zsh\n"},
		{"--bogus", "exit 2\nprog: prog has no flag --bogus\nhint: prog --help shows the usage and an example\n"},
		{"serve --bogus", "exit 2\nprog: prog serve has no flag --bogus\n" + help},
		{"serve -z", "exit 2\nprog: prog serve has no flag -z\n" + help},
		{"serve --wait soon", "exit 2\nprog: --wait: \"soon\" is not a duration such as 90s, 15m or 1h\n" + help},
		{"serve --wait", "exit 2\nprog: --wait needs a value\n" + help},
		{"serve --yes=perhaps", "exit 2\nprog: --yes: \"perhaps\" is not true or false\n" + help},
		{"serve", "exit 2\nprog: --data-dir is missing\n" + help},
		{"plain", "exit 1\nprog: read x: no such file\n"},
		{"hinted", "exit 1\nprog: no server\nhint: start one\n"},
		{"odd", "exit 1\nprog: name \\x1b[2J\\nroot\n"},
		{"two", "exit 1\nprog: first\nprog: second\n"},
		{"both", "exit 1\nprog: not kept: is for all\nprog: other\n"},
		{"changes", "exit 2\n"},
	} {
		t.Run(strings.ReplaceAll("args "+tt.args, " ", "-"), func(t *testing.T) {
			if diff := cmp.Diff(tt.want, run(t.Context(), strings.Fields(tt.args)...)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestHelp: of a command that only holds others, and of one that does something.
func TestHelp(t *testing.T) {
	want := "exit 0\nUsage:\n  prog user COMMAND\n\nAvailable Commands:\n  show        \n\nFlags:\n  -h, --help   help for user\n\n" +
		"Use \"prog user COMMAND --help\" for more information about a command.\n"
	if diff := cmp.Diff(want, run(t.Context(), "user", "--help")); diff != "" {
		t.Error(diff)
	}
	want = "exit 0\nUsage:\n  prog user show USER [flags]\n\nFlags:\n  -h, --help   help for show\n"
	if diff := cmp.Diff(want, run(t.Context(), "user", "show", "--help")); diff != "" {
		t.Error(diff)
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, want := run(ctx, "wait"), "exit 1\nprog: interrupted\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSettingsPrecedence(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.yaml")
	write(t, file, "# comment\ndata-dir: /from/file\nname: [a, b]\naccount-id: 000000000012\n")
	for _, tt := range []struct {
		name, want string
		env        map[string]string
		args       []string
	}{
		{name: "default", args: []string{"serve", "--data-dir", "d"}, want: "d [] 1m0s -"},
		{name: "file", args: []string{"serve", "--config", file}, want: "/from/file [a b] 1m0s 000000000012"},
		{name: "environment-over-file", args: []string{"serve"}, want: "/env [x y] 5s 000000000012",
			env: map[string]string{"LATCHKEY_CONFIG": file, "LATCHKEY_DATA_DIR": "/env", "LATCHKEY_NAME": "x,y", "LATCHKEY_WAIT": "5s"}},
		{name: "flag-over-environment", args: []string{"serve", "--data-dir", "d", "--name", "n", "--config", file}, want: "d [n] 1m0s 000000000012",
			env: map[string]string{"LATCHKEY_DATA_DIR": "/env", "LATCHKEY_NAME": "x,y"}},
		{name: "empty-variable-is-none", args: []string{"serve", "--config", file}, want: "/from/file [a b] 1m0s 000000000012",
			env: map[string]string{"LATCHKEY_DATA_DIR": ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for k, v := range tt.env {
				t.Setenv(k, v)
			}
			if got, want := run(t.Context(), tt.args...), "exit 0\n"+tt.want+"\n"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestBadSettings(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct{ name, file, want string }{
		{"unknown-key", "data-dir: d\nlisten: x\n", `FILE:2: "listen" is not a setting of this command`},
		{"not-a-setting", "yes: true\n", `FILE:1: "yes" is not a setting of this command`},
		{"config-in-config", "config: x\n", `FILE:1: "config" is not a setting of this command`},
		{"twice", "data-dir: d\ndata-dir: e\n", `FILE:2: mapping key "data-dir" already defined at [1:1]`},
		{"list-for-one", "data-dir: [a, b]\n", `FILE:1: "data-dir" takes one value`},
		{"null", "data-dir:\n", `FILE:1: "data-dir" has no plain value`},
		{"map", "data-dir:\n  a: b\n", `FILE:1: "data-dir" has no plain value`},
		{"wrong-kind", "wait: soon\n", `FILE:1: wait: "soon" is not a duration such as 90s, 15m or 1h`},
		{"no-settings", "- a\n", `FILE: not a list of settings`},
		{"not-yaml", "a: [\n", `FILE:1: sequence end token ']' not found`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(dir, tt.name+".yaml")
			write(t, path, tt.file)
			got := run(t.Context(), "serve", "--config", path)
			want := "exit 2\nprog: " + strings.ReplaceAll(tt.want, "FILE", path)
			if !strings.HasPrefix(got, want+"\nhint: ") {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	t.Run("no-file", func(t *testing.T) {
		got := run(t.Context(), "serve", "--config", filepath.Join(dir, "none"))
		if !strings.HasPrefix(got, "exit 2\nprog: --config: open ") {
			t.Errorf("got %q", got)
		}
	})
	t.Run("variable", func(t *testing.T) {
		t.Setenv("LATCHKEY_WAIT", "soon")
		got := run(t.Context(), "serve", "--data-dir", "d")
		if want := "exit 2\nprog: $LATCHKEY_WAIT: \"soon\" is not a duration"; !strings.HasPrefix(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// TestText holds R81.
func TestText(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"plain é 日本", "plain é 日本"},
		{"a\nb\tc", `a\nb\tc`},
		{"\x1b[31mred", `\x1b[31mred`},
		{"bad \xff utf", `bad \xff utf`},
		{"csi \u009b right-to-left \u202e", `csi \u009b right-to-left \u202e`},
		{strings.Repeat("x", 5000), strings.Repeat("x", 4096) + "…"},
		{strings.Repeat("é", 2048) + "é", strings.Repeat("é", 2048) + "…"},
	} {
		if got := cli.Text(tt.in); got != tt.want {
			t.Errorf("Text(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestPrinting(t *testing.T) {
	var b bytes.Buffer
	if err := cli.Table(&b, []string{"NAME", "LEVEL", "NOTE"}, [][]string{{"alice", "", "ok"}, {"b\x1b[0mb", "show", "x"}}); err != nil {
		t.Fatal(err)
	}
	if err := cli.JSON(&b, map[string]string{"a<b": "\u009b \U000e0041 & é"}); err != nil {
		t.Fatal(err)
	}
	want := `NAME       LEVEL  NOTE
alice      -      ok
b\x1b[0mb  show   x
{
  "a<b": "\u009b \udb40\udc41 & é"
}
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestProgressIsQuietInAPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := cli.NewProgress(w)
	p.Step("working")
	p.Done()
	w.Close()
	var b bytes.Buffer
	if n, _ := b.ReadFrom(r); n != 0 {
		t.Errorf("wrote %q", b.String())
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
