package safefile

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxPacked bounds what the names of a home may take of the memory.
	maxPacked = 1_000_000
	maxNames  = 256 << 20 // bytes
	// maxDeep bounds how many folders are held open inside each other.
	maxDeep = 512
	// headers is what tar needs for one file beside its content, at most: its header, one
	// before it for a name or a target of any length, and what fills up blocks.
	headers = 3*512 + 2*(unix.PathMax+1024)
	// roomLeft: one in so many parts of the file system stays free.
	roomLeft = 20
)

// inode is a file whatever it is called.
type inode struct {
	device uint64
	number uint64
}

// packing is one packing under way. Its first run, without out, only measures.
type packing struct {
	ctx   context.Context
	out   *tar.Writer
	names map[inode]string // of files with several names: the first
	files int
	text  int   // of names
	bytes int64 // of content
}

func (w Writer) pack(ctx context.Context, h Home, path string) error {
	above, home, err := openHome(h)
	if err != nil {
		return err
	}
	defer above.close()
	defer home.close()
	to, err := openFolder(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer to.close()
	size := packing{ctx: ctx}
	if err := size.folder(home, filepath.Base(h.Path), 0); err != nil {
		return err
	}
	if err := to.room(size.bytes + int64(size.files+1)*headers); err != nil {
		return err
	}
	t, err := w.create(to)
	if err != nil {
		return err
	}
	sum, err := t.packed(ctx, home, filepath.Base(h.Path), size)
	if err != nil {
		return errors.Join(err, t.drop())
	}
	if err := t.takeFree(path, sum); err != nil {
		return errors.Join(err, t.drop())
	}
	w.point("rename")
	if err := to.sync(); err != nil {
		return err
	}
	w.point("syncdir")
	return nil
}

// room refuses what would fill up the file system of a folder.
func (f folder) room(size int64) error {
	var st unix.Statfs_t
	if err := unix.Fstatfs(f.fd(), &st); err != nil {
		return err
	}
	if free, all := st.Bavail*uint64(st.Bsize), st.Blocks*uint64(st.Bsize); uint64(size)+all/roomLeft > free {
		return &fs.PathError{Op: "write", Path: f.path, Err: ErrRoom}
	}
	return nil
}

// packed fills the new file and reads it again: it must hold as many files and bytes
// as were measured, and the very bytes that were written.
func (t *temp) packed(ctx context.Context, home below, as string, size packing) ([]byte, error) {
	if err := setAttr(int(t.file.Fd()), Attr{Mode: 0o600}); err != nil {
		return nil, err
	}
	written := sha256.New()
	buffer := bufio.NewWriterSize(io.MultiWriter(t.file, written), 1<<20)
	p := packing{ctx: ctx, out: tar.NewWriter(buffer), names: map[inode]string{}}
	if err := errors.Join(p.folder(home, as, 0), p.out.Close(), buffer.Flush()); err != nil {
		return nil, err
	}
	t.w.point("write")
	if err := unix.Fsync(int(t.file.Fd())); err != nil {
		return nil, err
	}
	t.w.point("sync")
	read, err := t.readAgain(ctx, written)
	if err != nil {
		return nil, err
	}
	if p.files != size.files || read.files != size.files || read.bytes != p.bytes {
		return nil, ErrChanged
	}
	t.w.point("compare")
	return written.Sum(nil), unix.Fstat(int(t.file.Fd()), &t.st)
}

// readAgain unpacks the new file into nothing.
func (t *temp) readAgain(ctx context.Context, written hash.Hash) (packing, error) {
	var p packing
	if _, err := t.file.Seek(0, io.SeekStart); err != nil {
		return p, err
	}
	again := sha256.New()
	all := io.TeeReader(bufio.NewReaderSize(t.file, 1<<20), again)
	for r := tar.NewReader(all); ; p.files++ {
		_, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return p, err
		}
		n, err := io.Copy(io.Discard, reading{ctx, r})
		if err != nil {
			return p, err
		}
		p.bytes += n
	}
	if _, err := io.Copy(io.Discard, all); err != nil {
		return p, err
	}
	if !bytes.Equal(again.Sum(nil), written.Sum(nil)) {
		return p, ErrChanged
	}
	return p, nil
}

// takeFree gives the file the first name that is free. One with the same content has it
// already: an earlier run was ended before the home was gone.
func (t *temp) takeFree(path string, sum []byte) error {
	const most = 1000
	ext := filepath.Ext(path)
	for i := range most {
		name := filepath.Base(path)
		if i > 0 {
			name = strings.TrimSuffix(name, ext) + "." + strconv.Itoa(i) + ext
		}
		err := unix.Renameat2(t.folder.fd(), t.name, t.folder.fd(), name, unix.RENAME_NOREPLACE)
		if err == nil {
			return t.close()
		}
		if err != unix.EEXIST {
			return refusal(err)
		}
		if same, err := t.folder.holds(name, t.st.Size, sum); err == nil && same {
			return t.drop()
		}
	}
	return ErrExists
}

// holds reports whether a file has a content of so many bytes and that digest.
func (f folder) holds(name string, size int64, sum []byte) (bool, error) {
	file, st, err := f.open(name)
	if err != nil {
		return false, err
	}
	defer file.Close()
	if st.Size != size {
		return false, nil
	}
	is := sha256.New()
	if _, err := io.Copy(is, file); err != nil {
		return false, err
	}
	return bytes.Equal(is.Sum(nil), sum), nil
}

// folder packs a folder and what is in it, in the order of names, so that the same home
// is always the same file.
func (p *packing) folder(f below, as string, depth int) error {
	if depth > maxDeep {
		return &fs.PathError{Op: "read", Path: shown(f.path), Err: ErrDeep}
	}
	var st unix.Stat_t
	if err := unix.Fstat(f.fd(), &st); err != nil {
		return err
	}
	if err := p.header(st, tar.TypeDir, as+"/", "", 0); err != nil {
		return err
	}
	names, err := p.list(f)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := p.entry(f, name, as+"/"+name, depth); err != nil {
			return pathError("pack", shown(filepath.Join(f.path, name)), err)
		}
	}
	return nil
}

// list reads the names in a folder, at most as many as may still come.
func (p *packing) list(f below) ([]string, error) {
	if _, err := f.dir.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	var names []string
	for {
		some, err := f.dir.Readdirnames(1024)
		if names = append(names, some...); len(names)+p.files > maxPacked {
			return nil, ErrMany
		}
		if err == io.EOF {
			slices.Sort(names)
			return names, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func (p *packing) entry(f below, name, as string, depth int) error {
	if err := p.ctx.Err(); err != nil {
		return err
	}
	st, err := f.stat(name)
	if err != nil {
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		in, err := f.open(name)
		if err != nil {
			return err
		}
		defer in.close()
		return p.folder(in, as, depth+1)
	case unix.S_IFREG:
		return p.file(f, name, as)
	case unix.S_IFLNK:
		target := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(f.fd(), name, target)
		if err != nil {
			return err
		}
		return p.header(st, tar.TypeSymlink, as, string(target[:n]), 0)
	}
	return nil // a socket, a pipe or a device
}

// file packs a regular file, or its first name where it has several.
func (p *packing) file(f below, name, as string) error {
	fd, err := openat(f.fd(), name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return refusal(err)
	}
	file := os.NewFile(uintptr(fd), name)
	defer file.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	mount, err := mountOf(fd)
	switch {
	case err != nil:
		return err
	case mount != f.mount:
		return ErrMount
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return ErrChanged
	}
	if p.out == nil {
		p.bytes += st.Size
		return p.header(st, tar.TypeReg, as, "", st.Size)
	}
	if id := (inode{st.Dev, st.Ino}); st.Nlink > 1 {
		if first, known := p.names[id]; known {
			return p.header(st, tar.TypeLink, as, first, 0)
		}
		p.names[id] = as
	}
	if err := p.header(st, tar.TypeReg, as, "", st.Size); err != nil {
		return err
	}
	n, err := io.Copy(p.out, reading{p.ctx, file})
	p.bytes += n
	if err == nil && n != st.Size || errors.Is(err, tar.ErrWriteTooLong) {
		err = ErrChanged
	}
	return withoutPath(err)
}

// header begins a file of the archive. Names of owners are left out: they would be
// looked up when it is unpacked, and be somebody else's by then.
func (p *packing) header(st unix.Stat_t, kind byte, as, target string, size int64) error {
	p.files++
	p.text += len(as)
	switch {
	case len(as) > unix.PathMax:
		return ErrDeep
	case p.text > maxNames:
		return ErrMany
	case p.out == nil:
		return nil
	}
	return p.out.WriteHeader(&tar.Header{
		Typeflag: kind, Name: as, Linkname: target, Size: size, Mode: int64(st.Mode & 0o7777),
		Uid: int(st.Uid), Gid: int(st.Gid), ModTime: time.Unix(st.Mtim.Sec, 0), Format: tar.FormatPAX,
	})
}

// reading ends with its context.
type reading struct {
	ctx context.Context
	r   io.Reader
}

// Read reads, unless the context has ended.
func (r reading) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
