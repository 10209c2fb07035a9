package datadir

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// names are what a server certificate is for, each list sorted and without doubles.
type names struct{ dns, ips []string }

// String lists the names for people.
func (n names) String() string { return strings.Join(slices.Concat(n.dns, n.ips), ", ") }

// wanted collects the names: localhost, the loopback addresses, the machine's own
// and those asked for. A name that was asked for and is none is an error; a host
// name that a certificate cannot hold is left out.
func wanted(opt Options) (names, error) {
	if opt.Hostname == nil {
		opt.Hostname = os.Hostname
	}
	if opt.Addresses == nil {
		opt.Addresses = machineAddresses
	}
	n := names{dns: []string{"localhost"}, ips: []string{"127.0.0.1", "::1"}}
	for _, asked := range opt.Names {
		if !n.add(asked) {
			return names{}, fmt.Errorf("%q is neither a host name nor an IP address", asked)
		}
	}
	host, err := opt.Hostname()
	if err != nil {
		return names{}, fmt.Errorf("read the host name: %w", err)
	}
	n.add(host)
	addresses, err := opt.Addresses()
	if err != nil {
		return names{}, fmt.Errorf("read the machine's addresses: %w", err)
	}
	for _, a := range addresses {
		n.ips = append(n.ips, a.Unmap().String())
	}
	slices.Sort(n.dns)
	slices.Sort(n.ips)
	return names{slices.Compact(n.dns), slices.Compact(n.ips)}, nil
}

func (n *names) add(s string) bool {
	if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() == "" {
		n.ips = append(n.ips, ip.Unmap().String())
		return true
	}
	s = strings.ToLower(strings.TrimSuffix(s, "."))
	if !hostName(s) {
		return false
	}
	n.dns = append(n.dns, s)
	return true
}

// hostName accepts the letters, digits and hyphens of RFC 1123, in labels of 1 to
// 63, at most 253 in all; the last label is not a number, or it would be a
// mistyped address.
func hostName(s string) bool {
	last := s[strings.LastIndexByte(s, '.')+1:]
	if len(s) > 253 || strings.Trim(last, "0123456789") == "" {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return true
}

// machineAddresses are the addresses of the interfaces that others can reach:
// link-local ones need a zone, which a certificate cannot name.
func machineAddresses() ([]netip.Addr, error) {
	found, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var all []netip.Addr
	for _, a := range found {
		prefix, err := netip.ParsePrefix(a.String())
		if err == nil && !prefix.Addr().IsLinkLocalUnicast() {
			all = append(all, prefix.Addr())
		}
	}
	return all, nil
}
