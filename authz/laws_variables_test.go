package authz_test

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// checkVariables: a package has no state. A package-level variable is a sentinel
// error, a compiled expression, an embedded file, a proof that a type has an
// interface's methods, or a table with a comment that nothing in the package
// writes to or takes the address of. There is no init function.
func checkVariables(t tree) []string {
	var broken []string
	for _, s := range t.code() {
		for _, d := range s.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				broken = append(broken, t.at(f)+": init function")
			}
		}
		for _, group := range declared(s, token.VAR) {
			for _, spec := range group.Specs {
				v := spec.(*ast.ValueSpec)
				if !constant(group, v) && !t.table(s, group, v) {
					broken = append(broken, t.at(v)+": "+v.Names[0].Name+" is a variable of the package that could change")
				}
			}
		}
	}
	return broken
}

// constant reports whether the variable is of a shape that is never changed.
func constant(group *ast.GenDecl, v *ast.ValueSpec) bool {
	if v.Names[0].Name == "_" || embedded(group.Doc) || embedded(v.Doc) {
		return true
	}
	for _, value := range v.Values {
		call, ok := value.(*ast.CallExpr)
		if !ok || !slices.Contains([]string{"errors.New", "fmt.Errorf", "name.Refuse", "Refuse", "regexp.MustCompile"}, called(call)) {
			return false
		}
	}
	return len(v.Values) == len(v.Names)
}

func embedded(doc *ast.CommentGroup) bool {
	return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

// table reports whether the variable is a documented value that is only read: not
// exported, given its value at once, and nothing that holds state by its nature.
func (t tree) table(s source, group *ast.GenDecl, v *ast.ValueSpec) bool {
	comment := v.Doc != nil || group.Doc != nil && len(group.Specs) == 1
	if !comment || len(v.Names) != 1 || len(v.Values) != 1 || v.Names[0].IsExported() || stateful(v) {
		return false
	}
	name := v.Names[0].Name
	for _, other := range t.code() {
		if other.pkg() == s.pkg() && writes(other.File, name) {
			return false
		}
	}
	return true
}

// stateful reports whether the declaration makes a pointer, a channel, or
// something of sync.
func stateful(v *ast.ValueSpec) bool {
	found := false
	ast.Inspect(v, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false // runs each time anew
		case *ast.UnaryExpr:
			found = found || n.Op == token.AND
		case *ast.ChanType:
			found = true
		case *ast.CallExpr:
			found = found || called(n) == "new"
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			found = found || ok && (x.Name == "sync" || x.Name == "atomic")
		}
		return true
	})
	return found
}

// writes reports whether a file assigns to the variable or to a part of it, or
// takes its address. Assigning to a local variable of the same name counts too.
func writes(f *ast.File, name string) bool {
	found := false
	target := func(e ast.Expr) {
		for {
			switch x := e.(type) {
			case *ast.IndexExpr:
				e = x.X
			case *ast.SelectorExpr:
				e = x.X
			case *ast.StarExpr:
				e = x.X
			case *ast.ParenExpr:
				e = x.X
			case *ast.SliceExpr:
				e = x.X
			case *ast.Ident:
				found = found || x.Name == name
				return
			default:
				return
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for _, left := range n.Lhs {
				if n.Tok != token.DEFINE {
					target(left)
				}
			}
		case *ast.IncDecStmt:
			target(n.X)
		case *ast.UnaryExpr:
			if n.Op == token.AND {
				target(n.X)
			}
		case *ast.CallExpr:
			if slices.Contains([]string{"delete", "clear", "copy"}, called(n)) {
				target(n.Args[0])
			}
		}
		return true
	})
	return found
}
