package datadir

import (
	"fmt"
	"io/fs"

	"golang.org/x/sys/windows"
)

// protect lets in SYSTEM, Administrators and the user who runs this program, and
// nobody by inheritance from above; what is made in the directory inherits that.
func protect(dir string) error {
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return fmt.Errorf("look up own SID: %w", err)
	}
	sd, err := windows.SecurityDescriptorFromString(
		"D:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;" + user.User.Sid.String() + ")")
	if err != nil {
		return fmt.Errorf("build access list: %w", err)
	}
	dacl, _, err := sd.DACL()
	if err != nil {
		return fmt.Errorf("build access list: %w", err)
	}
	err = windows.SetNamedSecurityInfo(dir, windows.SE_FILE_OBJECT,
		windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, nil, nil, dacl, nil)
	if err != nil {
		return fmt.Errorf("set access list of %s: %w", dir, err)
	}
	return nil
}

// ours is true: a directory is made ours by protect, which fails where it may not.
func ours(fs.FileInfo) bool { return true }

// checkPrivate sets a directory's access list each time it is opened, so that one
// that was loosened is tight again; files have it by inheritance.
func checkPrivate(path string, info fs.FileInfo) error {
	if !info.IsDir() {
		return nil
	}
	return protect(path)
}

// syncDir does nothing: NTFS journals names by itself.
func syncDir(string) error { return nil }
