package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"latchkey/cmd/internal/cli"
)

// endpointFile is written by serve into its data directory at every start, so
// that the command line on the same machine finds it.
const endpointFile = "endpoint.json"

// endpoint is what a client has to know of a server. It holds no secret.
type endpoint struct {
	URL       string `json:"url"`
	CA        string `json:"ca"` // file
	Region    string `json:"region"`
	AccountID string `json:"account_id"`
}

// connection is what the flags of every client command say about the server.
type connection struct {
	server, credentials, ca, dataDir, region, account string
}

// connectionFlags adds the flags to cmd and its subcommands.
func connectionFlags(cmd *cobra.Command) *connection {
	c := &connection{}
	f := cmd.PersistentFlags()
	f.StringVar(&c.server, "server", "", "`URL` of the server, https://HOST:PORT")
	f.StringVar(&c.credentials, "credentials", "", "`FILE` with an access key, in the AWS shared-credentials format")
	f.StringVar(&c.ca, "ca", "", "`FILE` with the certificate authority of the server, PEM (default: that of the data directory, or the system's own)")
	f.StringVar(&c.dataDir, "data-dir", defaultDataDir, "data `DIR` of a server on this machine, used for what the others leave open")
	f.StringVar(&c.region, "region", "", "`REGION` of the server (default us-east-1)")
	f.StringVar(&c.account, "account-id", "", "12-digit account `ID` of users named without an ARN (default 000000000000)")
	cli.Settings(cmd, "server", "credentials", "ca", "data-dir", "region", "account-id")
	return c
}

// resolve fills what was not said: from the data directory, then the defaults.
func (c connection) resolve() (connection, error) {
	local, err := readEndpoint(c.dataDir)
	if errors.Is(err, fs.ErrPermission) && c.server == "" {
		return c, cli.Usage("run this as the user who runs the server, or give --server, --credentials and --ca",
			"no server is named, and %s is not for this user to read", c.dataDir)
	}
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		return c, err
	}
	c.server = first(c.server, local.URL)
	c.region = first(c.region, local.Region, defaultRegion)
	c.account = first(c.account, local.AccountID, defaultAccount)
	c.credentials = first(c.credentials, existing(c.dataDir, "admin-credentials"))
	c.ca = first(c.ca, local.CA)
	switch {
	case c.server == "":
		return c, cli.Usage("give --server https://HOST:PORT, or --data-dir on the server's own machine",
			"no server is named, and %s is not the data directory of one", c.dataDir)
	case c.credentials == "":
		return c, cli.Usage("give --credentials FILE; the server's first one is DATA-DIR/admin-credentials", "no credentials are named")
	}
	return c, nil
}

// readEndpoint reads what serve left; a directory that is not there says nothing.
func readEndpoint(dir string) (endpoint, error) {
	var e endpoint
	text, err := os.ReadFile(filepath.Join(dir, endpointFile))
	if errors.Is(err, fs.ErrNotExist) {
		return e, nil
	}
	if err != nil {
		return e, err
	}
	if err := json.Unmarshal(text, &e); err != nil {
		return e, fmt.Errorf("read %s: %v", filepath.Join(dir, endpointFile), err)
	}
	return e, nil
}

// writeEndpoint leaves it for clients; readers see the old one or the new one.
func writeEndpoint(dir string, e endpoint) error {
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	temp := filepath.Join(dir, "."+endpointFile+".new")
	if err := os.WriteFile(temp, append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(temp, filepath.Join(dir, endpointFile))
}

// existing returns the path if a file is there.
func existing(path ...string) string {
	p := filepath.Join(path...)
	if _, err := os.Stat(p); err != nil {
		return ""
	}
	return p
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
