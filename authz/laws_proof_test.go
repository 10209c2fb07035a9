package authz_test

import (
	"strings"
	"testing"
)

// sample is a small repository with a fault, or without one.
type sample struct {
	name  string
	files map[string]string
	want  string // in the report; "": nothing is reported
}

// TestLaws_CanFail breaks each law on purpose.
func TestLaws_CanFail(t *testing.T) {
	samples := map[string][]sample{
		"imports": importSamples(), "purity": puritySamples(), "one-goos": goosSamples(), "system-files": systemSamples(),
		"libraries": librarySamples(), "hook-stays-small": hookSamples(), "package-comments": commentSamples(),
		"package-names": nameSamples(), "error-texts": errorSamples(), "variables": variableSamples(), "exits": exitSamples(),
		"no-command-channel": messageSamples(), "parsed-types": typeSamples(),
		"verdicts": verdictSamples(), "recovers": recoverSamples(),
	}
	for _, law := range laws {
		if len(samples[law.name]) < 2 {
			t.Errorf("law %s has no samples", law.name)
		}
		for _, c := range samples[law.name] {
			t.Run(law.name+"/"+c.name, func(t *testing.T) { reported(t, law.check(parseTree(t, c.files)), c.want) })
		}
	}
}

func reported(t *testing.T, broken []string, want string) {
	t.Helper()
	got := strings.Join(broken, "\n")
	if want == "" && got != "" || want != "" && !strings.Contains(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func importSamples() []sample {
	one := func(path, imported string) map[string]string {
		return map[string]string{path: "package p\nimport _ \"latchkey/" + imported + "\"\n"}
	}
	return []sample{
		{"allowed", one("authz/wire/a.go", "authz"), ""},
		{"below-a-folder", one("cmd/agent/a.go", "agent/plan"), ""},
		{"own-package-in-a-test", one("authz/wire/a_test.go", "authz/wire"), ""},
		{"test-may-more", one("controlplane/api/a_test.go", "controlplane/store"), ""},
		{"code-may-not", one("controlplane/api/a.go", "controlplane/store"), "imports controlplane/store"},
		{"upwards", one("authz/a.go", "authz/wire"), "imports authz/wire"},
		{"sideways", one("agent/a.go", "controlplane"), "imports controlplane"},
		{"sideways-in-a-test", one("agent/client/a_test.go", "controlplane/feed"), "imports controlplane/feed"},
		{"program", one("controlplane/a.go", "cmd/keys"), "imports cmd/keys"},
		{"hook-and-authz", one("agent/hook/a.go", "authz"), "imports authz"},
		{"name-is-not-a-prefix", one("cmd/agent/a.go", "agents"), "imports agents"},
		{"unknown-package", map[string]string{"authz/extra/a.go": "package extra\n"}, "authz/extra: package is in no table"},
		{"unknown-test-package", map[string]string{"tools/a_test.go": "package tools\n"}, "tools: package is in no table"},
	}
}

func TestLaws_TableCanFail(t *testing.T) {
	for _, c := range []struct {
		name string
		all  []module
		want string
	}{
		{"good", []module{{path: "authz"}, {path: "agent", imports: "authz"}, {path: "cmd/internal/cli"}, {path: "cmd/a", imports: "agent cmd/internal/cli"}}, ""},
		{"upwards", []module{{path: "authz", imports: "authz/wire"}, {path: "authz/wire"}}, "not in a lower layer"},
		{"itself", []module{{path: "authz", imports: "authz"}}, "not in a lower layer"},
		{"unknown", []module{{path: "authz", imports: "nothing"}}, "not in a lower layer"},
		{"folder-reaches-up", []module{{path: "authz"}, {path: "agent", imports: "authz/..."}, {path: "authz/wire"}}, "not in a lower layer"},
		{"sides-meet", []module{{path: "agent"}, {path: "controlplane", imports: "agent"}}, "outside authz"},
		{"sides-meet-in-tests", []module{{path: "controlplane"}, {path: "agent", tests: "controlplane"}}, "outside authz"},
		{"program", []module{{path: "cmd/a"}, {path: "e2e", imports: "cmd/a"}}, "program cmd/a"},
		{"program-of-a-program", []module{{path: "cmd/a"}, {path: "cmd/b", imports: "cmd/a"}}, "program cmd/a"},
		{"shared-needs-a-side", []module{{path: "agent/plan"}, {path: "authz/wire", imports: "agent/plan"}}, "authz/wire would import agent/plan"},
	} {
		t.Run(c.name, func(t *testing.T) { reported(t, checkTable(c.all), c.want) })
	}
}

func puritySamples() []sample {
	in := func(path, imports, body string) map[string]string {
		return map[string]string{path: "package p\nimport " + imports + "\nfunc f() { " + body + " }\n"}
	}
	return []sample{
		{"time-as-a-value", in("authz/a.go", `"time"`, "_ = time.Second"), ""},
		{"now", in("authz/a.go", `"time"`, "time.Now()"), "time.Now in a pure package"},
		{"now-as-a-value", in("agent/plan/a.go", `"time"`, "g(time.Now)"), "time.Now in a pure package"},
		{"now-by-another-name", in("authz/wire/a.go", `clock "time"`, "clock.Since(t)"), "time.Since in a pure package"},
		{"dot-import", in("authz/wire/a.go", `. "time"`, "Now()"), "imports time"},
		{"sleep", in("agent/hook/a.go", `"time"`, "time.Sleep(1)"), "time.Sleep in a pure package"},
		{"os", in("authz/name/a.go", `_ "os"`, ""), "imports os"},
		{"logger", in("authz/iam/a.go", `_ "log/slog"`, ""), "imports log/slog"},
		{"http", in("authz/a.go", `_ "net/http"`, ""), "imports net/http"},
		{"test-may", in("authz/a_test.go", `"os"`, "os.Getwd()"), ""},
		{"shell-may", in("agent/host/a.go", `"time"`, "time.Now()"), ""},
	}
}

func goosSamples() []sample {
	use := "package p\nimport \"runtime\"\nvar _ = runtime.GOOS\n"
	return []sample{
		{"once", map[string]string{"cmd/agent/a.go": use, "agent/a_test.go": use}, ""},
		{"twice", map[string]string{"cmd/agent/a.go": use, "agent/a.go": use}, "agent/a.go:3: runtime.GOOS"},
		{"twice-in-a-file", map[string]string{"cmd/agent/a.go": use + "var _ = runtime.GOOS\n"}, "a.go:4: runtime.GOOS"},
	}
}

func systemSamples() []sample {
	return []sample{
		{"host", map[string]string{"agent/host/a_linux.go": "package p\nimport _ \"golang.org/x/sys/unix\"\n"}, ""},
		{"elsewhere", map[string]string{"agent/cache/a_linux.go": "package p\n"}, "a_linux.go: is for one operating system"},
		{"windows-elsewhere", map[string]string{"authz/a_windows.go": "package p\n"}, "a_windows.go: is for one operating system"},
		{"in-a-file-for-all", map[string]string{"agent/host/a.go": "package p\nimport _ \"golang.org/x/sys/unix\"\n"}, "in a file for every system"},
		{"test", map[string]string{"agent/cache/a_linux_test.go": "package p\n"}, ""},
	}
}

func librarySamples() []sample {
	one := func(path, library string) map[string]string {
		return map[string]string{path: "package p\nimport _ \"" + library + "\"\n"}
	}
	return []sample{
		{"wrapped", one("authz/a.go", "golang.org/x/crypto/ssh"), ""},
		{"standard", one("authz/a.go", "encoding/json"), ""},
		{"part-of-a-library", one("controlplane/api/a.go", "github.com/aws/aws-sdk-go-v2/aws/signer/v4"), ""},
		{"second-wrapper", one("agent/host/a.go", "golang.org/x/crypto/ssh"), "imports golang.org/x/crypto/ssh"},
		{"neighbour-of-a-library", one("authz/a.go", "golang.org/x/crypto/sshx"), "imports golang.org/x/crypto/sshx"},
		{"nobody-chose", one("authz/a.go", "example.com/left-pad"), "imports example.com/left-pad"},
		{"test-library", one("agent/a_test.go", "github.com/google/go-cmp/cmp"), ""},
		{"test-library-in-code", one("agent/a.go", "github.com/google/go-cmp/cmp"), "imports github.com/google/go-cmp/cmp"},
		{"library-in-a-test", one("agent/a_test.go", "golang.org/x/crypto/ssh"), "imports golang.org/x/crypto/ssh"},
	}
}

func hookSamples() []sample {
	main := "package main\nimport _ \"latchkey/agent/hook\"\n"
	return []sample{
		{"small", map[string]string{"cmd/keys/a.go": main, "agent/hook/a.go": "package hook\nimport _ \"latchkey/authz/name\"\n"}, ""},
		{"direct", map[string]string{"cmd/keys/a.go": "package main\nimport _ \"latchkey/authz\"\n"}, "links authz"},
		{"through-the-hook", map[string]string{"cmd/keys/a.go": main, "agent/hook/a.go": "package hook\nimport _ \"latchkey/authz\"\n"}, "links authz"},
		{"through-names", map[string]string{
			"cmd/keys/a.go": main, "agent/hook/a.go": "package hook\nimport _ \"latchkey/authz/name\"\n",
			"authz/name/b.go": "package name\nimport _ \"latchkey/authz/wire\"\n",
		}, "links authz/wire"},
		{"test-may", map[string]string{"cmd/keys/a.go": main, "cmd/keys/a_test.go": "package main\nimport _ \"latchkey/authz\"\n"}, ""},
	}
}

func commentSamples() []sample {
	return []sample{
		{"one", map[string]string{"p/p.go": "// Package p is one.\npackage p\n", "p/q.go": "package p\n", "p/p_test.go": "package p\n"}, ""},
		{"none", map[string]string{"p/p.go": "package p\n"}, "p: has 0 package comments"},
		{"two", map[string]string{"p/p.go": "// Package p is one.\npackage p\n", "p/q.go": "// Package p is two.\npackage p\n"}, "p: has 2 package comments"},
		{"apart-from-the-clause", map[string]string{"p/p.go": "// Package p is none.\n\npackage p\n"}, "p: has 0 package comments"},
		{"only-in-a-test", map[string]string{"p/p.go": "package p\n", "p/p_test.go": "// Package p is one.\npackage p\n"}, "p: has 0 package comments"},
		{"directive", map[string]string{"p/p.go": "//go:build linux\npackage p\n"}, "p: has 0 package comments"},
		{"tests-alone", map[string]string{"p/p_test.go": "// Package p is one.\npackage p\n"}, ""},
		{"tests-alone-none", map[string]string{"p/p_test.go": "package p\n"}, "p: has 0 package comments"},
	}
}

func nameSamples() []sample {
	return []sample{
		{"noun", map[string]string{"agent/plan/a.go": "package plan\n"}, ""},
		{"vague", map[string]string{"agent/util/a.go": "package util\n"}, "agent/util/a.go"},
		{"vague-tests", map[string]string{"e2e/helpers/a_test.go": "package helpers\n"}, "e2e/helpers/a_test.go"},
	}
}

func errorSamples() []sample {
	one := func(name, expression, want string) sample {
		return sample{name, map[string]string{"p/p.go": "package p\nfunc f() { _ = " + expression + " }\n"}, want}
	}
	const want = "p/p.go:2"
	return []sample{
		one("fact", `errors.New("key is longer than 8 KiB")`, ""),
		one("operand", `fmt.Errorf("read %s: %w", name, err)`, ""),
		one("initials", `errors.New("RSA key is small")`, ""),
		one("name", `name.Refuse("x", "AllowSsh is not set")`, ""),
		one("noise-inside", `errors.New("unit could not be named")`, ""),
		one("longer-word", `errors.New("errors of the day are gone")`, ""),
		one("failed", `errors.New("failed to read")`, want),
		one("failed-before-colon", `fmt.Errorf("failed: %w", err)`, want),
		one("unable", `fmt.Errorf("unable to read %s", name)`, want),
		one("could-not", `errors.New("could not read")`, want),
		one("cannot", `errors.New("cannot read")`, want),
		one("error", `errors.New("error reading")`, want),
		one("capital", `errors.New("Key is long")`, want),
		one("capital-article", `errors.New("A key is long")`, want),
		one("full-stop", `errors.New("key is long.")`, want),
		one("empty", `errors.New("")`, want),
		one("sum", `errors.New("failed to read " + name)`, want),
		one("refusal", `name.Refuse("x", "cannot read")`, want),
		one("own-refusal", `Refuse("x", "cannot read")`, want),
		one("code-is-free", `name.Refuse("error", "text is long")`, ""),
		{"test", map[string]string{"p/p_test.go": "package p\nvar _ = errors.New(\"error\")\n"}, ""},
	}
}

func variableSamples() []sample {
	one := func(name, text, want string) sample {
		return sample{name, map[string]string{"p/p.go": "package p\n" + text + "\n"}, want}
	}
	const counter = "// counter counts.\nvar counter = 0\n"
	return []sample{
		one("sentinel", `var ErrX = errors.New("x")`, ""),
		one("refusals", "var (\n\tErrX = name.Refuse(\"x\", \"x\")\n\tErrY = name.Refuse(\"y\", \"y\")\n)", ""),
		one("expression", "var form = regexp.MustCompile(`x`)", ""),
		one("embedded", "//go:embed schema\nvar schema embed.FS", ""),
		one("embedded-in-a-group", "var (\n\t//go:embed schema\n\tschema embed.FS\n)", ""),
		one("interface", "var _ error = (*T)(nil)", ""),
		one("table", "// table is read only.\nvar table = map[string]int{}\nfunc f() int { return table[\"x\"] }", ""),
		one("built-table", "// table is read only.\nvar table = build()", ""),
		one("local-of-that-name", counter+"func f() { counter := 1; g(counter) }", ""),
		one("no-comment", "var table = map[string]int{}", "table is a variable"),
		one("no-value", "// x is set later.\nvar x int", "x is a variable"),
		one("exported-table", "// Table is read only.\nvar Table = map[string]int{}", "Table is a variable"),
		one("assigned", counter+"func f() { counter = 1 }", "counter is a variable"),
		one("counted", counter+"func f() { counter++ }", "counter is a variable"),
		one("added", counter+"func f() { counter += 2 }", "counter is a variable"),
		one("address", counter+"func f() { g(&counter) }", "counter is a variable"),
		one("member", "// t is a table.\nvar t = T{}\nfunc f() { t.x = 1 }", "t is a variable"),
		one("element", "// t is a table.\nvar t = []int{1}\nfunc f() { t[0] = 1 }", "t is a variable"),
		one("deleted", "// t is a table.\nvar t = map[int]int{}\nfunc f() { delete(t, 1) }", "t is a variable"),
		one("mutex", "// mu guards.\nvar mu = sync.Mutex{}", "mu is a variable"),
		one("once", "// once is lazy.\nvar once = sync.OnceValue(f)", "once is a variable"),
		one("pointer", "// t is state.\nvar t = &T{}", "t is a variable"),
		one("fresh", "// t is state.\nvar t = new(T)", "t is a variable"),
		one("channel", "// c is a channel.\nvar c = make(chan int)", "c is a variable"),
		one("init", "func init() {}", "init function"),
		one("init-method", "func (t T) init() {}", ""),
		{"assigned-in-another-file", map[string]string{"p/p.go": "package p\n" + counter, "p/q.go": "package p\nfunc f() { counter = 1 }\n"}, "counter is a variable"},
		{"assigned-in-another-package", map[string]string{"p/p.go": "package p\n" + counter, "q/q.go": "package q\nfunc f() { counter = 1 }\n"}, ""},
		{"test", map[string]string{"p/p_test.go": "package p\nvar update = flag.Bool()\nfunc init() {}\n"}, ""},
	}
}

func exitSamples() []sample {
	one := func(path, pkg, imports, call string) map[string]string {
		return map[string]string{path: "package " + pkg + "\nimport \"" + imports + "\"\nfunc f() { " + call + " }\n"}
	}
	return []sample{
		{"program", one("cmd/keys/a.go", "main", "os", "os.Exit(1)"), ""},
		{"package", one("agent/a.go", "agent", "os", "os.Exit(1)"), "os.Exit outside a program"},
		{"package-of-programs", one("cmd/internal/cli/a.go", "cli", "os", "os.Exit(1)"), "os.Exit outside a program"},
		{"fatal", one("agent/a.go", "agent", "log", "log.Fatal(1)"), "log.Fatal outside a program"},
		{"test", one("agent/a_test.go", "agent", "os", "os.Exit(m.Run())"), ""},
		{"method-of-ours", one("agent/a.go", "agent", "fmt", "os.Exit(1)"), ""},
	}
}

func messageSamples() []sample {
	one := func(member string) map[string]string {
		return map[string]string{"authz/wire/a.go": "package wire\ntype Line struct{ S string `json:\"s\"` }\ntype Message struct {\n\t" + member + "\n}\n"}
	}
	return []sample{
		{"plain", one("Lines []Line `json:\"lines\"`"), ""},
		{"not-a-message", one("Path func()"), ""},
		{"command", one("X string `json:\"command\"`"), "would name command"},
		{"path", one("X string `json:\"home_path\"`"), "would name home_path"},
		{"url", one("X []string `json:\"url\"`"), "would name url"},
		{"anything", one("X any `json:\"x\"`"), "x is not of a plain type"},
		{"raw", one("X json.RawMessage `json:\"x\"`"), "x is not of a plain type"},
		{"map", one("X map[string]string `json:\"x\"`"), "x is not of a plain type"},
		{"pointer", one("X *Line `json:\"x\"`"), "x is not of a plain type"},
		{"float", one("X float64 `json:\"x\"`"), "x is not of a plain type"},
	}
}

func typeSamples() []sample {
	one := func(text string) map[string]string {
		return map[string]string{"authz/a.go": "package authz\n" + text + "\n"}
	}
	return []sample{
		{"closed", one("type Key struct{ typ, blob string }"), ""},
		{"closed-by-embedding", one("type UserID struct{ id }"), ""},
		{"alias", one("type Key = name.Key"), ""},
		{"others-are-free", one("type Grant struct{ Sudo bool }"), ""},
		{"open-member", one("type Key struct{ Blob string }"), "Key can be made without its parser"},
		{"open-embedding", one("type ARN struct{ Text }"), "ARN can be made without its parser"},
		{"string", one("type ARN string"), "ARN can be made without its parser"},
		{"format", one("import _ \"fmt\""), "imports fmt"},
	}
}

func TestLaws_GoModCanFail(t *testing.T) {
	const good = "module latchkey\n\ngo 1.26.6\n\nrequire golang.org/x/crypto v0.58.0\n"
	for name, c := range map[string][3]string{
		"good":         {"", "", ""},
		"newer":        {"1.26.6", "1.27", ""},
		"old-go":       {"1.26.6", "1.26.5", "go is older"},
		"older-go":     {"1.26.6", "1.9", "go is older"},
		"no-go":        {"go 1.26.6\n", "", "go is older"},
		"old-crypto":   {"v0.58.0", "v0.53.0", "x/crypto is older"},
		"no-crypto":    {"require golang.org/x/crypto v0.58.0\n", "", "x/crypto is older"},
		"replaced":     {"require", "replace golang.org/x/mod => ../mod\n\nrequire", "replaces a module"},
		"other-module": {"module latchkey", "module other", "the module is not latchkey"},
		"not-a-go-mod": {"module", "modul", "unknown directive"},
	} {
		t.Run(name, func(t *testing.T) { reported(t, checkGoMod(strings.Replace(good, c[0], c[1], 1)), c[2]) })
	}
}
