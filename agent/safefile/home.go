package safefile

import (
	"context"
	"errors"
)

// Reasons for leaving a home as it is. They come wrapped like those of safefile.go.
var (
	ErrRoom = errors.New("too little room for a copy")
	ErrDeep = errors.New("folders lie too deep in each other")
	ErrMany = errors.New("too many files")
)

// Home is the home folder of one user, by the account file. What lies in it is the
// user's to change at any moment, also while we work there: so nothing in it is
// reached but through a folder held open, through no link and no other mount, and
// whatever is swapped meanwhile, what is changed lies in that home (requirements R33,
// R34, R39).
type Home struct {
	Path     string
	UID, GID int // GID is for what is made in it alone
}

// Pack writes everything below the home into one new tar file at path, which belongs to
// root alone, in a folder that exists. It reads the file again and compares before it
// takes the name. The home is not changed. Where the name is taken by the same content
// nothing is written; by another, the file is called path with .1 before its extension,
// or the next number that is free.
//
// Regular files, folders and links are packed, with owners and modes as numbers; a file
// with several names once. Sockets, pipes and devices hold nothing and are left out.
//
// A home that is not the user's own folder, or that something is mounted in, is refused,
// and so is one of more than a million files (ErrMany), too deep for its folders to be
// held open (ErrDeep), or so large, holes counted as bytes, that less than a twentieth
// of the file system would be left (ErrRoom). It takes as long as reading the home twice;
// the context ends it early.
func (w Writer) Pack(ctx context.Context, home Home, path string) error {
	return on("pack", home.Path, func(string) error {
		if err := checkPath(path); err != nil {
			return pathError("pack", path, err)
		}
		return w.pack(ctx, home, path)
	})
}

// RemoveHome removes the home and everything below it, as deep as it is, and syncs the
// folder that it is in. A home that is not there is no error. One that is not the
// user's own folder, or has something mounted on it, is refused; what is mounted in it
// stays, with the folders above it, and is the error. The context ends it early; what
// is left then is removed by the next call.
func (w Writer) RemoveHome(ctx context.Context, home Home) error {
	return on("remove home", home.Path, func(string) error { return w.removeHome(ctx, home) })
}

// Link makes a symbolic link at path, whose target is not looked at. One that is there
// with that target is no error; anything else under the name is refused with ErrExists.
func (w Writer) Link(path, target string) error {
	return on("link", path, func(path string) error { return w.link(path, target) })
}

// Unlink removes a symbolic link and syncs its folder. That it is not there is no error;
// anything but a link is refused with ErrNotRegular.
func (w Writer) Unlink(path string) error {
	return on("unlink", path, w.unlink)
}
