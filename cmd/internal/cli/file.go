package cli

import (
	"fmt"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
	"github.com/spf13/pflag"
)

// maxConfig bounds a configuration file: 1 MiB, far above any honest one.
const maxConfig = 1 << 20

// fromFile sets what the flags and the environment left open from a YAML file.
// The whole file is checked before anything is set: a key that is no setting of
// the command, a key given twice and a value of the wrong kind are errors that
// name file, line and key.
func fromFile(flags *pflag.FlagSet, path string) error {
	entries, err := readConfig(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		f := flags.Lookup(e.key)
		if f == nil || !marked(f, settingMark) || e.key == configFlag {
			return Usage("", "%s: %q is not a setting of this command", e.where, e.key)
		}
		if e.list && !isList(f) {
			return Usage("", "%s: %q takes one value", e.where, e.key)
		}
	}
	for _, e := range entries {
		f := flags.Lookup(e.key)
		if f.Changed {
			continue
		}
		if err := set(flags, f, e.where+": "+e.key, e.values); err != nil {
			return err
		}
	}
	return nil
}

// entry is one key of a configuration file. Values keep the text as written, so
// an account id keeps its leading zeros.
type entry struct {
	key    string
	values []string
	list   bool
	where  string // FILE:LINE
}

func readConfig(path string) ([]entry, error) {
	data, err := Read(nil, path, maxConfig)
	if err != nil {
		return nil, Usage("", "--config: %v", err)
	}
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, Usage("", "%s", syntaxFault(path, err))
	}
	var all []entry
	for _, doc := range file.Docs {
		more, err := configEntries(path, doc.Body)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

func configEntries(path string, body ast.Node) ([]entry, error) {
	switch n := body.(type) {
	case nil, *ast.NullNode, *ast.CommentGroupNode:
		return nil, nil
	case *ast.MappingValueNode:
		e, err := configEntry(path, n)
		return []entry{e}, err
	case *ast.MappingNode:
		var all []entry
		for _, v := range n.Values {
			e, err := configEntry(path, v)
			if err != nil {
				return nil, err
			}
			all = append(all, e)
		}
		return all, nil
	}
	return nil, Usage("write lines of the form  key: value", "%s: not a list of settings", path)
}

func configEntry(path string, n *ast.MappingValueNode) (entry, error) {
	e := entry{key: n.Key.GetToken().Value, where: fmt.Sprintf("%s:%d", path, n.Key.GetToken().Position.Line)}
	values := []ast.Node{n.Value}
	if seq, ok := n.Value.(*ast.SequenceNode); ok {
		e.list, values = true, seq.Values
	}
	for _, v := range values {
		text, ok := scalar(v)
		if !ok {
			return entry{}, Usage("", "%s: %q has no plain value", e.where, e.key)
		}
		e.values = append(e.values, text)
	}
	return e, nil
}

// scalar returns the text of a plain value. Anchors, aliases, tags, maps and null
// are none.
func scalar(n ast.Node) (string, bool) {
	switch v := n.(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.LiteralNode:
		return v.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// syntaxFault puts a YAML fault on one line.
func syntaxFault(path string, err error) string {
	fault, ok := err.(interface {
		GetMessage() string
		GetToken() *token.Token
	})
	if !ok || fault.GetToken() == nil {
		return fmt.Sprintf("%s: not YAML: %v", path, err)
	}
	return fmt.Sprintf("%s:%d: %s", path, fault.GetToken().Position.Line, fault.GetMessage())
}
