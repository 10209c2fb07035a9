package safefile_test

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"latchkey/agent/safefile"
)

// TestSpool: in a folder of others one file is read and removed, and nothing that
// others put in its place, or in the folder's, leads out of it (requirement R33).
func TestSpool(t *testing.T) {
	t.Parallel()
	needRoot(t)
	for situation, c := range map[string]struct {
		change func(t *testing.T, root string)
		want   error
	}{
		"as-cron-has-it":  {func(*testing.T, string) {}, nil},
		"of-a-stranger":   {func(t *testing.T, root string) { must(t, os.Chown(root+"/spool", 65534, 65534)) }, nil},
		"missing":         {func(t *testing.T, root string) { must(t, os.Remove(root+"/spool/job")) }, fs.ErrNotExist},
		"missing-folder":  {func(t *testing.T, root string) { must(t, os.RemoveAll(root+"/spool")) }, fs.ErrNotExist},
		"longer":          {func(t *testing.T, root string) { must(t, os.Truncate(root+"/spool/job", 1<<40)) }, safefile.ErrTooLong},
		"two-names":       {func(t *testing.T, root string) { must(t, os.Link(root+"/spool/job", root+"/second")) }, safefile.ErrNames},
		"ancestor-unsafe": {func(t *testing.T, root string) { must(t, os.Chmod(root, 0o777)) }, safefile.ErrUnsafe},
		"link": {func(t *testing.T, root string) {
			must(t, os.Remove(root+"/spool/job"))
			must(t, os.Symlink(root+"/secret", root+"/spool/job"))
		}, safefile.ErrNotRegular},
		"fifo": {func(t *testing.T, root string) {
			must(t, os.Remove(root+"/spool/job"))
			must(t, unix.Mkfifo(root+"/spool/job", 0o600))
		}, safefile.ErrNotRegular},
		"folder-is-a-link": {func(t *testing.T, root string) {
			must(t, os.Rename(root+"/spool", root+"/real"))
			must(t, os.Symlink(root+"/real", root+"/spool"))
		}, safefile.ErrNotFolder},
	} {
		t.Run(situation, func(t *testing.T) {
			root := t.TempDir()
			must(t, os.Chmod(root, 0o755))
			must(t, os.Mkdir(root+"/spool", 0o755))
			put(t, root+"/spool/job", "work")
			put(t, root+"/secret", "secret")
			must(t, os.Chown(root+"/spool/job", 20001, 0))
			must(t, unix.Chmod(root+"/spool", 0o1730))
			c.change(t, root)

			content, attr, err := safefile.ReadSpooled(root+"/spool/job", 100)
			if !errors.Is(err, c.want) || c.want == nil && (string(content) != "work" || attr.UID != 20001) {
				t.Errorf("read %q of %d: %v, want %v", content, attr.UID, err, c.want)
			}
			if c.want != nil && len(content) != 0 {
				t.Errorf("beside an error there is %q", content)
			}
			goes := c.want == nil || c.want == fs.ErrNotExist || c.want == safefile.ErrTooLong
			if err := (safefile.Writer{}).RemoveSpooled(root + "/spool/job"); goes != (err == nil) || !goes && !errors.Is(err, c.want) {
				t.Errorf("remove gives %v", err)
			}
			if _, err := os.Lstat(root + "/spool/job"); goes != errors.Is(err, fs.ErrNotExist) {
				t.Errorf("after it: %v", err)
			}
			if secret, err := os.ReadFile(root + "/secret"); err != nil || string(secret) != "secret" {
				t.Errorf("outside there is %q, %v", secret, err)
			}
		})
	}
}
