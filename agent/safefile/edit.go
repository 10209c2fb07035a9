package safefile

import (
	"errors"
	"path/filepath"
	"strings"
)

// MaxInHome is how many bytes a file in a home may have to be read or edited
// (requirement R39).
const MaxInHome = 1 << 20

// ErrName refuses a name in a home that could mean two things.
var ErrName = errors.New("not a relative path in its shortest form")

// ReadHome returns the content and the attributes of a regular file with one name in
// a home, as in ".ssh/authorized_keys". It never waits for anybody. A file, folder or
// home that is not there gives fs.ErrNotExist, one that is another's ErrOwner.
func ReadHome(h Home, name string) ([]byte, Attr, error) {
	path := filepath.Join(h.Path, name)
	if err := h.check(name); err != nil {
		return nil, Attr{}, pathError("read", path, err)
	}
	content, attr, err := readHome(h, name)
	return content, attr, pathError("read", path, err)
}

// EditHome changes a file in a home as edit says: it is given the content, nil when
// there is no file, and returns what is to be there; its error stops everything. It
// may be called twice. When it returns what was there nothing is touched and changed
// is false; of no file it makes none when it returns nothing.
//
// What is to be there goes to a new file beside the old one, which takes the name; the
// old one's owner, group and mode stay, but that nobody else may write. A first file is
// the user's alone, and so is the folder it is in, which is made as the user where it
// is missing; the home never is. A file that was changed since edit saw it is left as
// it is, with ErrChanged: call again. The rest is as with Replace and ReadHome.
func (w Writer) EditHome(h Home, name string, edit func(old []byte) ([]byte, error)) (changed bool, err error) {
	path := filepath.Join(h.Path, name)
	if err := h.check(name); err != nil {
		return false, pathError("edit", path, err)
	}
	changed, err = w.editHome(h, name, edit)
	return changed, pathError("edit", path, err)
}

// Hold opens a folder in a home as EditHome does, and calls use with a path that leads to
// that folder and no other, whatever its name leads to by then, and is good for nothing
// after the call.
func (h Home) Hold(dir string, use func(path string) error) error {
	path := filepath.Join(h.Path, dir)
	if err := h.check(dir); err != nil {
		return pathError("open", path, err)
	}
	return pathError("open", path, h.hold(dir, use))
}

func (h Home) check(name string) error {
	if !filepath.IsLocal(name) || filepath.Clean(name) != name || name == "." || strings.ContainsRune(name, 0) {
		return ErrName
	}
	return errors.Join(checkPath(h.Path), Attr{UID: h.UID, GID: h.GID}.check())
}
