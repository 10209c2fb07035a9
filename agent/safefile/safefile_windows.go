package safefile

import (
	"context"
	"errors"
)

// Windows is not there yet: nothing is written, and that is said.

func (w Writer) replace(string, []byte, Attr, func(string) error) (bool, error) {
	return false, errors.ErrUnsupported
}

func (w Writer) remove(string) error         { return errors.ErrUnsupported }
func (w Writer) removeSpooled(string) error  { return errors.ErrUnsupported }
func (w Writer) removeDir(string) error      { return errors.ErrUnsupported }
func (w Writer) mkdir(string, Attr) error    { return errors.ErrUnsupported }
func (w Writer) rename(string, string) error { return errors.ErrUnsupported }
func (w Writer) clean(string) error          { return errors.ErrUnsupported }
func (w Writer) sync(string) error           { return errors.ErrUnsupported }

func (w Writer) replaceAll(_ string, _ []File, errs []error) { unsupported(errs) }

func (w Writer) makeCopies(_ string, _ Model, _ []Folder, errs []error) { unsupported(errs) }

func unsupported(errs []error) {
	for i := range errs {
		errs[i] = errors.ErrUnsupported
	}
}

func readModel(string, int64) (Model, error) { return Model{}, errors.ErrUnsupported }

func read(string, int64) ([]byte, Attr, error) { return nil, Attr{}, errors.ErrUnsupported }

// Reader reads the files of a folder that is held open.
type Reader struct{}

func (m *Memory) readIn(string, int64, func(Reader)) error { return errors.ErrUnsupported }

func readSpooled(string, int64) ([]byte, Attr, error) { return nil, Attr{}, errors.ErrUnsupported }

func (w Writer) pack(context.Context, Home, string) error { return errors.ErrUnsupported }
func (w Writer) removeHome(context.Context, Home) error   { return errors.ErrUnsupported }
func (w Writer) link(string, string) error                { return errors.ErrUnsupported }
func (w Writer) unlink(string) error                      { return errors.ErrUnsupported }

func (h Home) hold(string, func(string) error) error { return errors.ErrUnsupported }

func readHome(Home, string) ([]byte, Attr, error) { return nil, Attr{}, errors.ErrUnsupported }

func (w Writer) editHome(Home, string, func([]byte) ([]byte, error)) (bool, error) {
	return false, errors.ErrUnsupported
}
