package iam

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"unicode/utf8"

	"latchkey/authz/name"
)

// Error says where a policy document is malformed and why. errors.Is finds the
// reason in it.
type Error struct {
	// Path leads to the place by IAM's own element names and by positions,
	// Statement[0].Condition.StringLike[1][0]; "" is the document itself. A
	// condition key is given by its position in its block, not as it was typed.
	Path string
	// Offset counts bytes from the beginning of the document to the value, or
	// member, that is wrong.
	Offset int
	Reason *name.Refusal
}

// Error returns place and reason as one line.
func (e *Error) Error() string {
	where := e.Path
	if where == "" {
		where = "document"
	}
	return where + " (byte " + strconv.Itoa(e.Offset) + "): " + e.Reason.Text
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Reason }

// maxDepth is how deeply a policy nests: document, statements, statement,
// conditions, operator, values.
const maxDepth = 6

// node is one value of a JSON document and the place it was read from.
type node struct {
	kind   byte // { [ s (string) n (number) b (boolean) 0 (null)
	text   string
	keys   []string // the names of an object's members
	items  []node   // the members of an object, or the values of a list
	path   string
	offset int
	keyAt  int // where the name of this member stands
}

func (n node) refuse(why *name.Refusal) *Error {
	return &Error{Path: n.path, Offset: n.offset, Reason: why}
}

// treeReader reads a document that is known to be JSON.
type treeReader struct {
	doc []byte
	dec *json.Decoder
}

// readTree reads a JSON document whole. Two members of one name, nesting deeper
// than a policy's, trailing data and text that is not UTF-8 are refused.
func readTree(doc []byte) (node, *Error) {
	switch {
	case len(doc) > MaxDocument:
		return node{}, &Error{Offset: MaxDocument, Reason: ErrTooLarge}
	case !utf8.Valid(doc):
		return node{}, &Error{Reason: ErrEncoding}
	}
	var whole json.RawMessage
	if err := json.Unmarshal(doc, &whole); err != nil {
		at := &json.SyntaxError{}
		if !errors.As(err, &at) {
			at.Offset = int64(len(doc))
		}
		return node{}, &Error{Offset: int(max(at.Offset-1, 0)), Reason: ErrSyntax}
	}
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	r := treeReader{doc, dec}
	return r.value("", 1)
}

// next returns the next token and where it begins.
func (r *treeReader) next() (json.Token, int) {
	at := int(r.dec.InputOffset())
	for at < len(r.doc) && bytes.IndexByte([]byte(" \t\r\n,:"), r.doc[at]) >= 0 {
		at++
	}
	token, _ := r.dec.Token() // the document is JSON
	return token, at
}

func (r *treeReader) value(path string, depth int) (node, *Error) {
	token, at := r.next()
	n := node{path: path, offset: at, kind: '0'}
	switch t := token.(type) {
	case string:
		n.kind, n.text = 's', t
	case json.Number:
		n.kind, n.text = 'n', t.String()
	case bool:
		n.kind, n.text = 'b', strconv.FormatBool(t)
	case json.Delim:
		if depth > maxDepth {
			return n, n.refuse(ErrDepth)
		}
		n.kind = byte(t)
		return r.items(n, depth)
	}
	return n, nil
}

// items reads the rest of an object or list.
func (r *treeReader) items(n node, depth int) (node, *Error) {
	seen := map[string]bool{}
	for r.dec.More() {
		path, keyAt := n.path+"["+strconv.Itoa(len(n.items))+"]", 0
		if n.kind == '{' {
			key, at := r.next()
			text, _ := key.(string)
			if seen[text] {
				return n, &Error{Path: n.path, Offset: at, Reason: ErrDuplicate}
			}
			seen[text], keyAt = true, at
			n.keys = append(n.keys, text)
			if elementName(text) {
				path = joinPath(n.path, text)
			}
		}
		item, err := r.value(path, depth+1)
		if err != nil {
			return n, err
		}
		item.keyAt = keyAt
		n.items = append(n.items, item)
	}
	r.next()
	return n, nil
}

func joinPath(path, element string) string {
	if path == "" {
		return element
	}
	return path + "." + element
}

// elementName reports whether a member's name is a word of the language, which may
// stand in a path.
func elementName(s string) bool {
	switch s {
	case "Version", "Id", "Statement", "Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition", "Principal", "NotPrincipal":
		return true
	}
	_, known := parseOperator(s)
	return known
}
