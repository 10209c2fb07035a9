package safefile

import "time"

// Memory is what was read of the files of one folder, and their names, so that what
// nobody has changed since is not read again. The zero value remembers nothing. It is
// for one goroutine, and for one folder.
//
// A file is the same as it was when its Status is: whoever writes to it, gives it another
// owner or puts its mtime back changes its ctime, which nobody can set. But two changes
// within one tick of the file system's clock have one ctime, and a file may be read
// between the two. So a file whose ctime was not older than a tick when it was read, or
// lay in the future, is not remembered, and is read again: what was just written is
// always seen on the disk (requirements R29 and R148). The same goes for the names of the
// folder. Two things root can still hide: a clock that is set back to the very
// nanosecond, and a later write through a mapping (mmap(2)) that was written through
// shortly before. So everything is forgotten after a while.
type Memory struct {
	// Now is the wall clock, by which the kernel sets the ctime; nil is time.Now.
	Now func() time.Time

	began time.Time // when it was empty
	files map[string]remembered
	names remembered
	reads int
}

// Times of a memory. A tick is 10 ms, and a second where a file system stores no
// fractions.
const (
	tick   = 2 * time.Second
	forget = time.Hour
)

// remembered is what was read, and of what.
type remembered struct {
	status  Status
	content []byte
	names   []string // of a folder
}

// Status is what stat(2) says of what stands under a name. Two are compared with ==.
type Status struct {
	Dev, Ino, Links   uint64
	UID, GID          uint32
	Mode              uint32 // with the bits of its kind (inode(7))
	Size              int64
	Modified, Changed int64 // mtime and ctime, in nanoseconds since 1970
}

// Reads returns how many files and folders were read, and not remembered, so far.
func (m *Memory) Reads() int { return m.reads }

// ReadIn is Read for any number of files of one folder, which is looked at and held
// open once: it calls with a Reader of the folder, which must not be used after with
// returned. The error is of the folder, and with was not called then.
func (m *Memory) ReadIn(folder string, limit int64, with func(Reader)) error {
	return on("read", folder, func(folder string) error { return m.readIn(folder, limit, with) })
}

// settled reports whether a change after now would be seen in the status.
func (s Status) settled(now time.Time) bool { return now.Sub(time.Unix(0, s.Changed)) > tick }

func (m *Memory) now() time.Time {
	if m.Now != nil {
		return m.Now()
	}
	return time.Now()
}

// age forgets everything when it is time to.
func (m *Memory) age() {
	now := m.now()
	if age := now.Sub(m.began); m.files == nil || age < 0 || age >= forget {
		m.began, m.files, m.names = now, map[string]remembered{}, remembered{}
	}
}
