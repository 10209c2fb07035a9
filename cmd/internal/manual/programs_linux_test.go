package manual_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// folder is that of the repository.
const folder = "../../.."

// TestPrograms makes the pages as make man does. Each command and each flag that the
// programs tell of in --help stands there, man and lexgrog have nothing to say against
// a page, and none names a page of ours that is not there.
func TestPrograms(t *testing.T) {
	for _, tool := range []string{"go", "man", "lexgrog"} {
		need(t, tool)
	}
	programs, pages := t.TempDir(), t.TempDir()
	for path, section := range map[string]string{"controlplane": "1", "agent": "8", "keys": "8"} {
		program := filepath.Join(programs, path)
		output(t, "go", "build", "-buildvcs=false", "-o", program, folder+"/cmd/"+path)
		staysSmall(t, program)
		if path == "keys" {
			output(t, "cp", folder+"/packaging/man/latchkey-keys."+section, pages)
			continue
		}
		output(t, "go", "run", "-buildvcs=false", "-tags", "manual", folder+"/cmd/"+path, pages)
	}
	shown := read(t, pages)
	told := map[string][]string{"latchkey-keys.8": helpOfHook(t, filepath.Join(programs, "keys"))}
	commands(t, told, filepath.Join(programs, "controlplane"), "latchkey.1")
	commands(t, told, filepath.Join(programs, "agent"), "latchkey-agent.8")
	for page, facts := range told {
		for _, fact := range facts {
			if !strings.Contains(shown[page], fact) {
				t.Errorf("%s does not have %q:\n%s", page, fact, shown[page])
			}
		}
	}
	for page, text := range shown {
		if told[page] == nil {
			t.Errorf("there is a page %s and no such command", page)
		}
		for _, name := range regexp.MustCompile(`(latchkey[a-z-]*)\(([0-9])\)`).FindAllStringSubmatch(text, -1) {
			if _, found := shown[name[1]+"."+name[2]]; !found {
				t.Errorf("%s names %s, which is not there", page, name[0])
			}
		}
	}
}

func need(t *testing.T, tool string) {
	t.Helper()
	_, err := exec.LookPath(tool)
	switch {
	case err == nil:
	case os.Getenv("LATCHKEY_NO_SKIP") != "":
		t.Fatal(err)
	default:
		t.Skip(err)
	}
}

// output runs a program that has to succeed and to say nothing beside what it prints.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	var errs strings.Builder
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stderr = &errs
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "LC_ALL=C.UTF-8", "MANWIDTH=1000", "MANOPT=--nj --nh")
	out, err := cmd.Output()
	if err != nil || errs.Len() > 0 {
		t.Fatalf("%s: %v\n%s", cmd, err, &errs)
	}
	return string(out)
}

// staysSmall: what makes pages is not in the program, nor are templates, with which the
// linker keeps every method (2 MB); cobra's are left out as long as nobody sets one.
func staysSmall(t *testing.T, program string) {
	t.Helper()
	symbols := output(t, "go", "tool", "nm", program)
	if !strings.Contains(symbols, " main.main\n") {
		t.Fatalf("%s has no symbols to look at", program)
	}
	for _, unwanted := range []string{" latchkey/cmd/internal/manual.", " text/template.(*Template).Execute\n"} {
		if strings.Contains(symbols, unwanted) {
			t.Errorf("%s links%s", program, unwanted)
		}
	}
}

// read returns the pages of a folder as they are shown, with single spaces.
func read(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(dir + "/*")
	if err != nil {
		t.Fatal(err)
	}
	output(t, "lexgrog", files...) // what apropos and whatis find
	shown := map[string]string{}
	for _, file := range files {
		text := output(t, "man", "--warnings", "-E", "UTF-8", "-l", file)
		shown[filepath.Base(file)] = strings.Join(strings.Fields(text), " ")
	}
	return shown
}

// commands adds to told, by page, what --help tells of a command and of those below it.
func commands(t *testing.T, told map[string][]string, program, page string, words ...string) {
	t.Helper()
	flag := regexp.MustCompile(`(?m)^ +(?:-[a-z], )?(--[a-z-]+)`)
	sub := regexp.MustCompile(`(?m)^  ([a-z-]+) +(\S.*)$`)
	help := output(t, program, append(words, "--help")...)
	_, list, _ := strings.Cut(help, "\nAvailable Commands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	_, flags, _ := strings.Cut(help, "\nFlags:\n")
	if unnamed := regexp.MustCompile(`--[a-z-]+ (string|strings|stringArray|duration|u?int(32|64)?) `).FindString(flags); unnamed != "" {
		t.Errorf("%s --help does not say what the value is: %s", page, unnamed)
	}
	told[page] = []string{} // not nil: there is such a command
	for _, f := range flag.FindAllStringSubmatch(flags, -1) {
		told[page] = append(told[page], f[1])
	}
	for _, s := range sub.FindAllStringSubmatch(list, -1) {
		if s[1] == "help" {
			continue // it shows the others
		}
		name, section, _ := strings.Cut(page, ".")
		below := fmt.Sprintf("%s-%s.%s", name, s[1], section)
		told[page] = append(told[page], s[2])
		commands(t, told, program, below, append(words[:len(words):len(words)], s[1])...)
	}
}

// helpOfHook returns the facts of its usage: its page is written by hand.
func helpOfHook(t *testing.T, program string) (facts []string) {
	t.Helper()
	for line := range strings.Lines(output(t, program, "--help")) {
		for _, word := range []string{"usage:", "example:", "exit status:"} {
			line = strings.TrimPrefix(line, word)
		}
		facts = append(facts, strings.Trim(line, " :\n"))
	}
	return facts
}
