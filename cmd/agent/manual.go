//go:build manual

package main

import (
	"os"

	"latchkey/cmd/internal/manual"
)

func main() {
	os.Exit(manual.Main(manual.Manual{
		Root: newCommand("linux"), Section: "8", Version: version,
		SeeAlso: []string{"latchkey(1)", "latchkey-keys(8)", "sshd_config(5)", "sudoers(5)"},
	}, os.Args[1:], os.Stderr))
}
