package controlplane

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"latchkey/authz/iam"
	"latchkey/authz/name"
	"latchkey/controlplane/store"
)

// Reasons for refusing what refers to something else of the file.
var (
	errImportMissing  = name.Refuse("import_missing", "is neither in the file nor stored")
	errImportReferred = name.Refuse("import_referred", "is refused, and so is what refers to it")
	errImportOther    = name.Refuse("import_other", "is meant, and the file has another policy of that name")
)

// ImportIam imports managed policies, groups and users from IAM's own listing, in
// this order. Whoever is named gets exactly what the file says: policies, groups,
// boundary and tags. A user who is not there gets a profile, as one does who calls
// for the first time, and is at iam_only on every stack. AWS's own policies are kept
// under their names, but for those that are built in. A listing may come in several
// requests: what one refers to must be in it, or stored.
func (c *ControlPlane) ImportIam(ctx context.Context, caller Caller, req ImportIamRequest) (ImportIamResponse, error) {
	file := parseIam(req)
	out, err := c.importAll(ctx, caller, "latchkey:ImportIam", req.Apply, func(im *importing) error {
		return (&iamImport{
			importing: im, policies: map[string]importedPolicy{}, refused: map[string]bool{},
			stored: map[string]string{}, groups: map[string]string{},
		}).all(ctx, file)
	})
	return ImportIamResponse{out}, err
}

// iamImport is an import from IAM in its transaction. Names are in lower case.
type iamImport struct {
	*importing
	policies map[string]importedPolicy // of the file
	refused  map[string]bool           // groups of the file
	// What was looked up, by the name as it is stored.
	stored, groups map[string]string
}

func (im *iamImport) all(ctx context.Context, file importedIam) error {
	for _, p := range file.policies {
		if err := im.policy(ctx, p); err != nil {
			return err
		}
	}
	for _, g := range file.groups {
		if err := im.group(ctx, g); err != nil {
			return err
		}
	}
	for _, u := range file.users {
		if err := im.user(ctx, u); err != nil {
			return err
		}
	}
	return nil
}

// was returns what the entity tried last came to.
func (im *iamImport) was() string { return im.out.Changes[len(im.out.Changes)-1].Change }

func (im *iamImport) policy(ctx context.Context, p importedPolicy) error {
	e := &importEntity{kind: importPolicy, name: p.name}
	err := im.try(ctx, e, func() error { return im.putPolicy(ctx, e, p) })
	if err == nil && im.was() == importRefused {
		p.fault = errImportReferred
	}
	im.policies[strings.ToLower(p.name)] = p
	return err
}

func (im *iamImport) putPolicy(ctx context.Context, e *importEntity, p importedPolicy) error {
	before, err := im.ManagedPolicy(ctx, p.name)
	e.created = errors.Is(err, store.ErrNotFound)
	switch {
	case err != nil && !e.created:
		return err
	case !e.created && !bytes.Equal(before.Document, p.document.text):
		e.takes("new document")
	}
	switch {
	case p.fault != nil:
		return p.fault
	case builtIn(p.name) != "":
		e.created, e.lines = false, nil
		return nil
	case !e.created && len(e.lines) == 0:
		return nil
	}
	if err := im.PutManagedPolicy(ctx, p.name, p.document.text); err != nil {
		return err
	}
	users, err := im.affected(ctx, p.name)
	if err != nil {
		return err
	}
	if err := im.mayGive(ctx, []iam.Policy{p.document.policy}, users); err != nil {
		return err
	}
	return im.keepsRight(ctx)
}

// affected returns who has a managed policy, also through groups or as boundary.
// Where nothing is to be compared it is nobody.
func (im *iamImport) affected(ctx context.Context, policy string) ([]store.Identity, error) {
	if im.unlimited {
		return nil, nil
	}
	use, err := im.PolicyUse(ctx, policy)
	users := slices.Concat(use.Users, use.Bounded)
	for _, g := range use.Groups {
		if err != nil {
			break
		}
		var members []store.Identity
		members, err = im.Members(ctx, g)
		users = append(users, members...)
	}
	return users, err
}

// attachable finds the managed policy that the file refers to, and returns its name
// as it is stored.
func (im *iamImport) attachable(ctx context.Context, ref importRef) (string, error) {
	label := "Policy " + ref.name
	if builtIn(ref.name) != "" {
		return ref.name, nil
	}
	if p, inFile := im.policies[strings.ToLower(ref.name)]; inFile {
		switch {
		case p.fault != nil:
			return "", invalid(label, errImportReferred)
		case ref.arn != "" && p.arn != "" && !slices.Contains(p.arns, ref.arn):
			return "", invalid(label, errImportOther)
		}
	}
	return lookUp(im.stored, label, ref.name, func() (string, error) {
		p, err := im.ManagedPolicy(ctx, ref.name)
		return p.Name, err
	})
}

// joinable does the same for a group.
func (im *iamImport) joinable(ctx context.Context, group string) (string, error) {
	if im.refused[strings.ToLower(group)] {
		return "", invalid("Group "+group, errImportReferred)
	}
	return lookUp(im.groups, "Group "+group, group, func() (string, error) {
		g, err := im.Group(ctx, group)
		return g.Name, err
	})
}

// lookUp finds a name in the store once, and remembers it as it is written there.
func lookUp(known map[string]string, label, wanted string, find func() (string, error)) (string, error) {
	folded := strings.ToLower(wanted)
	if stored, found := known[folded]; found {
		return stored, nil
	}
	stored, err := find()
	switch {
	case errors.Is(err, store.ErrNotFound):
		return "", invalid(label, errImportMissing)
	case err == nil:
		known[folded] = stored
	}
	return stored, err
}

// importHeld is what a user or a group has for itself before the import.
type importHeld struct {
	store.Holder
	inline   map[string][]byte
	attached []string
}

// take takes away what the file does not have.
func (im *iamImport) take(ctx context.Context, e *importEntity, have importHeld, want importedHolder) error {
	for _, n := range slices.Sorted(maps.Keys(have.inline)) {
		if _, stays := want.inline[n]; stays {
			continue
		}
		e.takes("inline policy %s removed", n)
		if err := im.DeleteInlinePolicy(ctx, have.Holder, n); err != nil {
			return err
		}
	}
	for _, n := range have.attached {
		if _, stays := want.attached[strings.ToLower(n)]; stays {
			continue
		}
		e.takes("detach %s", n)
		if err := im.DetachPolicy(ctx, have.Holder, n); err != nil {
			return err
		}
	}
	return nil
}

// containsName compares as IAM does the names of managed policies and groups.
func containsName(all []string, wanted string) bool {
	return slices.ContainsFunc(all, func(n string) bool { return strings.EqualFold(n, wanted) })
}

// give gives what the file has, and returns the policies that are new, as far as they
// are to be compared.
func (im *iamImport) give(ctx context.Context, e *importEntity, have importHeld, want importedHolder) ([]iam.Policy, error) {
	var given []iam.Policy
	for _, folded := range slices.Sorted(maps.Keys(want.attached)) {
		n, err := im.attachable(ctx, want.attached[folded])
		if err != nil {
			return nil, err
		}
		if containsName(have.attached, n) {
			continue
		}
		e.gives("attach %s", n)
		if err := im.AttachPolicy(ctx, have.Holder, n); err != nil {
			return nil, err
		}
		if im.unlimited { // nobody compares it
			continue
		}
		text, err := managedDocument(ctx, im.View, n)
		if err != nil {
			return nil, err
		}
		given = append(given, im.c.documents.parse(text))
	}
	for _, n := range slices.Sorted(maps.Keys(want.inline)) {
		d := want.inline[n]
		switch before, there := have.inline[n]; {
		case !there:
			e.gives("inline policy %s new", n)
		case bytes.Equal(before, d.text):
			continue
		default:
			e.takes("inline policy %s changed", n)
		}
		given = append(given, d.policy)
		if err := im.PutInlinePolicy(ctx, have.Holder, store.InlinePolicy{Name: n, Document: d.text}); err != nil {
			return nil, err
		}
	}
	return given, nil
}

func (im *iamImport) group(ctx context.Context, g importedGroup) error {
	e := &importEntity{kind: importGroup, name: g.name}
	err := im.try(ctx, e, func() error { return im.putGroup(ctx, e, g) })
	im.refused[strings.ToLower(g.name)] = err == nil && im.was() == importRefused
	return err
}

func (im *iamImport) putGroup(ctx context.Context, e *importEntity, g importedGroup) error {
	have, err := im.heldByGroup(ctx, e, g.name)
	if err != nil {
		return err
	}
	if err := im.take(ctx, e, have, g.importedHolder); err != nil {
		return err
	}
	if g.fault != nil {
		return g.fault
	}
	if e.created {
		if err := im.InsertGroup(ctx, g.name); err != nil {
			return err
		}
	}
	given, err := im.give(ctx, e, have, g.importedHolder)
	if err != nil || !e.created && len(e.lines) == 0 {
		return err
	}
	if err := checkInline(ctx, im.View, have.Holder, iam.MaxInlineGroup, errInlineGroup); err != nil {
		return err
	}
	members, err := im.Members(ctx, g.name)
	if err != nil {
		return err
	}
	if err := im.mayGive(ctx, given, members); err != nil {
		return err
	}
	return im.keepsRight(ctx)
}

func (im *iamImport) heldByGroup(ctx context.Context, e *importEntity, group string) (importHeld, error) {
	have := importHeld{Holder: store.HeldByGroup(group), inline: map[string][]byte{}}
	_, err := im.Group(ctx, group)
	if e.created = errors.Is(err, store.ErrNotFound); err != nil {
		if e.created {
			err = nil
		}
		return have, err
	}
	inline, err := im.InlinePolicies(ctx, have.Holder)
	if err != nil {
		return have, err
	}
	for _, p := range inline {
		have.inline[p.Name] = p.Document
	}
	have.attached, err = im.AttachedPolicies(ctx, have.Holder)
	return have, err
}
