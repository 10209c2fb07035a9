package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// TestGranter takes a few rounds of the measurement itself. It is not parallel: what
// other tests flush would be counted.
func TestGranter(t *testing.T) {
	needRootAnd(t, "strace")
	g, err := newGranter(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer g.close()
	floor, ours, err := g.time(t.Context(), 4)
	if err != nil || len(floor) != 4 || len(ours) != 4 || floor.Percentile(1) <= 0 || ours.Percentile(1) <= 0 {
		t.Errorf("time = %v, %v, %v", floor, ours, err)
	}
	for what, do := range map[string]func(i int) error{
		"set":    func(i int) error { return g.set(t.Context(), i%2 == 0) },
		"setAll": func(i int) error { return g.setAll(t.Context(), i%2 == 0) },
	} {
		counts, err := countFlushes(t.Context(), t.TempDir(), 5, do)
		if err != nil || slices.Min(counts) < 1 {
			t.Errorf("%s flushed %v times, %v", what, counts, err)
		}
	}
}

// TestCountFlushes: each call is counted in its round, from any thread, and nothing
// else is.
func TestCountFlushes(t *testing.T) {
	needRootAnd(t, "strace")
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	flush := func(i int) error {
		if _, err := f.WriteString("x"); i == 0 || err != nil {
			return err
		}
		if i == 2 {
			done := make(chan error)
			go func() { done <- f.Sync() }()
			if err := <-done; err != nil {
				return err
			}
		}
		return syscall.Fdatasync(int(f.Fd()))
	}
	got, err := countFlushes(t.Context(), dir, 3, flush)
	if err != nil || !slices.Equal(got, []int{0, 1, 2}) {
		t.Errorf("countFlushes = %v, %v", got, err)
	}
	fault := errors.New("a fault")
	if _, err := countFlushes(t.Context(), dir, 3, func(int) error { return fault }); !errors.Is(err, fault) {
		t.Errorf("countFlushes = %v, want the fault", err)
	}
}

func TestParseFlushes(t *testing.T) {
	t.Parallel()
	const mark = "7 fsync(-1) = -1 EBADF (Bad file descriptor)\n"
	for situation, c := range map[string]struct {
		log  string
		want []int // nil: refused
	}{
		"none":               {mark + mark, []int{0}},
		"two-kinds":          {"7 fsync(3) = 0\n" + mark + "7 fsync(3) = 0\n7 fdatasync(4) = 0\n" + mark, []int{2}},
		"across-a-switch":    {mark + "7 fdatasync(4 <unfinished ...>\n8 +++ exited with 0 +++\n7 <... fdatasync resumed>) = 0\n" + mark, []int{1}},
		"after-the-end":      {mark + mark + "7 fsync(3) = 0\n", []int{0}},
		"a-mark-is-missing":  {mark, nil},
		"a-mark-is-too-much": {mark + mark + mark, nil},
	} {
		t.Run(situation, func(t *testing.T) {
			t.Parallel()
			got, err := parseFlushes([]byte(c.log), 1)
			if !slices.Equal(got, c.want) || (err == nil) != (c.want != nil) {
				t.Errorf("parseFlushes = %v, %v, want %v", got, err, c.want)
			}
		})
	}
}
