package cache

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"latchkey/agent/safefile"
	"latchkey/authz/wire"
)

// Bounds of the freeze file and of the reason that is shown of it, in bytes.
const (
	maxFreeze = 4 << 10
	maxReason = 200
)

// Freeze is an administrator's word on the machine itself that nothing may be
// changed (requirement R149).
type Freeze struct {
	Reason string `json:"reason"` // one line without control characters; may be empty
	Since  string `json:"since"`  // RFC 3339; empty when it cannot be told
}

// Frozen reports whether the freeze file is there. What stands in its place and is
// no readable file counts: whoever put it there wanted something, and to change
// nothing is what can be undone.
func (d *Dir) Frozen() (Freeze, bool) {
	info, err := os.Lstat(d.freeze)
	if errors.Is(err, fs.ErrNotExist) {
		return Freeze{}, false
	}
	if err != nil {
		return Freeze{Reason: reason(err.Error())}, true
	}
	f := Freeze{Since: wire.FormatTime(info.ModTime())}
	content, _, err := safefile.Read(d.freeze, maxFreeze)
	switch {
	case errors.Is(err, fs.ErrNotExist): // it went away meanwhile
		return Freeze{}, false
	case err != nil:
		f.Reason = reason(err.Error())
	default:
		f.Reason = reason(string(content))
	}
	return f, true
}

// Freeze writes the freeze file, and makes its folder. A freeze that stands is
// kept, with the new reason.
func (d *Dir) Freeze(why string) error {
	if err := d.files.Mkdir(filepath.Dir(d.freeze), safefile.Attr{Mode: 0o755}); err != nil {
		return err
	}
	_, err := d.files.Replace(d.freeze, []byte(reason(why)+"\n"), safefile.Attr{Mode: 0o644}, nil)
	return err
}

// Unfreeze removes the freeze file, and its folder if nothing else is in it. What is
// no plain file is left for whoever put it there.
func (d *Dir) Unfreeze() error {
	if err := d.files.Remove(d.freeze); err != nil {
		return err
	}
	_ = d.files.RemoveDir(filepath.Dir(d.freeze)) // an empty folder does no harm
	return nil
}

// reason is the first line of a text, short and safe to print.
func reason(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	line = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, strings.ToValidUTF8(line, ""))
	if len(line) > maxReason {
		line = strings.ToValidUTF8(line[:maxReason], "") + "…"
	}
	return strings.TrimSpace(line)
}
