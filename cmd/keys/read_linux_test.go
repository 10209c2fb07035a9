package main

import (
	"bytes"
	"errors"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"latchkey/agent/hook"
)

func TestReadFile(t *testing.T) {
	t.Parallel()
	put := func(t *testing.T, path string, content []byte, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	largest := bytes.Repeat([]byte("x"), hook.MaxFile)
	tests := []struct {
		situation string
		make      func(t *testing.T, path string)
		want      []byte
		err       error
	}{
		{"regular", func(t *testing.T, p string) { put(t, p, []byte(fileOfA), 0o640) }, []byte(fileOfA), nil},
		{"empty", func(t *testing.T, p string) { put(t, p, nil, 0o644) }, []byte{}, nil},
		{"largest", func(t *testing.T, p string) { put(t, p, largest, 0o644) }, largest, nil},
		{"missing", func(*testing.T, string) {}, nil, errNoFile},
		{"too-long", func(t *testing.T, p string) { put(t, p, append(largest, 'x'), 0o644) }, nil, errLong},
		{"sparse-tebibyte", func(t *testing.T, p string) {
			put(t, p, nil, 0o644)
			must(t, os.Truncate(p, 1<<40))
		}, nil, errLong},
		{"group-writable", func(t *testing.T, p string) { put(t, p, nil, 0o664) }, nil, errWritable},
		{"world-writable", func(t *testing.T, p string) { put(t, p, nil, 0o646) }, nil, errWritable},
		{"symbolic-link", func(t *testing.T, p string) {
			put(t, p+".real", []byte(fileOfA), 0o644)
			must(t, os.Symlink(p+".real", p))
		}, nil, errNotRegular},
		{"second-name", func(t *testing.T, p string) {
			put(t, p, []byte(fileOfA), 0o644)
			must(t, os.Link(p, p+".again"))
		}, nil, errNotRegular},
		{"folder", func(t *testing.T, p string) { must(t, os.Mkdir(p, 0o755)) }, nil, errNotRegular},
		{"fifo", func(t *testing.T, p string) { must(t, syscall.Mkfifo(p, 0o644)) }, nil, errNotRegular},
		{"socket", func(t *testing.T, p string) {
			l, err := net.Listen("unix", p)
			must(t, err)
			t.Cleanup(func() { l.Close() })
		}, nil, errNotRegular},
		{"device", func(t *testing.T, p string) {
			need(t, os.Getuid() == 0, "root, to make a device file")
			must(t, syscall.Mknod(p, syscall.S_IFCHR|0o644, 1<<8|5)) // /dev/zero
		}, nil, errNotRegular},
	}
	for _, test := range tests {
		t.Run(test.situation, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "alice")
			test.make(t, path)
			start := time.Now()
			got, err := readFile(path, uint32(os.Getuid()))
			if !errors.Is(err, test.err) || !bytes.Equal(got, test.want) {
				t.Errorf("readFile gave %d bytes, %v; want %d bytes, %v", len(got), err, len(test.want), test.err)
			}
			if took := time.Since(start); took > time.Second {
				t.Errorf("took %v: something blocked", took)
			}
		})
	}
}

func TestReadFile_other_owner(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "alice")
	if err := os.WriteFile(path, []byte(fileOfA), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readFile(path, uint32(os.Getuid())+1); !errors.Is(err, errWritable) {
		t.Errorf("readFile = %v, want %v", err, errWritable)
	}
}

// TestReadFile_while_replaced reads as fast as it can while the file is replaced
// by rename: each read gives a whole file, old or new, and never a fault, though
// the file it holds has lost its name.
func TestReadFile_while_replaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "alice")
	contents := [][]byte{bytes.Repeat([]byte("a"), 9000), bytes.Repeat([]byte("b"), 100)}
	replace := func(i int) error {
		temp := filepath.Join(dir, ".temp")
		if err := os.WriteFile(temp, contents[i%2], 0o644); err != nil {
			return err
		}
		return os.Rename(temp, path)
	}
	if err := replace(0); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		for i := range 2000 {
			if err := replace(i); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			return
		default:
		}
		got, err := readFile(path, uint32(os.Getuid()))
		if err != nil || !bytes.Equal(got, contents[0]) && !bytes.Equal(got, contents[1]) {
			t.Fatalf("readFile gave %d bytes, %v", len(got), err)
		}
	}
}
