package main

import (
	"errors"
	"io"
	"net"

	"github.com/spf13/cobra"

	"latchkey/agent"
	"latchkey/agent/client"
	"latchkey/agent/host"
	"latchkey/authz/wire"
	"latchkey/cmd/internal/cli"
)

// maxToken bounds the file of a join token, in bytes; a token has about 100.
const maxToken = 4 << 10

func (p program) enroll() *cobra.Command {
	var server, tokenFile string
	cmd := &cobra.Command{
		Use:   "enroll --server URL --token-file FILE|-",
		Short: "Join this machine to the stack of a join token",
		Long: `enroll makes a key pair on this machine, proves the control plane by the key that
the token names, and joins. The token works once. Run it again with the same token
if the answer was lost. Nothing of the machine's logins changes by it.

latchkey token create --stack NAME makes the token, on the server; it lasts an hour at
most. After enroll come latchkey-agent sshd enable and the service.`,
		Example: "  latchkey-agent enroll --server https://cp.example:8443 --token-file token",
		Args:    cli.Args(),
	}
	cmd.Flags().StringVar(&server, "server", "", "`URL` of the control plane, https://HOST:PORT, as latchkey serve prints it")
	cmd.Flags().StringVar(&tokenFile, "token-file", "", "`FILE` that holds the join token; - reads standard input")
	cli.Settings(cmd, "server", "token-file")
	cli.Require(cmd, "server", "token-file")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return p.join(cmd, server, tokenFile) }
	return cmd
}

func (p program) join(cmd *cobra.Command, server, tokenFile string) error {
	u, err := client.ParseServer(server)
	if err != nil {
		return cli.Usage("https://HOST:PORT, as latchkey serve printed it", "%s", err)
	}
	text, err := cli.Read(cmd.InOrStdin(), tokenFile, maxToken)
	if err != nil {
		return cli.Usage("latchkey token create --stack NAME makes one", "%s", err)
	}
	token, err := wire.ParseJoinToken(string(text))
	if err != nil {
		return cli.Usage("latchkey token create --stack NAME makes one", "%s", err)
	}
	if err := p.needs(); err != nil {
		return err
	}
	identity, err := agent.Enroll(cmd.Context(), p.dir(), u.String(), token, p.facts(u.String()), newLog(io.Discard))
	if errors.Is(err, agent.ErrEnrolled) {
		return cli.Hint(err, "latchkey-agent revert gives it back first")
	}
	if errors.As(err, new(net.Error)) {
		return cli.Hint(err, "is --server what latchkey serve prints, and can this machine reach it?")
	}
	if err != nil {
		return err
	}
	cmd.Printf("instance %s joined stack %s\n", identity.Instance, cli.Text(identity.StackName))
	cmd.Println("next: latchkey-agent sshd enable; systemctl enable --now latchkey-agent")
	return nil
}

func (p program) facts(server string) wire.Facts {
	u, err := client.ParseServer(server)
	if err != nil {
		return host.Facts(p.system, version, "")
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	return host.Facts(p.system, version, u.Hostname()+":"+port)
}
