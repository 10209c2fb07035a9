package authz_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// tree is the repository's Go files, parsed.
type tree struct {
	set   *token.FileSet
	files []source
}

// source is one file; path is relative to the repository, with slashes.
type source struct {
	path string
	*ast.File
}

func (s source) pkg() string { return path.Dir(s.path) }

func (s source) test() bool { return strings.HasSuffix(s.path, "_test.go") }

// imports returns the file's import paths and the names they go by, "" for the
// library's own.
func (s source) imports() map[string]string {
	all := map[string]string{}
	for _, spec := range s.Imports {
		p, _ := strconv.Unquote(spec.Path.Value)
		all[p] = ""
		if spec.Name != nil {
			all[p] = spec.Name.Name
		}
	}
	return all
}

// ours returns the packages of this repository that the file imports.
func (s source) ours() []string {
	var all []string
	for p := range s.imports() {
		if mine, found := strings.CutPrefix(p, "latchkey/"); found {
			all = append(all, mine)
		}
	}
	slices.Sort(all)
	return all
}

// library returns the name by which the file calls a standard package, and
// whether it can.
func (s source) library(p string) (string, bool) {
	name, found := s.imports()[p]
	if name == "" {
		name = path.Base(p)
	}
	return name, found
}

// code and tests are the files of each kind.
func (t tree) code() []source {
	return slices.DeleteFunc(slices.Clone(t.files), source.test)
}

func (t tree) tests() []source {
	return slices.DeleteFunc(slices.Clone(t.files), func(s source) bool { return !s.test() })
}

// at prints a place, for a person to jump to.
func (t tree) at(n ast.Node) string {
	p := t.set.Position(n.Pos())
	return fmt.Sprintf("%s:%d", p.Filename, p.Line)
}

// uses returns the places where a file names one of the things of a package, as
// time.Now.
func (t tree) uses(s source, library string, things ...string) []string {
	name, found := s.library(library)
	if !found {
		return nil
	}
	var places []string
	ast.Inspect(s.File, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && x.Name == name && slices.Contains(things, sel.Sel.Name) {
			places = append(places, t.at(sel)+": "+path.Base(library)+"."+sel.Sel.Name)
		}
		return true
	})
	return places
}

// repository returns the folder of go.mod, above the test's own.
func repository(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
}

// readTree parses the files itself: a test that asks the go command is answered
// from its cache after a forbidden import was added.
func readTree(t *testing.T, root string) tree {
	t.Helper()
	texts := map[string]string{}
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		hidden := strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata" || name == "node_modules"
		if entry.IsDir() && file != root && hidden {
			return filepath.SkipDir
		}
		if entry.Type().IsRegular() && strings.HasSuffix(name, ".go") && !hidden {
			relative, err := filepath.Rel(root, file)
			if err != nil {
				return err
			}
			texts[filepath.ToSlash(relative)] = readFile(t, file)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return parseTree(t, texts)
}

// parseTree parses files given as text.
func parseTree(t *testing.T, texts map[string]string) tree {
	t.Helper()
	all := tree{set: token.NewFileSet()}
	for file, text := range texts {
		parsed, err := parser.ParseFile(all.set, file, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		all.files = append(all.files, source{file, parsed})
	}
	slices.SortFunc(all.files, func(a, b source) int { return strings.Compare(a.path, b.path) })
	return all
}

// literal returns the string at the left end of an expression: of "a" + b, or of
// a formatted text.
func literal(e ast.Expr) (string, bool) {
	for {
		sum, ok := e.(*ast.BinaryExpr)
		if !ok {
			break
		}
		e = sum.X
	}
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(lit.Value)
	return s, err == nil
}

// called returns the name of what a call calls, as errors.New or Refuse.
func called(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		if x, ok := f.X.(*ast.Ident); ok {
			return x.Name + "." + f.Sel.Name
		}
	}
	return ""
}
