//go:build manual

package main

import (
	"os"

	"latchkey/cmd/internal/manual"
)

func main() {
	os.Exit(manual.Main(manual.Manual{
		Root: newCommand(), Section: "1", Version: version, SeeAlso: []string{"latchkey-agent(8)", "latchkey-keys(8)"},
	}, os.Args[1:], os.Stderr))
}
