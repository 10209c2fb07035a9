package safefile

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

func readHome(h Home, name string) ([]byte, Attr, error) {
	f, err := h.open(filepath.Dir(name))
	if err != nil {
		return nil, Attr{}, err
	}
	defer f.close()
	old, err := h.look(f, filepath.Base(name))
	if err == nil && !old.there {
		err = fs.ErrNotExist
	}
	return old.content, attrOf(old.st), err
}

func (w Writer) editHome(h Home, name string, edit func([]byte) ([]byte, error)) (changed bool, err error) {
	dir, name := filepath.Split(name)
	dir = filepath.Clean(dir)
	f, err := h.open(dir)
	if errors.Is(err, fs.ErrNotExist) && dir != "." {
		content, refused := edit(nil)
		if refused != nil || len(content) == 0 {
			return false, refused
		}
		f, err = w.makeInHome(h, dir)
	}
	if err != nil {
		return false, err
	}
	defer f.close()
	old, err := h.look(f, name)
	if err != nil {
		return false, err
	}
	content, err := edit(old.content)
	switch {
	case err != nil:
		return false, err
	case bytes.Equal(content, old.content):
		return false, nil
	case len(content) > MaxInHome:
		return false, ErrTooLong
	}
	if err := w.cleanSome(f); err != nil {
		return false, err
	}
	return w.put(f, name, content, old.attr(h), old.label, func(string) error { return old.still(f, name) })
}

func (h Home) hold(dir string, use func(path string) error) error {
	f, err := h.open(dir)
	if err != nil {
		return err
	}
	defer f.close()
	return use("/proc/self/fd/" + strconv.Itoa(f.fd()))
}

// open holds a folder in the home; "." is the home itself.
func (h Home) open(dir string) (folder, error) {
	above, err := openFolder(filepath.Dir(h.Path))
	if err != nil {
		return folder{}, err
	}
	defer above.close()
	// The home may be a mount: homes often are.
	fd, err := openat(above.fd(), filepath.Base(h.Path), unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return folder{}, &fs.PathError{Op: "open", Path: h.Path, Err: refusal(err)}
	}
	f := folder{os.NewFile(uintptr(fd), h.Path), h.Path}
	if err := h.owns(f); err != nil {
		f.close()
		return folder{}, err
	}
	if dir == "." {
		return f, nil
	}
	for _, name := range parts(dir) {
		next, err := h.enter(f, name)
		f.close()
		if err != nil {
			return folder{}, err
		}
		f = next
	}
	return f, nil
}

// enter holds a folder in a held one.
func (h Home) enter(f folder, name string) (folder, error) {
	path := filepath.Join(f.path, name)
	fd, err := beneath(f.fd(), name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return folder{}, &fs.PathError{Op: "open", Path: path, Err: refusal(err)}
	}
	next := folder{os.NewFile(uintptr(fd), path), path}
	if err := h.owns(next); err != nil {
		next.close()
		return folder{}, err
	}
	return next, nil
}

// owns refuses a held folder that sshd's StrictModes would not trust either.
func (h Home) owns(f folder) error {
	var st unix.Stat_t
	err := unix.Fstat(f.fd(), &st)
	if err == nil {
		err = h.trusts(st)
	}
	if err != nil {
		return &fs.PathError{Op: "open", Path: f.path, Err: err}
	}
	return nil
}

func (h Home) trusts(st unix.Stat_t) error {
	if st.Uid != 0 && int64(st.Uid) != int64(h.UID) || st.Mode&othersWrite != 0 {
		return ErrOwner
	}
	return nil
}

// beneath opens a name in a held folder, through no link and into no other mount: a
// user may mount what hangs (fusermount(1)). A kernel before 5.6 opens it through no
// link.
func beneath(dir int, name string, flags int) (int, error) {
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_NOFOLLOW | unix.O_CLOEXEC),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV,
	}
	for {
		fd, err := unix.Openat2(dir, name, &how)
		switch err {
		case unix.EINTR, unix.EAGAIN: // EAGAIN: something was renamed as we looked
		case unix.ENOSYS:
			return openat(dir, name, flags)
		case unix.EXDEV:
			return -1, ErrMount
		default:
			return fd, err
		}
	}
}

// found is a file in a home as it was before an edit.
type found struct {
	there   bool
	st      unix.Stat_t
	content []byte // nil when not there, else never nil
	label   []byte
}

// look reads a file of the home. That it is not there is no error.
func (h Home) look(f folder, name string) (found, error) {
	fd, err := beneath(f.fd(), name, unix.O_PATH)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return found{}, nil
	case err == unix.ELOOP:
		return found{}, ErrNotRegular
	case err != nil:
		return found{}, err
	}
	unix.Close(fd) // it was to see that there is no mount
	file, st, err := f.open(name)
	if err != nil {
		return found{}, err
	}
	defer file.Close()
	if st.Uid != 0 && int64(st.Uid) != int64(h.UID) {
		return found{}, ErrOwner
	}
	label, err := getxattr(int(file.Fd()), selinuxLabel)
	if err != nil {
		return found{}, err
	}
	content, err := readAll(file, st.Size, MaxInHome)
	if err != nil {
		return found{}, withoutPath(err)
	}
	return found{true, st, append([]byte{}, content...), label}, nil
}

// attr is what the new file is to have.
func (o found) attr(h Home) Attr {
	if !o.there {
		return Attr{h.UID, h.GID, 0o600}
	}
	a := attrOf(o.st)
	a.Mode &= 0o755
	return a
}

// still refuses to take the name from another file than was read: what its owner
// wrote meanwhile is not to be lost.
func (o found) still(f folder, name string) error {
	now, err := f.stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !o.there:
		return nil
	case errors.Is(err, fs.ErrNotExist), err == nil && !(o.there && same(now, o.st)):
		return ErrChanged
	}
	return err
}

// makeInHome makes a folder in the home, as the user: nothing has to be given to him
// then, and nothing else can be.
func (w Writer) makeInHome(h Home, dir string) (folder, error) {
	above, err := h.open(filepath.Dir(dir))
	if err != nil {
		return folder{}, err
	}
	defer above.close()
	if err := asUser(h, func() error { return makePrivate(above.fd(), filepath.Base(dir)) }); err != nil {
		return folder{}, &fs.PathError{Op: "make folder", Path: filepath.Join(h.Path, dir), Err: refusal(err)}
	}
	w.point("mkdir")
	if err := above.sync(); err != nil {
		return folder{}, err
	}
	return h.enter(above, filepath.Base(dir))
}

// makePrivate makes a folder for its owner alone, whatever the umask.
func makePrivate(above int, name string) error {
	if err := unix.Mkdirat(above, name, 0o700); err != nil {
		return err
	}
	fd, err := beneath(above, name, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&0o777 == 0o700 {
		return err
	}
	// A umask that takes the owner's bits leaves nothing that can be opened: this is
	// how the mode of what a descriptor only names is set (proc_pid_fd(5)).
	return unix.Fchmodat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd), 0o700, 0)
}

// asUser does something to files with the user's rights and no others, on a thread
// that does nothing else meanwhile (setfsuid(2)). A thread that does not get its own
// rights back ends.
func asUser(h Home, do func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		unix.SetfsgidRetGid(h.GID)
		unix.SetfsuidRetUid(h.UID)
		err := error(unix.EPERM)
		if actsAs(h.UID, h.GID) {
			err = do()
		}
		unix.SetfsuidRetUid(unix.Geteuid())
		unix.SetfsgidRetGid(unix.Getegid())
		if actsAs(unix.Geteuid(), unix.Getegid()) {
			runtime.UnlockOSThread()
		}
		result <- err
	}()
	return <-result
}

// actsAs reports whose rights this thread has. Setting an id that is none changes
// nothing and tells the present one, which is the only way to ask.
func actsAs(uid, gid int) bool {
	u, _ := unix.SetfsuidRetUid(-1)
	g, _ := unix.SetfsgidRetGid(-1)
	return u == uid && g == gid
}

// cleanSome removes what an edit left behind that was ended in the middle, as far as
// it is found soon: the folder may be full of other things on purpose.
func (w Writer) cleanSome(f folder) error {
	const most = 1024
	names, err := f.dir.Readdirnames(most)
	if err != nil && err != io.EOF {
		return withoutPath(err)
	}
	for _, name := range names {
		if !Leftover(name) {
			continue
		}
		if err := unix.Unlinkat(f.fd(), name, 0); err != nil && err != unix.ENOENT {
			return err
		}
		w.point("clean")
	}
	return nil
}
