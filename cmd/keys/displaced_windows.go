package main

import "latchkey/agent/hook"

// becomeDisplaced has nothing to do: on Windows no command is kept.
func becomeDisplaced(hook.Request) error { return nil }
