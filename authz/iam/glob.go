package iam

import (
	"strings"
	"unicode/utf8"

	"latchkey/authz/name"
)

// glob is a compiled text with wildcards and policy variables. Between its stars
// stand chunks; each is looked for once, from left to right, so matching takes no
// more steps than the text has bytes times the pattern, and in practice one pass.
type glob struct {
	shape     shape  // shapeAll ("*"), shapeExact, shapePrefix, shapeAffix; shapeParts is the general form
	plain     string // all of it (shapeExact), or what is before the only star
	end       string // what is after the star (shapeAffix)
	chunks    []chunk
	variables bool
}

// chunk is what stands between two stars.
type chunk []piece

// piece is a literal text, any one character (?), or a variable.
type piece struct {
	kind     pieceKind
	text     string // the literal, or the variable's key in lower case
	fallback string // a variable's default value
	defaults bool   // whether it has one
}

type pieceKind int

const (
	pieceLiteral pieceKind = iota
	pieceOne
	pieceVariable
)

// literalGlob compiles a text in which nothing is a variable.
func literalGlob(s string, wildcards bool) glob {
	g, _ := parseGlob(s, wildcards, false) // only a variable can be malformed
	return g
}

// parseGlob compiles a text. Without wildcards, * and ? are themselves; without
// variables, ${ is itself.
func parseGlob(s string, wildcards, variables bool) (glob, *name.Refusal) {
	chunks := []chunk{nil}
	g := glob{shape: shapeParts}
	for s != "" {
		last := &chunks[len(chunks)-1]
		switch {
		case variables && strings.HasPrefix(s, "${"):
			p, rest, err := parseVariable(s[2:])
			if err != nil {
				return glob{}, err
			}
			g.variables = g.variables || p.kind == pieceVariable
			*last, s = last.add(p), rest
		case wildcards && s[0] == '*':
			chunks, s = append(chunks, nil), s[1:]
		case wildcards && s[0] == '?':
			*last, s = append(*last, piece{kind: pieceOne}), s[1:]
		default:
			n := plainLength(s, wildcards, variables)
			*last, s = last.add(piece{text: s[:n]}), s[n:]
		}
	}
	g.chunks = chunks
	return g.simplified(), nil
}

// plainLength counts the bytes before the next special one; the first is plain.
func plainLength(s string, wildcards, variables bool) int {
	for i := 1; i < len(s); i++ {
		if wildcards && (s[i] == '*' || s[i] == '?') || variables && s[i] == '$' {
			return i
		}
	}
	return len(s)
}

// add appends a piece, joining literals.
func (c chunk) add(p piece) chunk {
	if n := len(c) - 1; n >= 0 && p.kind == pieceLiteral && c[n].kind == pieceLiteral {
		c[n].text += p.text
		return c
	}
	return append(c, p)
}

// simplified recognises the forms that one comparison decides.
func (g glob) simplified() glob {
	literal := func(c chunk) (string, bool) {
		switch {
		case len(c) == 0:
			return "", true
		case len(c) == 1 && c[0].kind == pieceLiteral:
			return c[0].text, true
		}
		return "", false
	}
	last := len(g.chunks) - 1
	begin, ok := literal(g.chunks[0])
	end, fixed := literal(g.chunks[last])
	switch {
	case !ok:
	case last == 0:
		g.shape, g.plain = shapeExact, begin
	case last > 1 || !fixed:
	case begin == "" && end == "":
		g.shape = shapeAll
	case end == "":
		g.shape, g.plain = shapePrefix, begin
	default:
		g.shape, g.plain, g.end = shapeAffix, begin, end
	}
	return g
}

// parseVariable reads what follows ${: one of the characters *, ? and $, which
// then stand for themselves, or a key, with or without a default: key, 'default'.
func parseVariable(s string) (piece, string, *name.Refusal) {
	inner, rest, found := strings.Cut(s, "}")
	if !found {
		return piece{}, "", ErrVariable
	}
	if inner == "*" || inner == "?" || inner == "$" {
		return piece{text: inner}, rest, nil
	}
	key, fallback, defaults := strings.Cut(inner, ", ")
	if defaults {
		n := len(fallback)
		if n < 2 || fallback[0] != '\'' || strings.IndexByte(fallback[1:], '\'') != n-2 {
			return piece{}, "", ErrVariable
		}
		fallback = fallback[1 : n-1]
	}
	if !conditionKey(key) || strings.ContainsAny(key, "'${*?,") {
		return piece{}, "", ErrVariable
	}
	return piece{kind: pieceVariable, text: strings.ToLower(key), fallback: fallback, defaults: defaults}, rest, nil
}

// value resolves a literal or a variable. A key that is absent, empty or
// multi-valued has no value of its own; then the default stands in.
func (p *piece) value(ctx *Context) (string, bool) {
	if p.kind == pieceLiteral {
		return p.text, true
	}
	if values := ctx.get(p.text); len(values) == 1 && values[0] != "" {
		return values[0], true
	}
	return p.fallback, p.defaults
}

// resolved reports whether every variable has a value.
func (g *glob) resolved(ctx *Context) bool {
	for _, c := range g.chunks {
		for i := range c {
			if c[i].kind == pieceVariable {
				if _, ok := c[i].value(ctx); !ok {
					return false
				}
			}
		}
	}
	return true
}

// expand returns the text of a glob without wildcards, its variables replaced.
func (g *glob) expand(ctx *Context) (string, bool) {
	if g.shape == shapeExact {
		return g.plain, true
	}
	var b strings.Builder
	for i := range g.chunks[0] {
		text, ok := g.chunks[0][i].value(ctx)
		if !ok {
			return "", false
		}
		b.WriteString(text)
	}
	return b.String(), true
}

// match reports whether all of s fits. A variable without a value fits nothing.
func (g *glob) match(s string, ctx *Context) bool {
	switch g.shape {
	case shapeAll:
		return true
	case shapeExact:
		return s == g.plain
	case shapePrefix:
		return strings.HasPrefix(s, g.plain)
	case shapeAffix:
		return len(s) >= len(g.plain)+len(g.end) && strings.HasPrefix(s, g.plain) && strings.HasSuffix(s, g.end)
	case shapeNone:
		return false
	}
	return (!g.variables || g.resolved(ctx)) && g.search(s, ctx)
}

// head is the first eight bytes of a text as one number, with zeros where the text
// has fewer.
func head(s string) (n uint64) {
	for i := range min(len(s), 8) {
		n |= uint64(s[i]) << (8 * i)
	}
	return n
}

// lead is how a text has to begin, as bits of its head. One comparison of numbers
// turns most texts away before any is read. The zero value fits all.
type lead struct{ bits, mask uint64 }

func (l lead) fits(head uint64) bool { return head&l.mask == l.bits }

// either fits what one of two fits, and may fit more.
func (l lead) either(m lead) lead {
	mask := l.mask & m.mask &^ (l.bits ^ m.bits)
	return lead{l.bits & mask, mask}
}

// lead is of the literal text that the glob begins with.
func (g *glob) lead() lead {
	first := g.chunks[0]
	if len(first) == 0 || first[0].kind != pieceLiteral {
		return lead{}
	}
	text := first[0].text
	return lead{head(text), 1<<(8*min(len(text), 8)) - 1}
}

// search takes the first chunk from the beginning and the last from the end, and
// every other at the first place it is found: taking it later cannot help.
func (g *glob) search(s string, ctx *Context) bool {
	last := len(g.chunks) - 1
	n := g.chunks[0].length(s, ctx)
	if n < 0 {
		return false
	}
	s = s[n:]
	if last == 0 {
		return s == ""
	}
	if n = g.chunks[last].suffix(s, ctx); n < 0 {
		return false
	}
	s = s[:len(s)-n]
	for _, c := range g.chunks[1:last] {
		if n = c.find(s, ctx); n < 0 {
			return false
		}
		s = s[n:]
	}
	return true
}

// length returns how many bytes the chunk takes at the beginning of s, or -1.
func (c chunk) length(s string, ctx *Context) int {
	taken := 0
	for i := range c {
		if c[i].kind == pieceOne {
			_, n := utf8.DecodeRuneInString(s[taken:])
			if n == 0 {
				return -1
			}
			taken += n
			continue
		}
		text, _ := c[i].value(ctx)
		if !strings.HasPrefix(s[taken:], text) {
			return -1
		}
		taken += len(text)
	}
	return taken
}

// suffix returns how many bytes the chunk takes at the end of s, or -1.
func (c chunk) suffix(s string, ctx *Context) int {
	left := len(s)
	for i := len(c) - 1; i >= 0; i-- {
		if c[i].kind == pieceOne {
			_, n := utf8.DecodeLastRuneInString(s[:left])
			if n == 0 {
				return -1
			}
			left -= n
			continue
		}
		text, _ := c[i].value(ctx)
		if !strings.HasSuffix(s[:left], text) {
			return -1
		}
		left -= len(text)
	}
	return len(s) - left
}

// find returns the end of the chunk's first place in s, or -1.
func (c chunk) find(s string, ctx *Context) int {
	if len(c) == 0 {
		return 0
	}
	first, literal := "", c[0].kind != pieceOne
	if literal {
		first, _ = c[0].value(ctx)
	}
	for from := 0; ; {
		if literal {
			n := strings.Index(s[from:], first)
			if n < 0 {
				return -1
			}
			from += n
		}
		if n := c.length(s[from:], ctx); n >= 0 {
			return from + n
		}
		_, step := utf8.DecodeRuneInString(s[from:])
		if step == 0 {
			return -1
		}
		from += step
	}
}
