package cli

import (
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const (
	envPrefix    = "LATCHKEY_"
	settingMark  = "latchkey-setting"
	requiredMark = "latchkey-required"
	configFlag   = "config"
)

// Settings marks flags of cmd as settings. A setting that its flag does not give
// comes from the environment variable LATCHKEY_NAME (upper case, - as _), else,
// when the command has --config ([ConfigFlag]), from the key of the flag's name
// in that file. A list is given by repeating the flag, by commas in the
// environment, by a YAML list in the file. An empty environment variable counts
// as not set. Secrets are never settings: pass the path of a file.
//
// It panics on a flag that cmd does not have, which is a mistake in the program.
func Settings(cmd *cobra.Command, names ...string) {
	for _, n := range names {
		f := mark(cmd, n, settingMark)
		f.Usage += " [$" + envName(n) + "]"
	}
}

// Require marks flags that must have a value, from wherever, when cmd runs.
func Require(cmd *cobra.Command, names ...string) {
	for _, n := range names {
		mark(cmd, n, requiredMark)
	}
}

// ConfigFlag adds --config FILE, a setting itself, to cmd.
func ConfigFlag(cmd *cobra.Command) {
	cmd.Flags().String(configFlag, "", "YAML `FILE` with settings, by the names of the flags")
	Settings(cmd, configFlag)
}

func mark(cmd *cobra.Command, name, how string) *pflag.Flag {
	f := cmd.Flags().Lookup(name)
	if f == nil {
		f = cmd.PersistentFlags().Lookup(name)
	}
	if f == nil {
		panic("cli: " + cmd.Name() + " has no flag --" + name)
	}
	if f.Annotations == nil {
		f.Annotations = map[string][]string{}
	}
	f.Annotations[how] = []string{"yes"}
	return f
}

func marked(f *pflag.Flag, how string) bool { return len(f.Annotations[how]) > 0 }

func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// loadSettings fills the settings of cmd that its flags left open and then looks
// for required ones that are still missing.
func loadSettings(cmd *cobra.Command) error {
	flags := cmd.Flags()
	if err := fromEnvironment(flags); err != nil {
		return err
	}
	if f := flags.Lookup(configFlag); f != nil && marked(f, settingMark) && f.Value.String() != "" {
		if err := fromFile(flags, f.Value.String()); err != nil {
			return err
		}
	}
	return missing(flags)
}

func fromEnvironment(flags *pflag.FlagSet) (err error) {
	flags.VisitAll(func(f *pflag.Flag) {
		value := os.Getenv(envName(f.Name))
		if err != nil || f.Changed || value == "" || !marked(f, settingMark) {
			return
		}
		values := []string{value}
		if isList(f) {
			values = strings.Split(value, ",")
		}
		err = set(flags, f, "$"+envName(f.Name), values)
	})
	return err
}

func isList(f *pflag.Flag) bool {
	_, list := f.Value.(pflag.SliceValue)
	return list
}

// set gives a flag its value as if typed; where names the source for the error.
func set(flags *pflag.FlagSet, f *pflag.Flag, where string, values []string) error {
	f.Changed = true
	if list, ok := f.Value.(pflag.SliceValue); ok {
		if err := list.Replace(values); err != nil {
			return Usage("", "%s: %v", where, err)
		}
		return nil
	}
	for _, v := range values {
		if err := flags.Set(f.Name, v); err != nil {
			return Usage("", "%s: %q is not %s", where, v, kind(f))
		}
	}
	return nil
}

func missing(flags *pflag.FlagSet) (err error) {
	flags.VisitAll(func(f *pflag.Flag) {
		if err == nil && marked(f, requiredMark) && (f.Value.String() == "" || f.Value.String() == "[]") {
			err = Usage("", "--%s is missing", f.Name)
		}
	})
	return err
}
