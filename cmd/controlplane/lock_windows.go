package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// lockDir opens a file in the directory that nobody else can then open. The
// system closes it when the process ends, however it ends.
func lockDir(dir string) (unlock func() error, err error) {
	path := filepath.Join(dir, "server.lock")
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %v", path, err)
	}
	const nobodyElse = 0
	h, err := windows.CreateFile(name, windows.GENERIC_READ|windows.GENERIC_WRITE, nobodyElse, nil,
		windows.OPEN_ALWAYS, windows.FILE_ATTRIBUTE_NORMAL, 0)
	switch {
	case errors.Is(err, windows.ERROR_SHARING_VIOLATION):
		return nil, fmt.Errorf("lock %s: %w", dir, errLocked)
	case err != nil:
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return func() error { return windows.CloseHandle(h) }, nil
}
