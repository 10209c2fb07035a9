package machine

import "io"

// Hold takes an exclusive lock (flock(2)) on a file, which it makes if need be,
// and keeps it until the lock is closed or the program has ended. Programs outside
// the namespaces find this one by it, in /proc/locks.
func Hold(path string) (io.Closer, error) { return hold(path) }
