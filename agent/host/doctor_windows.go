package host

import (
	"context"
	"errors"

	"latchkey/agent/doctor"
	"latchkey/agent/plan"
	"latchkey/authz"
)

// Examine is not there for Windows yet.
func (h *Host) Examine(context.Context, doctor.Question) doctor.Host {
	return doctor.Host{FilesErr: errors.ErrUnsupported, LoginsErr: errors.ErrUnsupported, UnitsErr: errors.ErrUnsupported}
}

// EnableService is not there for Windows yet.
func (h *Host) EnableService(context.Context) error { return errors.ErrUnsupported }

// Inventory is not there for Windows yet.
func (h *Host) Inventory(context.Context, plan.Ledger) (Inventory, error) {
	return Inventory{}, errors.ErrUnsupported
}

// SetIDs is not there for Windows, which has none.
func (h *Host) SetIDs(plan.Ledger) ([]SetID, []Unread, error) { return nil, nil, nil }

// ProveHook is not there for Windows yet.
func (h *Host) ProveHook(context.Context, authz.Grant) error { return errors.ErrUnsupported }

// ProveKeys is not there for Windows yet.
func (h *Host) ProveKeys(context.Context, plan.KeysMode, authz.Grant) error {
	return errors.ErrUnsupported
}

// Displaced is not there for Windows: no command is kept.
func (h *Host) Displaced(context.Context) (command, user string, err error) {
	return "", "", errors.ErrUnsupported
}
