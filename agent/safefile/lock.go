package safefile

import "errors"

// ErrLocked is returned by Lock when another process holds the lock.
var ErrLocked = errors.New("locked by another process")

// Lock takes an exclusive lock on the file at path, which it makes if need be,
// in a folder that only root can write to. With wait it waits for its turn;
// without it returns ErrLocked. The lock ends with release or with the process,
// however that ends.
func Lock(path string, wait bool) (release func() error, err error) {
	if err := checkPath(path); err != nil {
		return nil, pathError("lock", path, err)
	}
	for {
		f, err := openLock(path)
		if err != nil {
			return nil, pathError("lock", path, err)
		}
		current, err := lock(f, wait)
		if err == nil && current {
			return f.Close, nil
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, pathError("lock", path, err)
		}
	}
}

// LockRecord takes the lock that lckpwdf(3) and the like take: a record lock over the
// whole file, which Lock's is not. It does not wait: ErrLocked says that another process
// holds it.
func LockRecord(path string) (release func() error, err error) {
	if err := checkPath(path); err != nil {
		return nil, pathError("lock", path, err)
	}
	f, err := openLock(path)
	if err != nil {
		return nil, pathError("lock", path, err)
	}
	if err := lockRecord(f); err != nil {
		return nil, pathError("lock", path, errors.Join(err, f.Close()))
	}
	return f.Close, nil
}
