package iam

import (
	"encoding/base64"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"latchkey/authz/name"
)

// parseNumber reads an integer or a decimal, with an exponent if need be, as a
// 64-bit float; that is exact for integers up to 2^53.
func parseNumber(s string) (float64, bool) {
	digits := strings.TrimLeft(s, "+-")
	if digits == "" || digits[0] < '0' || digits[0] > '9' || strings.Trim(s, "+-.0123456789eE") != "" {
		return 0, false
	}
	n, err := strconv.ParseFloat(s, 64)
	return n, err == nil
}

// parseDate reads a date in one of the forms of W3C NOTE-datetime, or a number of
// whole seconds since 1970. Digits alone are seconds, so a bare year is none.
func parseDate(s string) (time.Time, bool) {
	if s != "" && strings.Trim(s, "0123456789") == "" {
		seconds, err := strconv.ParseInt(s, 10, 64)
		return time.Unix(seconds, 0), err == nil && seconds <= 253402300799 // year 9999
	}
	layout := ""
	switch {
	case len(s) == len("2006-01"):
		layout = "2006-01"
	case len(s) == len("2006-01-02"):
		layout = "2006-01-02"
	case len(s) < len("2006-01-02T15:04Z"), s[13] != ':', strings.Contains(s, ","):
		return time.Time{}, false
	case s[16] == ':':
		layout = "2006-01-02T15:04:05Z07:00" // a fraction may follow the seconds
	default:
		layout = "2006-01-02T15:04Z07:00"
	}
	t, err := time.Parse(layout, s)
	return t, err == nil
}

// parseRange reads an address range in CIDR form, or an address, which is a range
// of one. Bits beyond the prefix are passed over, as IAM does.
func parseRange(s string) (netip.Prefix, bool) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked(), true
	}
	a, ok := parseAddress(s)
	return netip.PrefixFrom(a, a.BitLen()), ok
}

// parseAddress reads an IPv4 or IPv6 address. An IPv4 address in IPv6's clothes
// (::ffff:10.0.0.1), which is how a socket for both sees it, is an IPv4 address.
func parseAddress(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	return a.Unmap(), err == nil && a.Zone() == ""
}

// parseBool reads true or false in any case.
func parseBool(s string) (value, ok bool) {
	switch {
	case strings.EqualFold(s, "true"):
		return true, true
	case strings.EqualFold(s, "false"):
		return false, true
	}
	return false, false
}

// binary reports whether s is base64 with padding, without stray bits: then equal
// texts are equal bytes.
func binary(s string) bool {
	_, err := base64.StdEncoding.Strict().DecodeString(s)
	return err == nil && !strings.ContainsAny(s, "\r\n")
}

// arnPattern is a value of an ARN operator: six parts, each matched by itself, or
// one variable that stands for a whole ARN.
type arnPattern struct {
	whole glob
	parts [4]glob
	rest  glob
}

// parseARNPattern reads an ARN with wildcards and, where the version has them,
// variables, whose keys hold colons of their own.
func parseARNPattern(s string, variables bool) (arnPattern, *name.Refusal) {
	if variables && strings.HasPrefix(s, "${") && strings.IndexByte(s, '}') == len(s)-1 {
		g, why := parseGlob(s, false, true)
		if why == nil && !g.variables {
			why = ErrValue // ${*} and its like
		}
		return arnPattern{whole: g}, why
	}
	parts, ok := cutARN(s, variables)
	if !ok || parts[0] != "arn" {
		return arnPattern{}, ErrValue
	}
	var p arnPattern
	var why *name.Refusal
	for i := range p.parts {
		if p.parts[i], why = parseGlob(parts[i+1], true, variables); why != nil {
			return arnPattern{}, why
		}
	}
	p.rest, why = parseGlob(parts[5], true, variables)
	return p, why
}

// cutARN cuts at the first five colons outside of variables.
func cutARN(s string, variables bool) (parts [6]string, ok bool) {
	n, start, inside := 0, 0, false
	for i := 0; i < len(s) && n < 5; i++ {
		switch {
		case variables && strings.HasPrefix(s[i:], "${"):
			inside = true
		case inside && s[i] == '}':
			inside = false
		case !inside && s[i] == ':':
			parts[n], start = s[start:i], i+1
			n++
		}
	}
	parts[n] = s[start:]
	return parts, n == 5
}

// splitARN takes a request's ARN apart, without wildcards having a meaning in it.
func splitARN(s string, r *Resource) bool {
	parts, ok := cutARN(s, false)
	if !ok || parts[0] != "arn" {
		return false
	}
	*r = makeResource(s, parts)
	return true
}

func (p *arnPattern) match(r *Resource, ctx *Context) bool {
	if p.whole.variables {
		return p.whole.match(r.text, ctx)
	}
	for i := range p.parts {
		if !p.parts[i].match(r.parts[i], ctx) {
			return false
		}
	}
	return p.rest.match(r.rest, ctx)
}
