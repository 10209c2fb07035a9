package main

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"latchkey/authz"
	"latchkey/cmd/internal/cli"
	"latchkey/controlplane"
)

// maxKeyFile bounds a file with public keys, in bytes; a hundred RSA keys fit.
const maxKeyFile = 64 << 10

func newUser() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "user",
		Short: "Users: their profiles and SSH keys",
		Long: `Users. USER is an ARN, or a plain name for arn:aws:iam::ID:user/NAME, where ID is that
of --account-id.`,
		Example: `  latchkey user create alice --key-file alice.pub
  latchkey user key create alice --out alice-credentials
  latchkey user list arn:aws:sts::123456789012:federated-user/bob`,
	}
	conn := connectionFlags(cmd)
	return cli.Group(cmd, userCreate(conn), userUpdate(conn), userDelete(conn), userList(conn), userMe(conn),
		userShow(conn), userTag(conn), userUntag(conn), userKey(conn))
}

// profileFlags are the parts of a profile that create and update set.
type profileFlags struct {
	sshName, keyFile string
	selfManagement   bool
}

func addProfileFlags(cmd *cobra.Command) *profileFlags {
	p := &profileFlags{}
	cmd.Flags().StringVar(&p.sshName, "ssh-name", "", "login `NAME` on the instances; not given at all: made from the user's name")
	cmd.Flags().StringVar(&p.keyFile, "key-file", "", "`FILE` with the SSH public key; - reads standard input")
	cmd.Flags().BoolVar(&p.selfManagement, "self-management", false, "let the user change their own key")
	return p
}

// given returns what was set on the command line; nil means left out.
func (p *profileFlags) given(cmd *cobra.Command) (name, key *string, self *bool, err error) {
	if cmd.Flags().Changed("ssh-name") {
		name = &p.sshName
	}
	if cmd.Flags().Changed("key-file") {
		text, err := readPublicKey(cmd.InOrStdin(), p.keyFile)
		if err != nil {
			return nil, nil, nil, err
		}
		key = &text
	}
	if cmd.Flags().Changed("self-management") {
		self = &p.selfManagement
	}
	return name, key, self, nil
}

// readPublicKey reads a key file and refuses a private key before it is sent
// anywhere. Whether it is a sound public key is the server's to say.
func readPublicKey(stdin io.Reader, path string) (string, error) {
	text, err := cli.Read(stdin, path, maxKeyFile)
	_, refusal := authz.ParseKey(string(text), authz.KeyPolicy{})
	switch {
	case err != nil:
		return "", cli.Usage("", "--key-file: %v", err)
	case errors.Is(refusal, authz.ErrKeyPrivate):
		return "", cli.Usage("give the public key, the file that ends in .pub", "--key-file: %s is a private key", path)
	case len(bytes.TrimSpace(text)) == 0:
		return "", cli.Usage("", "--key-file: %s is empty", path)
	}
	return strings.TrimSpace(string(text)), nil
}

func userCreate(conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "create USER",
		Short:   "Make a user's profile and print the login name",
		Example: "  latchkey user create alice --key-file ~/.ssh/id_ed25519.pub",
		Args:    cli.Args("USER"),
	}
	profile, asJSON := addProfileFlags(cmd), cli.JSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name, key, self, err := profile.given(cmd)
		if err != nil {
			return err
		}
		c, err := conn.dial()
		if err != nil {
			return err
		}
		arn, err := c.userARN(args[0])
		if err != nil {
			return err
		}
		var resp controlplane.CreateUserProfileResponse
		req := controlplane.CreateUserProfileRequest{IamUserArn: arn, SshUsername: name, SshPublicKey: key, AllowSelfManagement: self}
		if err := c.call(cmd.Context(), "CreateUserProfile", req, &resp); err != nil {
			return err
		}
		return showOne(cmd, *asJSON, resp, resp.SshUsername)
	}
	return cmd
}

func userUpdate(conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "update USER",
		Short:   "Change what is named of a profile and keep the rest",
		Example: "  latchkey user update alice --key-file new.pub",
		Args:    cli.Args("USER"),
	}
	profile := addProfileFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name, key, self, err := profile.given(cmd)
		if err != nil {
			return err
		}
		if name == nil && key == nil && self == nil {
			return cli.Usage("give --ssh-name, --key-file or --self-management", "nothing is to be changed")
		}
		c, err := conn.dial()
		if err != nil {
			return err
		}
		arn, err := c.userARN(args[0])
		if err != nil {
			return err
		}
		req := controlplane.UpdateUserProfileRequest{IamUserArn: arn, SshUsername: name, SshPublicKey: key, AllowSelfManagement: self}
		return c.call(cmd.Context(), "UpdateUserProfile", req, nil)
	}
	return cmd
}

func userDelete(conn *connection) *cobra.Command {
	return changing(conn, &cobra.Command{
		Use:   "delete USER",
		Short: "Delete a profile and end everything it holds, on every stack",
		Long: `Delete a profile and end everything it holds, on every stack: permissions, policies,
access keys. The instances take back keys, sudo and sessions as soon as they hear of it,
and keep the home unless the stack's settings say otherwise.`,
		Example: "  latchkey user delete alice",
		Args:    cli.Args("USER"),
	}, theUser, func(arn string, _ []string) asked {
		return asked{"DeleteUserProfile", controlplane.DeleteUserProfileRequest{IamUserArn: arn}}
	})
}

func userList(conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list [USER...]",
		Short:   "List profiles: those named, or all",
		Example: "  latchkey user list --json\n  latchkey user list --unused-since 90d",
		Args:    cli.Args("[USER...]"),
	}
	unused := cmd.Flags().String("unused-since", "", "only users who logged in to no instance since `TIME`: 90d or 36h ago, or 2026-08-01T22:53:42Z")
	asJSON := cli.JSONFlag(cmd)
	cmd.RunE = conn.with(func(c *client, cmd *cobra.Command, args []string) error {
		if *unused != "" && len(args) > 0 {
			return cli.Usage("give one of them", "users and --unused-since are both given")
		}
		if *unused != "" {
			return userUnused(cmd, c, *unused, *asJSON)
		}
		arns, err := c.userARNs(args)
		if err != nil {
			return err
		}
		var resp controlplane.DescribeUserProfilesResponse
		if err := c.call(cmd.Context(), "DescribeUserProfiles", controlplane.DescribeUserProfilesRequest{IamUserArns: arns}, &resp); err != nil {
			return err
		}
		var rows [][]string
		for _, u := range resp.UserProfiles {
			rows = append(rows, []string{u.Name, u.SshUsername, keyCount(u.SshPublicKey), yes(u.AllowSelfManagement), u.IamUserArn})
		}
		return show(cmd, *asJSON, resp, []string{"NAME", "LOGIN", "KEYS", "SELF-MANAGEMENT", "ARN"}, rows)
	})
	return cmd
}

// keyCount says how many keys a profile has: one a line.
func keyCount(keys string) string {
	if keys = strings.TrimSpace(keys); keys == "" {
		return "0"
	}
	return strconv.Itoa(strings.Count(keys, "\n") + 1)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
