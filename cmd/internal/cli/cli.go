// Package cli is what the project's command lines have in common: how a command
// starts and stops, how it names what is wrong, where its settings come from and
// how it prints.
//
// The rules it keeps:
//
//   - an error is one line on stderr, "PROGRAM: fact", lower case, no full stop,
//     and a "hint: next step" line when there is a next step;
//   - exit status 0 done, 1 not done, 2 the command line is wrong; a command with
//     statuses of its own returns [Exit];
//   - a wrong command line is refused before anything is opened or changed;
//   - a setting comes from its flag, else its environment variable, else the file
//     that --config names, else its default ([Settings]);
//   - text from elsewhere reaches a terminal through [Text] (requirement R81).
//
// main is therefore one line:
//
//	func main() { os.Exit(cli.Main(newCommand())) }
package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Main runs the command line of the process and returns its exit status. The
// first interrupt or SIGTERM ends the command's context; a second one kills the
// process, so a stop that hangs can be stopped.
func Main(root *cobra.Command) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return Run(ctx, root, os.Args[1:])
}

// Run runs root with args, on the streams set with root.SetIn, SetOut and SetErr
// (by default those of the process), prints its error if it has one, and returns
// the exit status. Commands find ctx in cmd.Context(). They must not set
// PersistentPreRun hooks: Run uses the root's for settings.
func Run(ctx context.Context, root *cobra.Command, args []string) int {
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetFlagErrorFunc(flagError)
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return loadSettings(cmd) }
	root.SetHelpCommand(helpCommand())
	root.SetHelpFunc(help)
	root.InitDefaultCompletionCmd()
	for _, sub := range root.Commands() {
		if sub.Name() == "completion" {
			Group(sub)
		}
	}
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = errors.New("interrupted")
	}
	return report(cmd, err)
}
