//go:build !manual

// Command latchkey-agent manages who may enter this machine, as its control
// plane says.
package main

import (
	"os"
	"runtime"

	"latchkey/cmd/internal/cli"
)

func main() {
	root := newCommand(runtime.GOOS)
	root.SetOut(os.Stdout)
	os.Exit(cli.Main(root))
}
