package safefile

import (
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Reader reads the files of a folder that is held open.
type Reader struct {
	memory *Memory
	folder folder
	limit  int64
}

func (m *Memory) readIn(path string, limit int64, with func(Reader)) error {
	f, err := openFolder(path)
	if err != nil {
		return err
	}
	defer f.close()
	m.age()
	with(Reader{m, f, limit})
	return nil
}

// Names returns what the folder holds, in no order. It is not to be changed.
func (r Reader) Names() ([]string, error) {
	var st unix.Stat_t
	now := r.memory.now() // before the status: what changes later is younger
	if err := unix.Fstat(r.folder.fd(), &st); err != nil {
		return nil, pathError("list", r.folder.path, err)
	}
	status := statusOf(st)
	if m := r.memory.names; m.names != nil && m.status == status {
		return m.names, nil
	}
	r.memory.reads++
	names, err := r.folder.dir.Readdirnames(-1)
	if err != nil {
		return nil, pathError("list", r.folder.path, err)
	}
	r.memory.names = remembered{}
	if status.settled(now) {
		r.memory.names = remembered{status: status, names: names}
	}
	r.memory.keep(names)
	return names, nil
}

// keep forgets files that are not among the names.
func (m *Memory) keep(names []string) {
	if len(m.files) <= len(names) {
		return
	}
	kept := make(map[string]remembered, len(names))
	for _, name := range names {
		if f, found := m.files[name]; found {
			kept[name] = f
		}
	}
	m.files = kept
}

// Status looks at a name without following it.
func (r Reader) Status(name string) (Status, error) {
	if !single(name) {
		return Status{}, pathError("look at", filepath.Join(r.folder.path, name), ErrPath)
	}
	st, err := r.folder.stat(name)
	if err != nil {
		return Status{}, pathError("look at", filepath.Join(r.folder.path, name), err)
	}
	return statusOf(st), nil
}

// Read returns the content of the file of a name that has the status, from memory if it
// is there.
func (r Reader) Read(name string, status Status) ([]byte, error) {
	if f, found := r.memory.files[name]; found && f.status == status {
		return f.content, nil
	}
	content, err := r.read(name)
	return content, pathError("read", filepath.Join(r.folder.path, name), err)
}

// read reads a file whatever is remembered.
func (r Reader) read(name string) ([]byte, error) {
	if !single(name) {
		return nil, ErrPath
	}
	r.memory.reads++
	delete(r.memory.files, name)
	now := r.memory.now() // before the status: what changes later is younger
	file, st, err := r.folder.open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := readAll(file, st.Size, r.limit)
	if status := statusOf(st); err == nil && status.settled(now) {
		r.memory.files[name] = remembered{status: status, content: content}
	}
	return content, err
}

// single reports whether a name is one of the folder's own. It is checkName for a folder
// that is held already, of which there may be very many names.
func single(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/\x00")
}

// StatusOf looks at a path without following its last name. The path is the caller's to
// trust.
func StatusOf(path string) (Status, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return Status{}, pathError("look at", path, err)
	}
	return statusOf(st), nil
}

func statusOf(st unix.Stat_t) Status {
	return Status{
		Dev: uint64(st.Dev), Ino: uint64(st.Ino), Links: uint64(st.Nlink), UID: st.Uid, GID: st.Gid, Mode: st.Mode, Size: st.Size,
		Modified: st.Mtim.Nano(), Changed: st.Ctim.Nano(),
	}
}

// Folder reports whether it is a folder.
func (s Status) Folder() bool { return s.Mode&unix.S_IFMT == unix.S_IFDIR }

// Plain reports whether it is a regular file with one name.
func (s Status) Plain() bool { return s.Mode&unix.S_IFMT == unix.S_IFREG && s.Links == 1 }
