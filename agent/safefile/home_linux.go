package safefile

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// below is a folder inside a home, held open. The mount it is on is the home's.
type below struct {
	folder
	mount int
}

// openHome holds a home, if it is the user's own folder and nothing is mounted on it.
// It returns the folder above too.
func openHome(h Home) (above folder, home below, err error) {
	above, err = openFolder(filepath.Dir(h.Path))
	if err != nil {
		return above, home, err
	}
	defer func() {
		if err != nil {
			above.close()
		}
	}()
	mount, err := mountOf(above.fd())
	if err != nil {
		return above, home, err
	}
	home, err = below{above, mount}.open(filepath.Base(h.Path))
	if err != nil {
		return above, home, err
	}
	var st unix.Stat_t
	if err = unix.Fstat(home.fd(), &st); err == nil && int64(st.Uid) != int64(h.UID) {
		err = ErrOwner
	}
	if err != nil {
		home.close()
	}
	return above, home, err
}

// open holds a folder in a held one. A link is none, and one that something is mounted
// on is refused.
func (b below) open(name string) (below, error) {
	fd, err := openat(b.fd(), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOATIME)
	if err == unix.EPERM { // O_NOATIME is for the owner, or for CAP_FOWNER
		fd, err = openat(b.fd(), name, unix.O_RDONLY|unix.O_DIRECTORY)
	}
	if err != nil {
		return below{}, refusal(err)
	}
	in := below{folder{os.NewFile(uintptr(fd), name), filepath.Join(b.path, name)}, b.mount}
	mount, err := mountOf(fd)
	if err == nil && mount != b.mount {
		err = &fs.PathError{Op: "open", Path: shown(in.path), Err: ErrMount}
	}
	if err != nil {
		in.close()
		return below{}, err
	}
	return in, nil
}

// shown is a path with names that others chose, fit for an error: short and printable.
func shown(path string) string {
	const most = 256
	if len(path) > most {
		path = path[:most] + "…"
	}
	if quoted := strconv.QuoteToASCII(path); quoted[1:len(quoted)-1] != path {
		return quoted
	}
	return path
}

// mountOf is the id of the mount that an open file is on (proc(5), fdinfo). Its device
// would not do: the same one may be mounted in several places.
func mountOf(fd int) (int, error) {
	text, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(fd))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if id, found := strings.CutPrefix(line, "mnt_id:"); found {
			return strconv.Atoi(strings.TrimSpace(id))
		}
	}
	return 0, errors.New("the system does not say what is mounted")
}

// depthHeld is how many folders a removal holds open inside each other. What lies deeper
// is moved up first, so that no depth can use up the descriptors.
const depthHeld = 64

// clearing is one removal under way.
type clearing struct {
	Writer
	ctx   context.Context
	top   below
	fault error // the first thing that stays
}

func (w Writer) removeHome(ctx context.Context, h Home) error {
	above, home, err := openHome(h)
	if errors.Is(err, fs.ErrNotExist) {
		return w.synced(filepath.Dir(h.Path))
	}
	if err != nil {
		return err
	}
	defer above.close()
	defer home.close()
	c := clearing{Writer: w, ctx: ctx, top: home}
	if err := c.empty(home, 0); err != nil {
		return err
	}
	if c.fault != nil {
		return c.fault
	}
	if err := unix.Unlinkat(above.fd(), filepath.Base(h.Path), unix.AT_REMOVEDIR); err != nil && err != unix.ENOENT {
		return refusal(err)
	}
	w.point("rmdir")
	if err := above.sync(); err != nil {
		return err
	}
	w.point("syncdir")
	return nil
}

// synced makes sure that what an earlier run removed from a folder stays away.
func (w Writer) synced(dir string) error {
	f, err := openFolder(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.close()
	return f.sync()
}

// empty removes all that is in a folder. It looks again as long as a look found
// something to remove: a folder that changes while it is read may not show all.
func (c *clearing) empty(f below, depth int) error {
	for {
		removed, err := c.sweep(f, depth)
		if err != nil || removed == 0 {
			return err
		}
	}
}

// sweep goes over a folder once and says how much of it is gone.
func (c *clearing) sweep(f below, depth int) (removed int, err error) {
	if _, err := f.dir.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	for {
		names, err := f.dir.Readdirnames(1024)
		for _, name := range names {
			if err := c.ctx.Err(); err != nil {
				return removed, err
			}
			switch err := c.remove(f, name, depth); {
			case err == nil:
				removed++
			case c.ctx.Err() != nil:
				return removed, err
			case c.fault == nil:
				c.fault = pathError("remove", shown(filepath.Join(f.path, name)), err)
			}
		}
		if err == io.EOF {
			return removed, nil
		}
		if err != nil {
			return removed, err
		}
	}
}

// remove removes one name and, if it is a folder, all that is in it.
func (c *clearing) remove(f below, name string, depth int) error {
	err := unix.Unlinkat(f.fd(), name, 0)
	if err == nil || err == unix.ENOENT {
		c.point("unlink")
		return nil
	}
	if err != unix.EISDIR {
		return refusal(err)
	}
	in, err := f.open(name)
	if err != nil {
		return err
	}
	defer in.close()
	if depth >= depthHeld {
		return unix.Renameat2(f.fd(), name, c.top.fd(), tempName(), unix.RENAME_NOREPLACE)
	}
	if err := c.empty(in, depth+1); err != nil {
		return err
	}
	if err := unix.Unlinkat(f.fd(), name, unix.AT_REMOVEDIR); err != nil && err != unix.ENOENT {
		return refusal(err)
	}
	c.point("rmdir")
	return nil
}

func (w Writer) link(path, target string) error {
	f, err := openFolder(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer f.close()
	name := filepath.Base(path)
	err = unix.Symlinkat(target, f.fd(), name)
	if err == unix.EEXIST {
		was := make([]byte, unix.PathMax)
		if n, readErr := unix.Readlinkat(f.fd(), name, was); readErr == nil && string(was[:n]) == target {
			return nil
		}
	}
	if err != nil {
		return refusal(err)
	}
	w.point("link")
	return f.sync()
}

func (w Writer) unlink(path string) error {
	return w.take(path, openFolder, 0, "unlink", func(st unix.Stat_t) error {
		if st.Mode&unix.S_IFMT != unix.S_IFLNK {
			return ErrNotRegular
		}
		return nil
	})
}
