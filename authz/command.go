package authz

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"latchkey/authz/name"
)

// Bounds of what sudo is limited to: one rule is one line of its policy.
const (
	MaxCommand  = 256 // bytes of one command with its arguments
	MaxCommands = 32
)

// Reasons for refusing a command that sudo shall be limited to.
var (
	ErrCommandEmpty    = name.Refuse("command_empty", "command is empty")
	ErrCommandLong     = name.Refuse("command_too_long", "command is longer than 256 bytes")
	ErrCommandAbsolute = name.Refuse("command_not_absolute", "command does not begin with / and so names no one program")
	ErrCommandPath     = name.Refuse("command_path", "path of the command is not the shortest, or is that of a folder: it has an empty part, a . or .., or ends in /")
	ErrCommandSpaces   = name.Refuse("command_spaces", "command has a space at an end, or two in a row")
	ErrCommandLetter   = name.Refuse("command_character", "command holds a character other than A-Z, a-z, 0-9, / . _ + - and single spaces")
	ErrCommandSpecial  = name.Refuse("not_expressible",
		"command holds what sudoers(5) gives a meaning: a wildcard, a list, a quote, an alias, a setting, an include, a word like ALL or sudoedit")
	ErrCommandCount = name.Refuse("too_many_commands", "there are more than 32 commands")
)

// Command is one program with its arguments that sudo may be limited to. Only
// ParseCommand makes one; the zero value is none.
//
// It is exact. Without arguments it stands for the program run without any, and with
// arguments for these, no less and no more. There is no way to say "with any
// arguments": that is a wildcard (requirement R55), and most programs of a system give
// all of root away with arguments of the user's choice. sudo compares arguments as one
// text, joined by spaces (sudoers(5)).
type Command struct{ s string }

// ParseCommand reads PATH or PATH ARGUMENTS, at most MaxCommand bytes, and never
// changes it. PATH is absolute and clean. Of characters there are letters, digits,
// / . _ + - and the single space between arguments. What sudoers(5) gives a meaning of
// its own is refused with ErrCommandSpecial, even where a backslash would take the
// meaning away: two programs read that file, and must read the same (requirements R48,
// R55).
func ParseCommand(s string) (Command, error) {
	switch {
	case s == "":
		return Command{}, ErrCommandEmpty
	case len(s) > MaxCommand:
		return Command{}, ErrCommandLong
	case strings.ContainsAny(s, sudoersMarks):
		return Command{}, ErrCommandSpecial
	case strings.IndexFunc(s, foreignToCommand) >= 0:
		return Command{}, ErrCommandLetter
	case s[0] == ' ', s[len(s)-1] == ' ', strings.Contains(s, "  "):
		return Command{}, ErrCommandSpaces
	}
	program, _, _ := strings.Cut(s, " ")
	switch {
	case sudoersWord(program):
		return Command{}, ErrCommandSpecial
	case program[0] != '/':
		return Command{}, ErrCommandAbsolute
	case program == "/", path.Clean(program) != program:
		return Command{}, ErrCommandPath
	case path.Base(program) == "sudoedit": // sudo reads any path to it as the word
		return Command{}, ErrCommandSpecial
	}
	return Command{s}, nil
}

// sudoersMarks are the characters that mean something in a command of sudoers(5).
const sudoersMarks = `,:=\*?[]!()"#@%^$&|;<>{}'~` + "`"

func foreignToCommand(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return false
	}
	return !strings.ContainsRune("/._+- ", r)
}

// sudoersWord reports whether a word without a / is one of sudoers' own, or may be the
// name of an alias.
func sudoersWord(s string) bool {
	switch s {
	case "list", "sudoedit", "Defaults", "User_Alias", "Runas_Alias", "Host_Alias", "Cmnd_Alias", "Cmd_Alias":
		return true
	}
	return 'A' <= s[0] && s[0] <= 'Z' && strings.IndexFunc(s, func(r rune) bool {
		return r != '_' && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	}) < 0
}

// String returns the command as it was read, or "" for the zero value.
func (c Command) String() string { return c.s }

// sudoers prints the command for sudoers(5), where "" stands for no arguments, and
// nothing for any.
func (c Command) sudoers() string {
	if strings.Contains(c.s, " ") {
		return c.s
	}
	return c.s + ` ""`
}

// Commands is the closed list that a user's sudo is limited to: sorted, each once. Only
// ParseCommands makes one. The zero value is no limit, so it is always read beside the
// flag that gives sudo, whose zero value gives none. Two lists are the same when they
// are equal.
type Commands struct{ text string } // one a line

// ParseCommands reads a list in any order. No commands are no limit. The first one that
// ParseCommand refuses refuses the list, and so do more than MaxCommands
// (ErrCommandCount).
func ParseCommands(list []string) (Commands, error) {
	if len(list) > MaxCommands {
		return Commands{}, ErrCommandCount
	}
	for _, s := range list {
		if _, err := ParseCommand(s); err != nil {
			return Commands{}, err
		}
	}
	sorted := slices.Clone(list)
	slices.Sort(sorted)
	return Commands{strings.Join(slices.Compact(sorted), "\n")}, nil
}

// IsZero reports whether there is no limit.
func (c Commands) IsZero() bool { return c.text == "" }

// List returns the commands, sorted; nil when there is no limit.
func (c Commands) List() []string {
	if c.IsZero() {
		return nil
	}
	return strings.Split(c.text, "\n")
}

// Count says for people how many there are: "2 commands".
func (c Commands) Count() string {
	if n := len(c.List()); n != 1 {
		return strconv.Itoa(n) + " commands"
	}
	return "1 command"
}

// Sudoers prints the list as the commands of a rule of sudoers(5): ALL when there is no
// limit.
func (c Commands) Sudoers() string {
	var all []string
	for _, s := range c.List() {
		all = append(all, Command{s}.sudoers())
	}
	if all == nil {
		return "ALL"
	}
	return strings.Join(all, ", ")
}

// ReadSudoers reads what Sudoers printed. Other text is refused, or is a list that
// Sudoers prints otherwise: compare.
func ReadSudoers(text string) (Commands, error) {
	if text == "ALL" {
		return Commands{}, nil
	}
	list := strings.Split(text, ", ")
	for i, s := range list {
		list[i] = strings.TrimSuffix(s, ` ""`)
	}
	return ParseCommands(list)
}

// covers reports whether everything that o allows is allowed by c.
func (c Commands) covers(o Commands) bool {
	common, some := c.and(o)
	return some && common == o
}

// and returns what both allow; false when that is nothing.
func (c Commands) and(o Commands) (Commands, bool) {
	if c.IsZero() || c == o {
		return o, true
	}
	if o.IsZero() {
		return c, true
	}
	theirs := o.List()
	both := slices.DeleteFunc(c.List(), func(s string) bool { return !slices.Contains(theirs, s) })
	return Commands{strings.Join(both, "\n")}, len(both) > 0
}

// KeepsSudo reports whether after gives all the sudo that g gives.
func (g Grant) KeepsSudo(after Grant) bool {
	return !g.Sudo || after.Sudo && after.SudoCommands.covers(g.SudoCommands)
}

// WithSudoOf returns g with no more sudo than o has too.
func (g Grant) WithSudoOf(o Grant) Grant {
	common, some := g.SudoCommands.and(o.SudoCommands)
	if g.Sudo = g.Sudo && o.Sudo && some; g.Sudo {
		g.SudoCommands = common
	} else {
		g.SudoCommands = Commands{}
	}
	return g
}
