package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"latchkey/authz"
	"latchkey/cmd/internal/cli"
	"latchkey/controlplane"
	"latchkey/controlplane/api"
)

// maxInput bounds the input of an action, in bytes: what the largest takes. Of others
// the server says how much.
const maxInput = controlplane.MaxSimulation

func newCall() *cobra.Command {
	var input string
	cmd := &cobra.Command{
		Use:   "call ACTION",
		Short: "Call any action by its API name",
		Long:  "Call an action by its API name and print its output as JSON.\n\nActions:\n" + actionList(),
		Example: `  latchkey call DescribeStacks
  latchkey call DescribeUser --json '{"IamUserArn":"arn:aws:iam::000000000000:user/alice"}'
  latchkey call SetPermission --json @permission.json`,
		Args: cli.Args("ACTION"),
	}
	conn := connectionFlags(cmd)
	cmd.Flags().StringVar(&input, "json", "{}", "the action's input: `JSON`, @FILE, or - for standard input")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkAction(args[0]); err != nil {
			return err
		}
		body, err := readInput(cmd.InOrStdin(), input)
		if err != nil {
			return err
		}
		c, err := conn.dial()
		if err != nil {
			return err
		}
		answer, err := c.send(cmd.Context(), args[0], body)
		if err != nil {
			return err
		}
		return cli.JSON(cmd.OutOrStdout(), json.RawMessage(answer))
	}
	return cmd
}

func actionList() string {
	var b strings.Builder
	for _, a := range api.Actions() {
		fmt.Fprintf(&b, "  %-35s  %s\n", a.Name, a.Doc)
	}
	return b.String()
}

// checkAction refuses a mistyped name here. An action that this program knows and
// the server may not serve is for the server to answer.
func checkAction(name string) error {
	if authz.Action("opsworks:"+name).Rule().Scope != authz.ScopeUnknown {
		return nil
	}
	for _, a := range api.Actions() {
		if a.Name == name {
			return nil
		}
		if strings.EqualFold(a.Name, name) {
			return cli.Usage("did you mean "+a.Name+"?", "no action has the name %q", name)
		}
	}
	return cli.Usage("latchkey call --help lists them", "no action has the name %q", name)
}

func readInput(stdin io.Reader, given string) ([]byte, error) {
	return readObject(stdin, "json", given, `it looks like {"StackId":"..."}`)
}

// readObject reads the JSON object that a flag gives: itself, @FILE, or - for standard
// input.
func readObject(stdin io.Reader, flag, given, example string) ([]byte, error) {
	text := []byte(given)
	var err error
	if path, isFile := strings.CutPrefix(given, "@"); isFile || given == "-" {
		text, err = cli.Read(stdin, path, maxInput)
	}
	if err != nil {
		return nil, cli.Usage("", "--%s: %v", flag, err)
	}
	if text = bytes.TrimSpace(text); !json.Valid(text) || text[0] != '{' {
		return nil, cli.Usage(example, "--%s: the input is not a JSON object", flag)
	}
	return text, nil
}
