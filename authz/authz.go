// Package authz decides who may do what, and who may enter what. It is the
// vocabulary of the project — users, levels, permissions, keys — and its two
// decisions: Decide, for an action on the API, and Resolve, for a way into a
// machine.
//
// The package is pure: no input or output, no clock, no logger. The time is an
// argument. Every denial carries its own reason.
package authz

import (
	"time"

	"latchkey/authz/name"
)

// Username is a login name; see name.ParseUsername.
type Username = name.Username

// Refusal is a reason for not accepting something; see name.Refusal.
type Refusal = name.Refusal

// Profile is what is known of a user where machines are concerned.
type Profile struct {
	ID             UserID
	ARN            ARN
	Username       Username
	UID            UID
	Keys           []Key
	SelfManagement bool
}

// Permission is what one user may do on one stack. The zero value denies.
type Permission struct {
	Stack     StackID
	User      UserID
	Level     Level
	AllowSSH  bool
	AllowSudo bool
	// SudoCommands limits what AllowSudo gives; the zero value does not.
	SudoCommands Commands
	// Restricted lets the user's keys open sessions alone: no forwarding of any kind.
	Restricted bool
	// NotAfter ends the permission, level and instance access; the zero time means
	// it does not end by itself.
	NotAfter time.Time
}
