package authz_test

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"
)

// Each check returns what breaks its law, one place a line.

func checkImports(t tree) []string {
	var broken []string
	unknown := map[string]bool{}
	for _, s := range t.files {
		m, known := find(s.pkg())
		if !known {
			if !unknown[s.pkg()] {
				broken = append(broken, s.pkg()+": package is in no table of the laws")
			}
			unknown[s.pkg()] = true
			continue
		}
		allowed := m.imports
		if s.test() {
			allowed += " " + m.path + " " + m.tests
		}
		for _, p := range s.ours() {
			if !listed(allowed, p) {
				broken = append(broken, fmt.Sprintf("%s: imports %s, which %s may not", s.path, p, s.pkg()))
			}
		}
	}
	return broken
}

func checkTable(all []module) []string {
	var broken []string
	side := func(p string) string {
		top, _, _ := strings.Cut(p, "/")
		return top
	}
	for i, m := range all {
		for p := range strings.FieldsSeq(m.imports + " " + m.tests) {
			folder := strings.TrimSuffix(p, "/...")
			covers := func(o module) bool { return listed(p, o.path) }
			sides := side(m.path) + " " + side(folder)
			switch {
			case !slices.ContainsFunc(all[:i], covers) || slices.ContainsFunc(all[i:], covers):
				broken = append(broken, m.path+" would import "+p+", which is not in a lower layer")
			case sides == "agent controlplane", sides == "controlplane agent":
				broken = append(broken, m.path+" would meet "+p+" outside authz")
			case side(folder) == "cmd" && (side(m.path) != "cmd" || !strings.HasPrefix(folder, "cmd/internal/")):
				broken = append(broken, m.path+" would import the program "+p)
			case side(m.path) == "authz" && side(folder) != "authz":
				broken = append(broken, m.path+" would import "+p)
			}
		}
	}
	return broken
}

func checkPurity(t tree) []string {
	forbidden := []string{
		"os", "os/exec", "os/user", "os/signal", "io/fs", "io/ioutil", "path/filepath", "net", "net/http", "database/sql", "log", "log/slog",
		"syscall", "unsafe", "C", "crypto/rand", "math/rand", "math/rand/v2", "runtime", "golang.org/x/sys/unix", "golang.org/x/sys/windows",
	}
	var broken []string
	for _, s := range t.code() {
		if !slices.Contains(pureModules, s.pkg()) {
			continue
		}
		for p, name := range s.imports() {
			if slices.Contains(forbidden, p) || name == "." {
				broken = append(broken, s.path+": a pure package imports "+p)
			}
		}
		for _, place := range t.uses(s, "time", "Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker") {
			broken = append(broken, place+" in a pure package")
		}
	}
	return broken
}

func checkOneGOOS(t tree) []string {
	var places []string
	for _, s := range t.code() {
		places = append(places, t.uses(s, "runtime", "GOOS")...)
	}
	if len(places) > 1 {
		return places
	}
	return nil
}

func checkSystemFiles(t tree) []string {
	var broken []string
	for _, s := range t.code() {
		stem := strings.TrimSuffix(s.path, ".go")
		system := strings.HasSuffix(stem, "_linux") || strings.HasSuffix(stem, "_windows")
		if system && !slices.Contains(systemModules, s.pkg()) {
			broken = append(broken, s.path+": is for one operating system, which its package may not depend on")
		}
		for p := range s.imports() {
			if strings.HasPrefix(p, "golang.org/x/sys/") && !system {
				broken = append(broken, s.path+": imports "+p+" in a file for every system")
			}
		}
	}
	return broken
}

// checkLibraries holds R156 in part.
func checkLibraries(t tree) []string {
	below := func(p, prefix string) bool { return p == prefix || strings.HasPrefix(p, prefix+"/") }
	var broken []string
	for _, s := range t.files {
		for p := range s.imports() {
			host, _, _ := strings.Cut(p, "/")
			if !strings.Contains(host, ".") || s.test() && slices.ContainsFunc(testLibraries, func(l string) bool { return below(p, l) }) {
				continue
			}
			if !slices.ContainsFunc(wrappers, func(w wrapper) bool { return below(p, w.library) && listed(w.in, s.pkg()) }) {
				broken = append(broken, s.path+": imports "+p+", which another package wraps or nobody chose")
			}
		}
	}
	return broken
}

// checkHook follows the imports of cmd/keys through the repository (requirement R59 in
// part).
func checkHook(t tree) []string {
	imports := map[string][]string{}
	for _, s := range t.code() {
		imports[s.pkg()] = append(imports[s.pkg()], s.ours()...)
	}
	var broken []string
	seen := map[string]bool{}
	for queue := slices.Clone(imports["cmd/keys"]); len(queue) > 0; queue = queue[1:] {
		p := queue[0]
		if seen[p] {
			continue
		}
		seen[p] = true
		queue = append(queue, imports[p]...)
		if !slices.Contains(hookModules, p) {
			broken = append(broken, "cmd/keys: links "+p)
		}
	}
	return broken
}

// checkComments: one comment a package, and a package of tests alone has it there.
func checkComments(t tree) []string {
	count := map[string]int{}
	for _, s := range t.code() {
		count[s.pkg()] += documented(s)
	}
	only := map[string]int{}
	for _, s := range t.tests() {
		if _, mixed := count[s.pkg()]; !mixed {
			only[s.pkg()] += documented(s)
		}
	}
	var broken []string
	for _, counts := range []map[string]int{count, only} {
		for p, n := range counts {
			if n != 1 {
				broken = append(broken, fmt.Sprintf("%s: has %d package comments", p, n))
			}
		}
	}
	return broken
}

func documented(s source) int {
	if s.Doc == nil || s.Doc.Text() == "" {
		return 0
	}
	return 1
}

func checkNames(t tree) []string {
	vague := []string{"util", "utils", "common", "helper", "helpers", "manager", "types", "core", "impl", "misc", "base", "shared"}
	var broken []string
	for _, s := range t.files {
		if slices.Contains(vague, path.Base(s.pkg())) {
			broken = append(broken, s.path+": the package's name says nothing")
		}
	}
	return broken
}

// checkErrorTexts reads the literals that become errors. A text states the fact,
// in lower case but for names, without a full stop.
func checkErrorTexts(t tree) []string {
	argument := map[string]int{"errors.New": 0, "fmt.Errorf": 0, "name.Refuse": 1, "Refuse": 1}
	var broken []string
	for _, s := range t.code() {
		ast.Inspect(s.File, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			i, makes := argument[called(call)]
			if !makes || i >= len(call.Args) {
				return true
			}
			if text, ok := literal(call.Args[i]); ok && noisy(text) {
				broken = append(broken, fmt.Sprintf("%s: error text %q does not state a fact in lower case", t.at(call), text))
			}
			return true
		})
	}
	return broken
}

func noisy(text string) bool {
	lower := strings.ToLower(text)
	for _, noise := range []string{"failed", "failure", "unable", "could not", "couldn't", "cannot", "can't", "error", "invalid argument", "oops"} {
		rest, found := strings.CutPrefix(lower, noise)
		if found && (rest == "" || !unicode.IsLetter(rune(rest[0]))) {
			return true
		}
	}
	word, _, _ := strings.Cut(text, " ")
	capitals := strings.IndexFunc(strings.TrimPrefix(word, word[:min(1, len(word))]), unicode.IsUpper)
	capitalised := word != "" && unicode.IsUpper(rune(word[0])) && capitals < 0 // RSA and AllowSsh are names
	return text == "" || capitalised || strings.HasSuffix(text, ".") || strings.HasSuffix(text, "!")
}

// checkExits: only a program ends its process.
func checkExits(t tree) []string {
	var broken []string
	for _, s := range t.code() {
		if s.Name.Name == "main" {
			continue
		}
		for _, place := range append(t.uses(s, "os", "Exit"), t.uses(s, "log", "Fatal", "Fatalf", "Fatalln")...) {
			broken = append(broken, place+" outside a program")
		}
	}
	return broken
}

// checkMessages: nothing that crosses between control plane and instances can name a
// command, a path or an address to fetch, and every member is of a plain type, so that
// nothing hides in it (requirement R77).
func checkMessages(t tree) []string {
	words := []string{"command", "cmd", "exec", "run", "script", "shell", "args", "argv", "path", "file", "dir", "folder", "url", "uri", "link", "href", "env"}
	structs := map[string]bool{}
	var broken []string
	var members []*ast.Field
	for _, s := range t.code() {
		if s.pkg() != "authz/wire" {
			continue
		}
		ast.Inspect(s.File, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			structs[spec.Name.Name] = true
			if body, ok := spec.Type.(*ast.StructType); ok {
				members = append(members, body.Fields.List...)
			}
			return true
		})
	}
	for _, member := range members {
		if member.Tag == nil {
			continue // not part of a message
		}
		tag, _ := strconv.Unquote(member.Tag.Value)
		key := reflect.StructTag(tag).Get("json")
		for _, word := range strings.Split(key, "_") {
			if slices.Contains(words, word) {
				broken = append(broken, t.at(member)+": a message would name "+key)
			}
		}
		if !plain(member.Type, structs) {
			broken = append(broken, t.at(member)+": "+key+" is not of a plain type")
		}
	}
	return broken
}

func plain(e ast.Expr, structs map[string]bool) bool {
	switch e := e.(type) {
	case *ast.ArrayType:
		return e.Len == nil && plain(e.Elt, structs)
	case *ast.Ident:
		return structs[e.Name] || slices.Contains([]string{"string", "bool", "int", "int64"}, e.Name)
	}
	return false
}

// checkParsedTypes: what only a parser may make has no member that another
// package could set, and the packages of names and keys do not format errors, so
// no text that a person typed gets into one.
func checkParsedTypes(t tree) []string {
	opaque := map[string][]string{
		"authz/name": {"Username"}, "authz": {"Key", "ARN", "UserID", "StackID", "InstanceID", "id"}, "authz/wire": {"JoinToken"},
		"authz/iam": {"Policy", "Action", "Resource", "Context"},
	}
	var broken []string
	for _, s := range t.code() {
		if _, found := s.library("fmt"); found && (s.pkg() == "authz" || s.pkg() == "authz/name" || s.pkg() == "authz/iam") {
			broken = append(broken, s.path+": imports fmt, with which an error could quote what was typed")
		}
		ast.Inspect(s.File, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok || spec.Assign.IsValid() || !slices.Contains(opaque[s.pkg()], spec.Name.Name) {
				return true
			}
			body, ok := spec.Type.(*ast.StructType)
			if !ok || slices.ContainsFunc(body.Fields.List, open) {
				broken = append(broken, t.at(spec)+": "+spec.Name.Name+" can be made without its parser")
			}
			return true
		})
	}
	return broken
}

// open reports whether another package can reach the member.
func open(member *ast.Field) bool {
	if len(member.Names) == 0 {
		name, ok := member.Type.(*ast.Ident)
		return !ok || name.IsExported()
	}
	return slices.ContainsFunc(member.Names, (*ast.Ident).IsExported)
}

// checkGoMod holds the floors of requirement R155 in part, and with them those of R4,
// R35 and R139 in part.
func checkGoMod(text string) []string {
	file, err := modfile.Parse("go.mod", []byte(text), nil)
	if err != nil {
		return []string{err.Error()}
	}
	var broken []string
	if len(file.Replace) > 0 {
		broken = append(broken, "go.mod: replaces a module")
	}
	if file.Module == nil || file.Module.Mod.Path != "latchkey" {
		broken = append(broken, "go.mod: the module is not latchkey")
	}
	if file.Go == nil || semver.Compare("v"+file.Go.Version, "v1.26.6") < 0 {
		broken = append(broken, "go.mod: go is older than 1.26.6")
	}
	crypto := ""
	for _, r := range file.Require {
		if r.Mod.Path == "golang.org/x/crypto" {
			crypto = r.Mod.Version
		}
	}
	if semver.Compare(crypto, "v0.54.0") < 0 {
		broken = append(broken, "go.mod: golang.org/x/crypto is older than 0.54")
	}
	return broken
}

// declared returns a file's package-level declarations of one kind.
func declared(s source, kind token.Token) []*ast.GenDecl {
	var all []*ast.GenDecl
	for _, d := range s.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == kind {
			all = append(all, g)
		}
	}
	return all
}
