//go:build !manual

// Command latchkey is the control plane: the server and the administrator's
// command line. Build it with
//
//	go build -o bin/latchkey ./cmd/controlplane
package main

import (
	"os"

	"latchkey/cmd/internal/cli"
)

func main() { os.Exit(cli.Main(newCommand())) }
