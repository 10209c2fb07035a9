package main

import (
	"os"

	"github.com/spf13/cobra"

	"latchkey/cmd/internal/cli"
)

// version is set by the linker: -ldflags "-X main.version=…".
var version = "development"

// newCommand returns the whole command line for a kind of system.
func newCommand(system string) *cobra.Command {
	root := &cobra.Command{
		Use:   "latchkey-agent",
		Short: "Manage who may enter this machine",
		Long: `latchkey-agent makes accounts, SSH keys and sudo rules of this machine what the
control plane of its stack says, and touches nothing else. Logins never need the
network or a running agent.

A bundle is what the control plane signs for a stack: who gets in, by which keys, with
what sudo, until when. A pass is one look at the machine, and the steps that make it as
the bundle says. The ledger is the agent's list of what it made: revert undoes that.`,
		Example: `  latchkey-agent enroll --server https://cp.example:8443 --token-file token
  latchkey-agent sshd enable
  systemctl enable --now latchkey-agent`,
	}
	p := program{system: system, point: failpoint(os.Getenv("LATCHKEY_FAILPOINT"))}
	return cli.Group(root, p.enroll(), p.run(), p.plan(), p.apply(), p.adopt(), p.status(), p.explain(), p.doctor(), p.inventory(), p.sshd(),
		p.freeze(), p.unfreeze(), p.revert(),
		cli.VersionCommand("latchkey-agent", version))
}
