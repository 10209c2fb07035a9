package main

import (
	"strconv"

	"github.com/spf13/cobra"

	"latchkey/agent/host"
	"latchkey/cmd/internal/cli"
)

func (p program) inventory() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "inventory",
		Short: "List the access to this machine that latchkey does not manage",
		Long: `inventory lists what may let people in beside the stack: SSH keys in homes and in the
folders that sshd reads, sudo rules, members of privileged groups, accounts with uid
0, accounts with a password, programs in homes of stack users that run with the
rights of another. It changes nothing, asks nobody, and says what it could not read.
The column BUT says why sshd would not take a key.`,
		Example: "  latchkey-agent inventory\n  latchkey-agent inventory --json",
		Args:    cli.Args(),
	}
	asJSON := cli.JSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := p.needs(); err != nil {
			return err
		}
		owned, err := p.dir().Ledger()
		if err != nil {
			return err
		}
		in, err := p.machine().Inventory(cmd.Context(), owned)
		if err != nil {
			return err
		}
		found, unread, err := p.machine().SetIDs(owned)
		if err != nil {
			return err
		}
		in.SetIDs, in.Unread = found, append(in.Unread, unread...)
		if *asJSON {
			return cli.JSON(cmd.OutOrStdout(), in)
		}
		return printInventory(cmd, in)
	}
	return cmd
}

func printInventory(cmd *cobra.Command, in host.Inventory) error {
	var keys, rules, others, unread [][]string
	for _, k := range in.Keys {
		keys = append(keys, []string{k.Account, k.Type, k.Fingerprint, at(k.File, k.Line), k.Options, k.Ignored})
	}
	for _, r := range in.Rules {
		rules = append(rules, []string{r.Who, at(r.File, r.Line), r.Rule})
	}
	for _, m := range in.Members {
		others = append(others, []string{m.Account, "member of the group " + m.Group})
	}
	for _, a := range in.Roots {
		others = append(others, []string{a, "has uid 0"})
	}
	for _, a := range in.Passwords {
		others = append(others, []string{a.Account, map[bool]string{true: "has an empty password", false: "has a password"}[a.Empty]})
	}
	for _, s := range in.SetIDs {
		others = append(others, []string{s.Account, "has a program that runs with " + s.Rights + ": " + s.File})
	}
	for _, u := range in.Unread {
		unread = append(unread, []string{u.Place, u.Reason})
	}
	for _, t := range []struct {
		header []string
		rows   [][]string
	}{
		{[]string{"ACCOUNT", "KEY", "FINGERPRINT", "WHERE", "OPTIONS", "BUT"}, keys},
		{[]string{"SUDO FOR", "WHERE", "RULE"}, rules},
		{[]string{"ACCOUNT", "WHAT"}, others},
		{[]string{"NOT READ", "REASON"}, unread},
	} {
		if err := cli.Table(cmd.OutOrStdout(), t.header, t.rows); err != nil {
			return err
		}
		cmd.Println()
	}
	for _, n := range in.Notes {
		cmd.Println("note: " + cli.Text(n))
	}
	return nil
}

func at(file string, line int) string {
	if file == "" {
		return ""
	}
	return file + ":" + strconv.Itoa(line)
}
