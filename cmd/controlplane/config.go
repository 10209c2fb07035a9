package main

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"

	"latchkey/cmd/internal/cli"
	"latchkey/controlplane/datadir"
)

const (
	defaultAccount = "000000000000"
	defaultRegion  = "us-east-1"
)

// config is what serve is told. Each field is the flag of its name.
type config struct {
	DataDir, Listen   string
	Names             []string
	TLSCert, TLSKey   string
	AccountID, Region string
	Verbose           bool
}

func defaultConfig() config {
	return config{DataDir: defaultDataDir, Listen: ":8443", AccountID: defaultAccount, Region: defaultRegion}
}

var (
	accountForm = regexp.MustCompile(`^[0-9]{12}$`)
	regionForm  = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
)

// validate reports every fault at once.
func (c config) validate() error {
	var faults []error
	fault := func(hint, format string, args ...any) { faults = append(faults, cli.Usage(hint, format, args...)) }
	if host, port, err := net.SplitHostPort(c.Listen); err != nil || !portNumber(port) || strings.ContainsAny(host, " /") {
		fault("it looks like :8443 or 10.0.0.5:8443", "--listen: %q is not HOST:PORT", c.Listen)
	}
	if !accountForm.MatchString(c.AccountID) {
		fault("", "--account-id: %q is not 12 digits", c.AccountID)
	}
	if !regionForm.MatchString(c.Region) {
		fault("it looks like us-east-1", "--region: %q is not a region", c.Region)
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		fault("", "--tls-cert and --tls-key go together")
	}
	if c.TLSCert != "" && len(c.Names) > 0 {
		fault("", "--name is for the certificate that this server makes, and --tls-cert brings another")
	}
	return errors.Join(faults...)
}

func portNumber(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && strconv.FormatUint(n, 10) == s
}

// listenError says what to do about an address that is not to be had.
func listenError(address string, err error) error {
	var of *net.OpError
	if errors.As(err, &of) {
		err = of.Err // "bind: address already in use"
	}
	return cli.Hint(fmt.Errorf("listen on %s: %w", address, err), "give another --listen, or stop what has it")
}

// clientURL is where a client on this machine reaches a listener whose
// certificate is for name; "" stands for localhost and the machine's addresses.
func clientURL(addr net.Addr, name string) string {
	host, port, err := net.SplitHostPort(addr.String())
	switch ip := net.ParseIP(host); {
	case name != "":
		host = name
	case err != nil || ip == nil || ip.IsUnspecified():
		host = "localhost"
	}
	return "https://" + net.JoinHostPort(host, port)
}

// tryThis is a command to paste: the stock AWS client against this server.
func tryThis(dir *datadir.Dir, at endpoint) string {
	return fmt.Sprintf("  AWS_SHARED_CREDENTIALS_FILE=%s AWS_CA_BUNDLE=%s AWS_DEFAULT_REGION=%s \\\n    aws opsworks describe-stacks --endpoint-url %s",
		shellWord(dir.AdminCredentialsPath()), shellWord(at.CA), at.Region, at.URL)
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// shellWord quotes a path for a POSIX shell.
func shellWord(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
