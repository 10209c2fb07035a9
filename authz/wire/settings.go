package wire

import (
	"slices"

	"latchkey/authz/name"
)

// Settings are the stack's wishes about its instances.
type Settings struct {
	KeysMode   string `json:"keys_mode"` // how sshd gets keys: see Choices
	OnRevoke   string `json:"on_revoke"` // what becomes of the account of who may not enter any more
	Homes      string `json:"homes"`     // what becomes of the home of an account that is removed
	Unmanaged  string `json:"unmanaged"` // what becomes of keys in homes of our accounts
	Stale      string `json:"stale"`     // keep, or what ParseStale reads
	MinRSABits int    `json:"min_rsa_bits"`
}

// How sshd gets the keys of our accounts.
const (
	KeysCommand   = "command"   // it asks the login hook
	KeysDirectory = "directory" // it reads our root-owned folder itself
	KeysHome      = "home"      // it reads the home's file, which holds a marked block of ours
)

// What becomes of the account of somebody who may not enter any more.
const (
	RevokeLock   = "lock"   // it is closed
	RevokeRemove = "remove" // it is closed, then removed
)

// What becomes of the home of an account that is removed.
const (
	HomesKeep    = "keep"
	HomesArchive = "archive" // packed into one file that root alone reads
	HomesDelete  = "delete"
)

// What becomes of a key that somebody put into the home of an account of ours.
const (
	UnmanagedReport     = "report"     // it is told
	UnmanagedAllow      = "allow"      // it is nothing to tell
	UnmanagedAdopt      = "adopt"      // it becomes one of the account's keys on that instance
	UnmanagedQuarantine = "quarantine" // it is taken out of the home and kept for root
)

// Choices returns the settings that have a closed list of values, by their names in
// the bundle, each with what it may be. The first is what a stack has when nobody chose.
func Choices() map[string][]string {
	return map[string][]string{
		"keys_mode": {KeysCommand, KeysDirectory, KeysHome},
		"on_revoke": {RevokeLock, RevokeRemove},
		"homes":     {HomesKeep, HomesArchive, HomesDelete},
		"unmanaged": {UnmanagedReport, UnmanagedAllow, UnmanagedAdopt, UnmanagedQuarantine},
	}
}

// DefaultSettings are what a stack has when nobody chose.
func DefaultSettings() Settings {
	return Settings{
		KeysMode: KeysCommand, OnRevoke: RevokeLock, Homes: HomesKeep, Unmanaged: UnmanagedReport, Stale: "keep", MinRSABits: 2048,
	}
}

// Reasons for refusing settings.
var (
	ErrSettings = name.Refuse("unknown_setting", "bundle holds a setting this program does not know")
	// ErrHomesOfLocked refuses to archive or delete homes of accounts that stay.
	ErrHomesOfLocked = name.Refuse("homes_of_locked", "homes are archived or deleted only where accounts are removed on revoke")
)

// Check returns ErrSettings for a value that is not known, and ErrHomesOfLocked for two
// that contradict each other.
func (s Settings) Check() error {
	known := Choices()
	for name, value := range map[string]string{
		"keys_mode": s.KeysMode, "on_revoke": s.OnRevoke, "homes": s.Homes, "unmanaged": s.Unmanaged,
	} {
		if !slices.Contains(known[name], value) {
			return ErrSettings
		}
	}
	if s.MinRSABits != 2048 && s.MinRSABits != 3072 {
		return ErrSettings
	}
	if s.OnRevoke == RevokeLock && s.Homes != HomesKeep {
		return ErrHomesOfLocked
	}
	_, err := ParseStale(s.Stale)
	return err
}
