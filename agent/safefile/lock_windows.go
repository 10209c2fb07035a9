package safefile

import (
	"errors"
	"os"
)

func lock(*os.File, bool) (bool, error) { return false, errors.ErrUnsupported }

func openLock(string) (*os.File, error) { return nil, errors.ErrUnsupported }

func lockRecord(*os.File) error { return errors.ErrUnsupported }
