package cli

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Group makes cmd a command that only holds others, adds sub to it and returns
// it. Called without a subcommand, or with one that does not exist, it is a usage
// error that names the choices.
func Group(cmd *cobra.Command, sub ...*cobra.Command) *cobra.Command {
	cmd.AddCommand(sub...)
	cmd.Args = cobra.ArbitraryArgs
	cmd.DisableFlagsInUseLine = true
	cmd.SuggestionsMinimumDistance = 2 // edits between a mistyped name and the one meant
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return noSuchCommand(cmd, args) }
	if cmd.Annotations == nil {
		cmd.Annotations = map[string]string{}
	}
	cmd.Annotations[groupMark] = "yes"
	return cmd
}

const groupMark = "latchkey-group"

func noSuchCommand(cmd *cobra.Command, args []string) error {
	var names []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	choices := "one of: " + strings.Join(names, ", ")
	if len(args) == 0 {
		return Usage(choices, "%s needs a command", cmd.CommandPath())
	}
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		choices = "did you mean " + cmd.CommandPath() + " " + near[0] + "?"
	}
	return Usage(choices, "%s has no command %q", cmd.CommandPath(), args[0])
}

// Args returns the check of a command's positional arguments, by name: "STACK"
// must be there, "[FILE]" may be, and the last may end in "..." for any number
// more. Anything missing or left over is a usage error that names it.
func Args(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		for i, n := range names {
			if i >= len(args) && !strings.HasPrefix(n, "[") {
				return Usage("", "%s needs %s", cmd.CommandPath(), strings.TrimSuffix(n, "..."))
			}
		}
		many := len(names) > 0 && strings.HasSuffix(strings.TrimSuffix(names[len(names)-1], "]"), "...")
		if len(args) > len(names) && !many {
			return Usage("", "%s takes no argument %q", cmd.CommandPath(), args[len(names)])
		}
		return nil
	}
}

// JSONFlag adds --json to a command that prints data.
func JSONFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().Bool("json", false, "print JSON, for programs")
}

// flagError says in our words what cobra's flag parser found.
func flagError(cmd *cobra.Command, err error) error {
	if cmd.Annotations[groupMark] != "" && cmd.Flags().NArg() > 0 {
		return noSuchCommand(cmd, cmd.Flags().Args())
	}
	var unknown *pflag.NotExistError
	var noValue *pflag.ValueRequiredError
	var bad *pflag.InvalidValueError
	var syntax *pflag.InvalidSyntaxError
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() != "":
		return Usage("", "%s has no flag -%s", cmd.CommandPath(), unknown.GetSpecifiedName())
	case errors.As(err, &unknown):
		return Usage("", "%s has no flag --%s", cmd.CommandPath(), unknown.GetSpecifiedName())
	case errors.As(err, &noValue):
		return Usage("", "--%s needs a value", noValue.GetSpecifiedName())
	case errors.As(err, &bad):
		return Usage("", "--%s: %q is not %s", bad.GetFlag().Name, bad.GetValue(), kind(bad.GetFlag()))
	case errors.As(err, &syntax):
		return Usage("", "%q is not a flag", syntax.GetSpecifiedFlag())
	}
	return Usage("", "%v", err)
}

// kind says what a flag's value has to be.
func kind(f *pflag.Flag) string {
	switch f.Value.Type() {
	case "bool":
		return "true or false"
	case "duration":
		return "a duration such as 90s, 15m or 1h"
	case "int", "int64", "uint32", "uint":
		return "a number in range"
	default:
		return "a valid " + f.Value.Type()
	}
}

// help prints what --help shows: as cobra does, but a command that only holds others
// is not said to do anything by itself. Not by a template: with those a program is 2 MB
// larger, since the linker then keeps every method.
func help(cmd *cobra.Command, _ []string) {
	if cmd.Annotations[groupMark] != "" {
		cmd.RunE = nil // nothing is run any more
	}
	if text := strings.TrimSpace(cmp.Or(cmd.Long, cmd.Short)); text != "" {
		fmt.Fprintf(cmd.OutOrStdout(), "%s\n\n", text)
	}
	fmt.Fprint(cmd.OutOrStdout(), strings.ReplaceAll(cmd.UsageString(), "[command]", "COMMAND"))
}

// helpCommand is "help [command...]", which unlike cobra's own refuses a command
// that does not exist.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [command...]",
		Short: "Show the help of a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			found, rest, err := cmd.Root().Find(args)
			if err != nil || found == nil {
				return noSuchCommand(cmd.Root(), args)
			}
			if len(rest) > 0 && found.HasSubCommands() {
				return noSuchCommand(found, rest)
			}
			found.InitDefaultHelpFlag()
			return found.Help()
		},
	}
}
