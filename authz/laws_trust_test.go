package authz_test

import (
	"go/ast"
	"slices"
)

// verdicts are the functions and methods that decide whether somebody or something is
// trusted: their last result is the one value that says so.
var verdicts = []string{
	// What is typed, received or stored is what it should be.
	"ParseKey", "ParseUsername", "Canonical", "ParseARN", "CheckUID", "ParseSignature", "ParseJoinToken", "ParseRequest",
	// Who made it.
	"Verify", "Open", "OpenAfter", "Trusted", "authenticate", "basic", "lookUp", "checkForm", "checkHeaders", "madeWith", "identify", "Credential",
	// What he may do.
	"Enter", "Decide", "authorise", "authoriseOn", "authoriseAbout", "authoriseHidden", "mayGive", "mayActAs", "mayEnterAs", "mayDeny", "mayRekey",
	// What the agent takes.
	"hold", "accept", "Frozen",
}

// recovers are the functions that may stop a panic. What each makes of one is planted in a
// test beside it: a refusal, or an internal error.
var recovers = []string{"authz guarded", "controlplane/api act", "controlplane/api survive"}

// checkVerdicts: nobody goes on without looking at a verdict (requirement R169 in part).
func checkVerdicts(t tree) (broken []string) {
	drop := func(call ast.Expr) {
		c, ok := call.(*ast.CallExpr)
		if !ok {
			return
		}
		if name := calledName(c); slices.Contains(verdicts, name) {
			broken = append(broken, t.at(c)+": what "+name+" says is dropped")
		}
	}
	for _, s := range t.code() {
		ast.Inspect(s.File, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ExprStmt:
				drop(n.X)
			case *ast.DeferStmt:
				drop(n.Call)
			case *ast.GoStmt:
				drop(n.Call)
			case *ast.AssignStmt:
				if last, ok := n.Lhs[len(n.Lhs)-1].(*ast.Ident); ok && last.Name == "_" {
					drop(n.Rhs[len(n.Rhs)-1])
				}
			}
			return true
		})
	}
	return broken
}

func calledName(c *ast.CallExpr) string {
	switch f := c.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

// checkRecovers: a panic is stopped where it is known what becomes of it, and nowhere else
// (requirement R169 in part).
func checkRecovers(t tree) (broken []string) {
	for _, s := range t.code() {
		for _, d := range s.Decls {
			f, ok := d.(*ast.FuncDecl)
			if ok && slices.Contains(recovers, s.pkg()+" "+f.Name.Name) {
				continue
			}
			ast.Inspect(d, func(n ast.Node) bool {
				if c, ok := n.(*ast.CallExpr); ok && calledName(c) == "recover" {
					broken = append(broken, t.at(c)+": a panic is stopped")
				}
				return true
			})
		}
	}
	return broken
}

func verdictSamples() []sample {
	in := func(body string) map[string]string {
		return map[string]string{"controlplane/a.go": "package controlplane\nfunc f() {\n" + body + "\n}\n"}
	}
	return []sample{
		{"looked-at", in("if err := sig.Verify(k); err != nil { return }"), ""},
		{"value-dropped", in("_, err := authz.ParseKey(s, p); use(err)"), ""},
		{"returned", in("return c.authorise(ctx)"), ""},
		{"another-function", in("v, _ := iam.Parse(s); use(v)"), ""},
		{"statement", in("sig.Verify(k)"), "what Verify says is dropped"},
		{"blank", in("_ = sig.Verify(k)"), "what Verify says is dropped"},
		{"blank-behind-a-value", in("k, _ := authz.ParseKey(s, p); use(k)"), "what ParseKey says is dropped"},
		{"deferred", in("defer c.authorise(ctx)"), "what authorise says is dropped"},
		{"beside", in("go identify(ctx)"), "what identify says is dropped"},
		{"in-a-test", map[string]string{"controlplane/a_test.go": "package controlplane\nfunc f() { sig.Verify(k) }\n"}, ""},
	}
}

func recoverSamples() []sample {
	in := func(path, function string) map[string]string {
		return map[string]string{path: "package p\nfunc " + function + "() { defer func() { recover() }() }\n"}
	}
	return []sample{
		{"listed", in("authz/a.go", "guarded"), ""},
		{"in-a-test", in("authz/a_test.go", "f"), ""},
		{"another-function", in("authz/a.go", "f"), "a panic is stopped"},
		{"another-package", in("agent/a.go", "guarded"), "a panic is stopped"},
		{"variable", map[string]string{"agent/a.go": "package agent\nvar f = func() { recover() }\n"}, "a panic is stopped"},
	}
}

// undeclared returns the names that no function or method has.
func undeclared(t tree, names []string) []string {
	declared := map[string]bool{}
	for _, s := range t.code() {
		for _, d := range s.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				declared[f.Name.Name] = true
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return declared[name] })
}
