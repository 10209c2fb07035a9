package main

import "errors"

func (d *demo) lockAlive() error { return errors.ErrUnsupported }
