package machine

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
)

func (m *Machine) snapshot(paths []string) (map[string]string, error) {
	root, err := os.OpenRoot(m.root) // a link in the machine must not lead out of it
	if err != nil {
		return nil, err
	}
	defer root.Close()
	found := map[string]string{}
	for _, p := range paths {
		start := path.Clean(strings.TrimPrefix(p, "/"))
		err := fs.WalkDir(root.FS(), start, func(name string, _ fs.DirEntry, err error) error {
			if err == nil {
				found["/"+name], err = describe(root, name)
			}
			if errors.Is(err, fs.ErrNotExist) {
				delete(found, "/"+name)
				return nil
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// describe states everything about one file that a comparison should notice.
func describe(root *os.Root, name string) (string, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return "", err
	}
	owner := info.Sys().(*syscall.Stat_t)
	text := fmt.Sprintf("%v %d:%d", info.Mode(), owner.Uid, owner.Gid)
	switch info.Mode().Type() {
	case fs.ModeSymlink:
		target, err := root.Readlink(name)
		return text + " -> " + target, err
	case 0:
		f, err := root.Open(name)
		if err != nil {
			return "", err
		}
		defer f.Close()
		sum := sha256.New()
		if _, err := io.Copy(sum, f); err != nil {
			return "", err
		}
		return fmt.Sprintf("%s %x", text, sum.Sum(nil)), nil
	}
	return text, nil
}
