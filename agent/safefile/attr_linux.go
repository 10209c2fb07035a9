package safefile

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

// Extended attributes that decide who may open a file.
const (
	selinuxLabel = "security.selinux"
	accessList   = "system.posix_acl_access"
	defaultList  = "system.posix_acl_default"
)

// setAttr gives what the descriptor stands for its owner and mode and takes away
// the access control lists that the folder above may have left to it, which
// would let others in beside the mode. The owner comes before the mode, because
// changing it can clear bits.
func setAttr(fd int, attr Attr) error {
	for _, list := range []string{accessList, defaultList} {
		if err := unix.Fremovexattr(fd, list); err != nil && !none(err) {
			return err
		}
	}
	if err := unix.Fchown(fd, attr.UID, attr.GID); err != nil {
		return err
	}
	return unix.Fchmod(fd, uint32(attr.Mode.Perm()))
}

// hasAttr reports whether owner and mode are as wanted and nothing is beside them.
func hasAttr(fd int, st unix.Stat_t, attr Attr) (bool, error) {
	for _, list := range []string{accessList, defaultList} {
		value, err := getxattr(fd, list)
		if err != nil {
			return false, err
		}
		if value != nil {
			return false, nil
		}
	}
	return attrOf(st) == attr, nil
}

// getxattr returns an extended attribute, nil if there is none.
func getxattr(fd int, name string) ([]byte, error) {
	value := make([]byte, 4<<10) // a label is a line, a list eight bytes an entry
	n, err := unix.Fgetxattr(fd, name, value)
	switch {
	case none(err):
		return nil, nil
	case err == unix.ERANGE:
		return value, nil // longer still, so certainly there
	case err != nil:
		return nil, err
	}
	return value[:n], nil
}

// none reports whether err says that there is no such attribute, or could not be.
func none(err error) bool {
	return err == unix.ENODATA || err == unix.EOPNOTSUPP
}

func attrOf(st unix.Stat_t) Attr {
	mode := fs.FileMode(st.Mode & 0o777)
	if st.Mode&unix.S_ISUID != 0 {
		mode |= fs.ModeSetuid
	}
	if st.Mode&unix.S_ISGID != 0 {
		mode |= fs.ModeSetgid
	}
	if st.Mode&unix.S_ISVTX != 0 {
		mode |= fs.ModeSticky
	}
	return Attr{UID: int(st.Uid), GID: int(st.Gid), Mode: mode}
}
