package cli

import (
	"fmt"
	"io"
	"os"
)

// Read reads a file whole, - for stdin, and refuses one of more than most bytes. Where
// stdin is nil, - is a file like others.
func Read(stdin io.Reader, path string, most int64) ([]byte, error) {
	in := stdin
	if path != "-" || stdin == nil {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("%s is larger than %d bytes", path, most)
	}
	return text, err
}
