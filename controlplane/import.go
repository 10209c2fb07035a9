package controlplane

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"latchkey/authz"
	"latchkey/authz/iam"
	"latchkey/authz/name"
	"latchkey/controlplane/store"
)

// An import brings many entities in one request: managed policies, groups, users.
// For those that it names the file is the truth; others are not touched, and nobody
// is deleted. Each is taken wholly or not at all, so one that is refused also keeps
// what the file takes away: its entry says so, line by line. A plan is the same
// transaction, undone at its end, so it cannot say anything else than what comes.

// Reasons for refusing what an import brings.
var errImportTwice = name.Refuse("import_twice", "is in the file twice")

// errPlanned undoes the transaction of a plan.
var errPlanned = errors.New("only a plan was asked for")

// What an import does to an entity.
const (
	importCreate    = "create"
	importUpdate    = "update"
	importUnchanged = "unchanged"
	importRefused   = "refused"
)

// importing is an import in its transaction.
type importing struct {
	*change
	c      *ControlPlane
	action authz.Action
	// unlimited says that the caller may do everything, so that nothing he gives
	// has to be compared with what he has.
	unlimited bool
	seen      map[string]bool // kind and name of what was named so far
	out       ImportOutcome
}

// importAll runs each in the transaction of an import.
func (c *ControlPlane) importAll(
	ctx context.Context, caller Caller, action authz.Action, apply bool, each func(*importing) error,
) (ImportOutcome, error) {
	var out ImportOutcome
	err := c.write(ctx, caller, action, func(ch *change) error {
		if err := c.authorise(ctx, ch.View, ch.who, action, authz.StackID{}); err != nil {
			return err
		}
		own, err := c.effective(ctx, ch.View, ch.who)
		if err != nil {
			return err
		}
		im := &importing{change: ch, c: c, action: action, unlimited: own.Covers(c.everything()), seen: map[string]bool{}}
		im.out = ImportOutcome{Applied: apply, Changes: []ImportChange{}}
		if err := each(im); err != nil {
			return err
		}
		out = im.out
		if !apply {
			return errPlanned
		}
		ch.Record("", out.detail())
		return nil
	})
	if errors.Is(err, errPlanned) {
		err = nil
	}
	return out, err
}

// importEntity is a policy, a group or a user on its way in.
type importEntity struct {
	kind, name string
	created    bool
	lines      []importLine
}

// importLine says one thing that changes. One that takes something away is said of a
// refused entity too.
type importLine struct {
	text  string
	takes bool
}

func (e *importEntity) gives(format string, args ...any) {
	e.lines = append(e.lines, importLine{text: fmt.Sprintf(format, args...)})
}

func (e *importEntity) takes(format string, args ...any) {
	e.lines = append(e.lines, importLine{fmt.Sprintf(format, args...), true})
}

// try imports one entity by f, wholly or not at all, and notes what came of it. It
// returns only what ends the import.
func (im *importing) try(ctx context.Context, e *importEntity, f func() error) error {
	raised := len(im.raised)
	err := im.Attempt(ctx, func() error {
		id := e.kind + " " + strings.ToLower(e.name)
		if e.kind == importUser { // an ARN is another one in another case
			id = e.kind + " " + e.name
		}
		if im.seen[id] {
			return invalid(e.name, errImportTwice)
		}
		im.seen[id] = true
		return f()
	})
	var refusal *Error
	switch {
	case err == nil:
		im.note(e, nil)
	case errors.As(err, &refusal):
		im.raised = im.raised[:raised]
		im.note(e, refusal)
	default:
		return err
	}
	return nil
}

// The kinds of entities.
const (
	importPolicy = "policy"
	importGroup  = "group"
	importUser   = "user"
)

func (im *importing) note(e *importEntity, refusal *Error) {
	entry := ImportChange{Kind: e.kind, Name: e.name}
	for _, l := range e.lines {
		switch {
		case refusal == nil:
			entry.Details = append(entry.Details, l.text)
		case l.takes && !e.created:
			entry.Details = append(entry.Details, "not done: "+l.text)
		}
	}
	switch {
	case refusal != nil:
		entry.Change, entry.Reason = importRefused, refusal.Message
		im.out.Refused++
	case e.created:
		entry.Change = importCreate
		im.out.Created++
	case len(e.lines) > 0:
		entry.Change = importUpdate
		im.out.Updated++
	default:
		entry.Change = importUnchanged
		im.out.Unchanged++
	}
	im.out.Changes = append(im.out.Changes, entry)
}

// mayGive refuses, once an entity is in, what the caller would give beyond his own.
func (im *importing) mayGive(ctx context.Context, documents []iam.Policy, users []store.Identity) error {
	if im.unlimited {
		return nil
	}
	return im.c.mayGive(ctx, im.change, documents, users)
}

// keepsRight refuses an entity that would take from the caller the right to import.
func (im *importing) keepsRight(ctx context.Context) error {
	return im.c.keepsRight(ctx, im.change, im.action, target{})
}

// maxImportDetail bounds each list in the audit row of an import, in bytes.
const maxImportDetail = 8 << 10

// detail is the audit row's: how many, and which with what, as far as there is room.
func (o ImportOutcome) detail() map[string]string {
	detail := map[string]string{
		"created": strconv.FormatInt(o.Created, 10), "updated": strconv.FormatInt(o.Updated, 10),
		"unchanged": strconv.FormatInt(o.Unchanged, 10), "refused": strconv.FormatInt(o.Refused, 10),
	}
	left := map[string]int{}
	for _, ch := range o.Changes {
		if ch.Change != importCreate && ch.Change != importUpdate {
			continue
		}
		list, text := ch.Change+" "+ch.Kind, ch.Name
		if len(ch.Details) > 0 {
			text += " (" + strings.Join(ch.Details, ", ") + ")"
		}
		if left[list] > 0 || len(detail[list])+len(text) > maxImportDetail {
			left[list]++
			continue
		}
		detail[list] = strings.TrimPrefix(detail[list]+"; "+text, "; ")
	}
	for list, n := range left {
		detail[list] = strings.TrimPrefix(detail[list]+"; and "+strconv.Itoa(n)+" more", "; ")
	}
	return detail
}
