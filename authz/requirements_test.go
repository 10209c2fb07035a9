package authz_test

import (
	"cmp"
	"flag"
	"fmt"
	"go/ast"
	"go/build"
	"go/token"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/requirements.md anew")

// TestRequirements: docs/requirements.md is what the comments of the tests say, and
// they name no number that there is not. After a change write it with
// go test ./authz -run TestRequirements -update
func TestRequirements(t *testing.T) {
	root := repository(t)
	linux := build.Default
	linux.GOOS, linux.GOARCH = "linux", "amd64"
	all := readTree(t, root)
	all.files = slices.DeleteFunc(all.tests(), func(s source) bool {
		runs, err := linux.MatchFile(root+"/"+s.pkg(), path.Base(s.path))
		return err != nil || !runs
	})
	areas := readRequirements(t, readFile(t, "testdata/requirements.txt"))
	for _, wrong := range prove(areas, all) {
		t.Error(wrong)
	}
	file, want := root+"/docs/requirements.md", requirementsPage(areas)
	if *update && !t.Failed() {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if readFile(t, file) != want {
		t.Error("docs/requirements.md is not what the tests say; write it with  go test ./authz -run TestRequirements -update")
	}
}

// area is a group of requirements, requirement one of them with what proves it.
type area struct {
	title        string
	requirements []*requirement
}

type requirement struct {
	number, title  string
	proved, partly []proof
}

// proof is a test, or one of its parts as TEST: PART.
type proof struct{ file, test string }

// readRequirements reads areas, each a line "== TITLE", and what is in them, each a
// line "NUMBER TITLE". A line with # is a comment.
func readRequirements(t *testing.T, text string) (areas []area) {
	t.Helper()
	seen := map[string]bool{}
	for line := range strings.Lines(text) {
		first, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case first == "" || first == "#":
		case first == "==":
			areas = append(areas, area{title: rest})
		case len(areas) == 0 || rest == "" || mention.FindString(first) != first || seen[first]:
			t.Fatalf("not a requirement, or one twice: %s", line)
		default:
			seen[first] = true
			last := &areas[len(areas)-1]
			last.requirements = append(last.requirements, &requirement{number: first, title: rest})
		}
	}
	return areas
}

// mention finds what a comment names, and whether it says that it is in part.
var mention = regexp.MustCompile(`\b(R[0-9]+|T-[A-Z][0-9]+)\b( in part\b)?`)

// prove notes at each requirement the tests whose comments name it, and returns
// what is wrong with the comments.
func prove(areas []area, tests tree) (wrong []string) {
	known := map[string]*requirement{}
	for _, a := range areas {
		for _, r := range a.requirements {
			known[r.number] = r
		}
	}
	packages := packagesOf(tests)
	for _, s := range tests.files {
		for _, comment := range s.Comments {
			named := mention.FindAllStringSubmatch(strings.Join(strings.Fields(comment.Text()), " "), -1)
			if named == nil {
				continue
			}
			proofs := packages[s.pkg()+" "+s.Name.Name].proofs(s, comment)
			for _, n := range named {
				switch r := known[n[1]]; {
				case r == nil:
					wrong = append(wrong, tests.at(comment)+": there is no "+n[1])
				case proofs == nil:
					wrong = append(wrong, tests.at(comment)+": "+n[1]+" stands at nothing that a test uses")
				case n[2] != "":
					r.partly = append(r.partly, proofs...)
				default:
					r.proved = append(r.proved, proofs...)
				}
			}
		}
	}
	for _, r := range known {
		r.proved = inOrder(r.proved)
		r.partly = slices.DeleteFunc(inOrder(r.partly), func(p proof) bool { return slices.Contains(r.proved, p) })
	}
	slices.Sort(wrong)
	return wrong
}

func inOrder(proofs []proof) []proof {
	slices.SortFunc(proofs, func(a, b proof) int { return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.test, b.test)) })
	return slices.Compact(proofs)
}

// testPackage is the top-level declarations of the tests of one package, by name.
// Methods of one name are one.
type testPackage map[string][]ast.Decl

func packagesOf(tests tree) map[string]testPackage {
	all := map[string]testPackage{}
	for _, s := range tests.files {
		key := s.pkg() + " " + s.Name.Name
		if all[key] == nil {
			all[key] = testPackage{}
		}
		for _, d := range s.Decls {
			for _, name := range declaredNames(d) {
				all[key][name] = append(all[key][name], d)
			}
		}
	}
	return all
}

func declaredNames(d ast.Decl) (names []string) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		names = append(names, d.Name.Name)
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.ValueSpec:
				for _, name := range spec.Names {
					names = append(names, name.Name)
				}
			case *ast.TypeSpec:
				names = append(names, spec.Name.Name)
			}
		}
	}
	return names
}

// proofs returns the tests that use the declaration at which a comment stands, or
// are it.
func (p testPackage) proofs(s source, comment *ast.CommentGroup) (proofs []proof) {
	at := slices.IndexFunc(s.Decls, func(d ast.Decl) bool {
		return docOf(d) == comment || d.Pos() <= comment.Pos() && comment.End() <= d.End()
	})
	if at < 0 {
		return nil
	}
	d := s.Decls[at]
	for name, decls := range p {
		if !isTest(name) {
			continue
		}
		if slices.Contains(decls, d) {
			return []proof{{s.path, name}}
		}
		if p.used(decls)[d] {
			proofs = append(proofs, proof{s.path, name + ": " + declaredNames(d)[0]})
		}
	}
	return proofs
}

func isTest(name string) bool {
	return name != "TestMain" && (strings.HasPrefix(name, "Test") || strings.HasPrefix(name, "Fuzz") || strings.HasPrefix(name, "Benchmark"))
}

func docOf(d ast.Decl) *ast.CommentGroup {
	switch d := d.(type) {
	case *ast.FuncDecl:
		return d.Doc
	case *ast.GenDecl:
		if d.Tok != token.IMPORT {
			return d.Doc
		}
	}
	return nil
}

// used returns the declarations that are named in some, or in what these name. A method
// is used when its type is too: many types have one of the same name.
func (p testPackage) used(from []ast.Decl) map[ast.Decl]bool {
	used, named := map[ast.Decl]bool{}, map[string]bool{}
	for todo := from; len(todo) > 0; {
		for _, d := range todo {
			used[d] = true
			namesIn(d, named)
		}
		todo = nil
		for name := range named {
			for _, d := range p[name] {
				if of := receiver(d); !used[d] && (of == "" || named[of]) {
					todo = append(todo, d)
				}
			}
		}
	}
	return used
}

// namesIn adds all names in a declaration but that of its receiver.
func namesIn(d ast.Decl, named map[string]bool) {
	add := func(n ast.Node) bool {
		if name, ok := n.(*ast.Ident); ok {
			named[name.Name] = true
		}
		return true
	}
	if f, ok := d.(*ast.FuncDecl); ok {
		ast.Inspect(f.Type, add)
		if f.Body != nil {
			ast.Inspect(f.Body, add)
		}
		return
	}
	ast.Inspect(d, add)
}

// receiver returns the type that a declaration is a method of, "" where it is none.
func receiver(d ast.Decl) string {
	f, ok := d.(*ast.FuncDecl)
	if !ok || f.Recv == nil {
		return ""
	}
	of := f.Recv.List[0].Type
	if star, ok := of.(*ast.StarExpr); ok {
		of = star.X
	}
	if name, ok := of.(*ast.Ident); ok {
		return name.Name
	}
	return ""
}

const requirementsPreface = `# What is required, and what proves it

Made from the comments of the tests by a test; ` + "`go test ./authz -run TestRequirements -update`" + ` writes it anew.

R1 to R169 are what Latchkey's security and reliability ask for, T-… the rows of the catalogue of attacks and faults that a Linux
machine or the control plane can be put to; the titles are short for them. The tests of a line prove it together. Those behind *in part*
prove something of it; where no others stand, something is left to prove. The result of every test here is the same: it passes, for
` + "`make test`" + `, from which this tree comes, lets none fail and none be skipped. What only a Windows machine could run is not listed.

`

// requirementsPage makes the page.
func requirementsPage(areas []area) string {
	var b, tables, missing strings.Builder
	b.WriteString(requirementsPreface + "| | proved | in part | not covered |\n|---|---|---|---|\n")
	total := [3]int{}
	for _, a := range areas {
		count := [3]int{}
		fmt.Fprintf(&tables, "\n## %s\n\n| | what | tests |\n|---|---|---|\n", a.title)
		for _, r := range a.requirements {
			state := r.state()
			count[state]++
			total[state]++
			if state == 2 {
				fmt.Fprintf(&missing, "- %s %s\n", r.number, r.title)
			}
			fmt.Fprintf(&tables, "| %s | %s | %s |\n", r.number, r.title, r.tests())
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %d |\n", a.title, count[0], count[1], count[2])
	}
	fmt.Fprintf(&b, "| all | %d | %d | %d |\n", total[0], total[1], total[2])
	b.WriteString(tables.String() + "\n## Not covered\n\n" + missing.String())
	return b.String()
}

// state is 0 for proved, 1 for in part, 2 for not covered.
func (r *requirement) state() int {
	switch {
	case len(r.proved) > 0:
		return 0
	case len(r.partly) > 0:
		return 1
	}
	return 2
}

func (r *requirement) tests() string {
	text := list(r.proved)
	if len(r.partly) > 0 {
		text = strings.TrimPrefix(text+"; *in part* "+list(r.partly), "; ")
	}
	return text
}

func list(proofs []proof) string {
	var links []string
	for _, p := range proofs {
		links = append(links, "["+p.test+"](../"+p.file+")")
	}
	return strings.Join(links, ", ")
}

// TestRequirements_CanFail: from whom a number counts, and what is wrong.
func TestRequirements_CanFail(t *testing.T) {
	const text = "== One\nR1 a\nR2 b\nR3 c\nT-U1 d\n"
	for situation, c := range map[string]struct{ source, page, wrong string }{
		"test":            {"// TestX (requirement R1).\nfunc TestX() {}", "R1 TestX", ""},
		"in-part":         {"// TestX: R1 in\n// part, T-U1, R2.\nfunc TestX() {}", "R1 partly TestX, R2 TestX, T-U1 TestX", ""},
		"row":             {"func FuzzX() {\n\t// A row (R2).\n\t_ = 1\n}", "R2 FuzzX", ""},
		"helper":          {"func TestX() { y() }\nfunc y() { z() }\n// R3.\nfunc z() {}", "R3 TestX: z", ""},
		"table":           {"var rows = func() { z() }\nfunc TestX() { _ = rows }\n// R3.\nfunc z() {}", "R3 TestX: z", ""},
		"method":          {"func TestX() { new(w).y() }\n// R3.\nfunc (w) y() {}", "R3 TestX: y", ""},
		"another-method":  {"func TestX() { new(v).y() }\nfunc (v) y() {}\n// R3.\nfunc (w) y() {}", "", "R3 stands at nothing that a test uses"},
		"part-and-whole":  {"// R1 in part.\nfunc TestX() {}\n// R1.\nfunc TestY() {}", "R1 TestY partly TestX", ""},
		"another-word":    {"// AR1, R1x and T-U are none.\nfunc TestX() {}", "", ""},
		"no-such-number":  {"// R4.\nfunc TestX() {}", "", "there is no R4"},
		"no-such-row":     {"// T-U2.\nfunc TestX() {}", "", "there is no T-U2"},
		"unused-helper":   {"func TestX() {}\n// R1.\nfunc y() {}", "", "R1 stands at nothing that a test uses"},
		"between-tests":   {"// R1.\n\nfunc TestX() {}", "", "R1 stands at nothing that a test uses"},
		"not-really-test": {"// R1.\nfunc TestMain() {}", "", "R1 stands at nothing that a test uses"},
	} {
		t.Run(situation, func(t *testing.T) {
			areas := readRequirements(t, text)
			wrong := strings.Join(prove(areas, parseTree(t, map[string]string{"a/a_test.go": "package a\n\n" + c.source + "\n"})), "\n")
			if !strings.HasSuffix(wrong, c.wrong) || c.wrong == "" && wrong != "" {
				t.Errorf("wrong is %q, want %q", wrong, c.wrong)
			}
			var got []string
			for _, r := range areas[0].requirements {
				if r.state() < 2 {
					line := strings.NewReplacer("](../a/a_test.go)", "", "[", "", "; *in part*", " partly", "*in part*", "partly").Replace(r.tests())
					got = append(got, r.number+" "+line)
				}
			}
			if page := strings.Join(got, ", "); page != c.page {
				t.Errorf("the page says %q, want %q", page, c.page)
			}
		})
	}
}
