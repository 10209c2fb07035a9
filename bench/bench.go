// Command bench measures what the project promises and prints one table: for
// each figure its target, a floor measured in the same run, ours, their ratio,
// and whether the target is met.
//
//	go run ./bench            all of it
//	go run ./bench --json P1  one figure, for a program
//
// The ratios are what is promised. The times are one machine's.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"

	"latchkey/e2e/machine"
)

// measure is one figure and how it comes about: a row, or more where it has parts.
// run gives up when ctx ends.
type measure struct {
	id  string
	run func(ctx context.Context) ([]Row, error)
}

// main measures in namespaces of its own, because one figure boots a machine.
func main() { os.Exit(machine.Enter(bench)) }

func bench() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Args[1:], measures(), os.Stdout, os.Stderr, progressTo(os.Stderr))
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		return 2
	}
	return 1
}

// progressTo returns f when a person looks at it, and else nothing that is seen.
func progressTo(f *os.File) io.Writer {
	if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		return f
	}
	return io.Discard
}

// progress tells a person how far a measurement of many rounds is.
func progress(id string, done, rounds int) {
	fmt.Fprintf(progressTo(os.Stderr), "\r%s: %d of %d\x1b[K", id, done, rounds)
	if done == rounds {
		fmt.Fprint(progressTo(os.Stderr), "\r\x1b[K")
	}
}

var errUsage = errors.New("usage")

// run measures the figures named in args, or all, and prints them. A figure that
// cannot be measured is told on stderr and does not keep the others back; the
// error says that there was one. A target that is missed is not an error.
func run(ctx context.Context, args []string, all []measure, stdout, stderr, progress io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintf(stderr, "usage: go run ./bench [--json] [ID ...]\n\nIDs: %s\n\nexample: go run ./bench P1 P2\n", ids(all))
	}
	asJSON := flags.Bool("json", false, "print JSON")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errors.Join(errUsage, err)
	}
	for _, id := range flags.Args() {
		if !slices.Contains(ids(all), id) {
			fmt.Fprintf(stderr, "bench: no figure is called %q\nhint: there are %s\n", id, ids(all))
			return errUsage
		}
	}
	var rows []Row
	var faults []error
	for _, m := range all {
		if flags.NArg() > 0 && !slices.Contains(flags.Args(), m.id) {
			continue
		}
		fmt.Fprintf(progress, "measuring %s\n", m.id)
		parts, err := m.run(ctx)
		if err != nil {
			fmt.Fprintf(stderr, "bench: %s: %v\n", m.id, err)
			faults = append(faults, err)
			continue
		}
		rows = append(rows, parts...)
	}
	write := writeTable
	if *asJSON {
		write = writeJSON
	}
	return errors.Join(append(faults, write(stdout, rows))...)
}

func ids(all []measure) []string {
	var list []string
	for _, m := range all {
		list = append(list, m.id)
	}
	return list
}
