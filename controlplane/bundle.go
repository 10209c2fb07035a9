package controlplane

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"latchkey/authz"
	"latchkey/authz/wire"
	"latchkey/controlplane/store"
)

// Sealed is a stack's signed bundle.
type Sealed struct {
	Note          []byte // not to be changed
	Epoch, Serial int64
}

// Bundle returns the newest bundle of a stack. It is compiled by authz.Resolve and
// signed once for a serial, and kept: the same serial is the same bytes for ever,
// after a restart and from another process too. An unknown stack is an *Error
// NotFound.
func (c *ControlPlane) Bundle(ctx context.Context, stack authz.StackID) (Sealed, error) {
	sealed, err := c.kept(ctx, stack)
	if errors.Is(err, errNotCompiled) {
		sealed, err = c.compileOnce(ctx, stack)
	}
	if errors.Is(err, store.ErrNotFound) {
		c.forgetBundle(stack)
		return Sealed{}, noStack(stack)
	}
	return sealed, err
}

var errNotCompiled = errors.New("no bundle of this serial was compiled yet")

// kept returns the bundle of the stack's serial from memory or from the store.
func (c *ControlPlane) kept(ctx context.Context, stack authz.StackID) (Sealed, error) {
	var sealed Sealed
	err := c.cfg.Store.Read(ctx, func(v store.View) error {
		serial, err := v.Serial(ctx, stack)
		if err != nil {
			return err
		}
		c.mu.Lock()
		cached, found := c.bundles[stack]
		c.mu.Unlock()
		if found && cached.Serial == serial {
			sealed = cached
			return nil
		}
		sealed, err = c.stored(ctx, v, stack, serial)
		return err
	})
	if err == nil {
		c.remember(stack, sealed)
	}
	return sealed, err
}

func (c *ControlPlane) stored(ctx context.Context, v store.View, stack authz.StackID, serial int64) (Sealed, error) {
	text, err := v.Bundle(ctx, stack, c.epoch, serial)
	if errors.Is(err, store.ErrNotFound) {
		return Sealed{}, errNotCompiled
	}
	return Sealed{Note: text, Epoch: c.epoch, Serial: serial}, err
}

// compileOnce lets the first of many that wait compile, and the others find its
// work. Other processes may compile the same serial meanwhile: whoever stores
// first decides its bytes, and the others look again. The store is not kept from
// changing for as long as a large stack takes; what it gets is then one bundle
// behind, and whoever asks next gets the newer one.
func (c *ControlPlane) compileOnce(ctx context.Context, stack authz.StackID) (Sealed, error) {
	c.compiling.Lock()
	defer c.compiling.Unlock()
	for {
		sealed, err := c.kept(ctx, stack)
		if !errors.Is(err, errNotCompiled) {
			return sealed, err
		}
		b, err := c.compile(ctx, stack)
		if err != nil {
			return Sealed{}, err
		}
		first := false
		err = c.cfg.Store.Observe(ctx, func(o store.Observation) (err error) {
			first, err = o.PutBundle(ctx, b)
			return err
		})
		if err != nil {
			return Sealed{}, err
		}
		if first {
			sealed = Sealed{Note: b.Note, Epoch: b.Epoch, Serial: b.Serial}
			c.remember(stack, sealed)
			return sealed, nil
		}
	}
}

// confirmedFor is how long a removal stands in bundles as confirmed. An instance that
// was away for longer holds a mass of them and says so.
const confirmedFor = 90 * 24 * time.Hour

// compile makes the bundle of one state of the store, and signs it.
func (c *ControlPlane) compile(ctx context.Context, stack authz.StackID) (store.Bundle, error) {
	b := store.Bundle{Stack: stack, Epoch: c.epoch, IssuedAt: c.cfg.Now()}
	var users []authz.Profile
	var permissions []authz.Permission
	var confirmed []authz.UserID
	var set wire.Settings
	err := c.cfg.Store.Read(ctx, func(v store.View) (err error) {
		if b.Serial, err = v.Serial(ctx, stack); err != nil {
			return err
		}
		if users, err = v.UsersOf(ctx, stack); err != nil {
			return err
		}
		if permissions, err = v.PermissionsOn(ctx, stack); err != nil {
			return err
		}
		if set, err = settings(ctx, v, stack); err != nil {
			return err
		}
		if confirmed, err = v.ConfirmedRemovals(ctx, stack, b.IssuedAt.Add(-confirmedFor)); err != nil {
			return err
		}
		b.Log, err = v.AuditHead(ctx)
		return err
	})
	if err != nil {
		return b, err
	}
	text := wire.Bundle{
		Format: wire.Format, ControlPlane: c.id, Stack: stack.String(), Epoch: b.Epoch, Serial: b.Serial,
		Issued: wire.FormatTime(b.IssuedAt), Users: []wire.User{}, Settings: set,
		Log: wire.LogHead{Size: b.Log.Size, Root: b.Log.Hash}, Confirmed: []string{},
	}
	text.Users = usersIn(stack, users, permissions, b.IssuedAt)
	for _, id := range confirmed {
		text.Confirmed = append(text.Confirmed, id.String())
	}
	b.Note, err = wire.Seal(text, c.cfg.Signer)
	return b, err
}

// usersIn are the users of a stack as they stand in a bundle, sorted by name: who may
// enter, and without SSH or a key whose permission to enter has ended. The instances
// tell one whose time is over, and who may be given more of it, from one who was taken
// off the stack: only the latter's account and home may be removed there.
func usersIn(stack authz.StackID, users []authz.Profile, permissions []authz.Permission, now time.Time) []wire.User {
	all := []wire.User{}
	for _, g := range authz.Resolve(stack, users, permissions, now).Grants {
		all = append(all, wire.UserOf(g))
	}
	permission := make(map[authz.UserID]authz.Permission, len(permissions))
	for _, p := range permissions {
		if p.Stack == stack {
			permission[p.User] = p
		}
	}
	for _, u := range users {
		p, found := permission[u.ID]
		if _, err := authz.Enter(u, p, now); found && errors.Is(err, authz.ErrExpired) && !u.Username.IsZero() && u.UID != 0 {
			all = append(all, wire.User{ID: u.ID.String(), ARN: u.ARN.String(), Name: u.Username.String(), UID: int64(u.UID), Keys: []string{}, SudoCommands: []string{}})
		}
	}
	slices.SortFunc(all, func(a, b wire.User) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// remember keeps a bundle in memory, unless a newer one is there.
func (c *ControlPlane) remember(stack authz.StackID, s Sealed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bundles[stack].Serial < s.Serial {
		c.bundles[stack] = s
	}
}

func (c *ControlPlane) forgetBundle(stack authz.StackID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.bundles, stack)
}

// Changed returns a channel that is closed at the stack's next change, or when the
// stack is deleted. Take it before Bundle: then no change is missed. Changes made
// by another process do not close it.
func (c *ControlPlane) Changed(stack authz.StackID) <-chan struct{} { return c.changes.wait(stack) }

// changes wakes those who wait for stacks.
type changes struct {
	mu      sync.Mutex // guards waiting
	waiting map[authz.StackID]chan struct{}
}

func (w *changes) wait(stack authz.StackID) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	ch, found := w.waiting[stack]
	if !found {
		ch = make(chan struct{})
		w.waiting[stack] = ch
	}
	return ch
}

func (w *changes) tell(stacks []authz.StackID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, stack := range stacks {
		if ch, found := w.waiting[stack]; found {
			close(ch)
			delete(w.waiting, stack)
		}
	}
}
