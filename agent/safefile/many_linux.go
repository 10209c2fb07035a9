package safefile

import (
	"errors"

	"golang.org/x/sys/unix"
)

// replaceAll adds to errs what each file met. A file that has an error is left as it
// is.
func (w Writer) replaceAll(path string, files []File, errs []error) {
	f, err := openFolder(path)
	if err != nil {
		fault(errs, err)
		return
	}
	defer f.close()
	temps := make([]*temp, len(files)) // nil where nothing is to be done
	for i, file := range files {
		if errs[i] == nil {
			temps[i], errs[i] = w.prepare(f, file)
		}
	}
	w.takeAll(f, temps, files, errs)
	for i, t := range temps {
		if t == nil || t.taken {
			continue
		}
		errs[i] = errors.Join(errs[i], t.drop())
	}
	w.syncNames(f, temps, errs)
	for i, t := range temps {
		if t != nil && errs[i] == nil {
			errs[i] = t.settle(files[i].Name, files[i].Content, files[i].Attr)
		}
	}
}

// fault gives every file that has none yet an error.
func fault(errs []error, err error) {
	for i := range errs {
		if errs[i] == nil {
			errs[i] = err
		}
	}
}

// prepare makes the new file, closed and not yet synced, or nil when the old one
// is as wanted.
func (w Writer) prepare(f folder, file File) (*temp, error) {
	equal, label, err := f.compare(file.Name, file.Content, file.Attr)
	if err != nil || equal {
		return nil, err
	}
	if err := f.changeable(file.Name); err != nil {
		return nil, err
	}
	t, err := w.create(f)
	if err != nil {
		return nil, err
	}
	if err := t.fill(file.Content, file.Attr, label); err != nil {
		return t, err
	}
	return t, t.close()
}

// takeAll makes the new files permanent and gives them their names.
func (w Writer) takeAll(f folder, temps []*temp, files []File, errs []error) {
	if err := unix.Syncfs(f.fd()); err != nil {
		fault(errs, err)
	}
	w.point("syncfs")
	for i, t := range temps {
		if t == nil || errs[i] != nil {
			continue
		}
		if errs[i] = t.take(files[i].Name); errs[i] == nil {
			t.taken = true
			w.point("rename")
		}
	}
}

// syncNames makes the renames permanent.
func (w Writer) syncNames(f folder, temps []*temp, errs []error) {
	err := f.sync()
	w.point("syncdir")
	for i, t := range temps {
		if t != nil && t.taken {
			errs[i] = err
		}
	}
}
