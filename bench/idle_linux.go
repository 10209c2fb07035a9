package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	idleSpans = 3
	idleSpan  = time.Minute
	idleSlice = 50 * time.Millisecond
	idleSleep = time.Second
	// In a minute the agent looks at the machine every 30 s and asks again after an
	// answer that took 55 s.
	idleWakes = 4
)

// idleAgent measures P12: the service of a machine with one user, on which nothing
// happens, for some minutes: the processor time of it and of what it starts, as its
// control group counts it, the memory of its process, and how often it woke after a second
// of sleep.
func idleAgent(ctx context.Context) ([]Row, error) {
	cpu := Row{ID: "P12", What: "processor time of an idle agent in a minute, 0.05 % of a core", Target: Target{P99: idleSpan / 2000}}
	memory := Row{ID: "P12", What: "its resident memory, KiB", Target: Target{Count: new(15 << 10)}}
	awake := Row{ID: "P12", What: "its wake-ups in a minute: two looks, the wait for news", Target: Target{Count: new(idleWakes)}}
	f, err := newGrantField(ctx)
	if err != nil {
		return nil, err
	}
	defer f.close()
	if _, err := f.grant(ctx, "alice"); err != nil {
		return nil, err
	}
	i, err := f.idle(ctx)
	if err != nil {
		return nil, err
	}
	for n := range idleSpans {
		progress("P12", n, idleSpans)
		used, woke, err := i.span(ctx)
		if err != nil {
			return nil, err
		}
		kib, err := i.resident()
		if err != nil {
			return nil, err
		}
		cpu.Times, awake.Counts, memory.Counts = append(cpu.Times, used), append(awake.Counts, woke), append(memory.Counts, kib)
	}
	progress("P12", idleSpans, idleSpans)
	return []Row{cpu, memory, awake}, nil
}

// idle is where the kernel counts what the agent of a machine takes.
type idle struct {
	process string // its folder in /proc
	usage   func() (time.Duration, error)
}

// idle waits until the agent has done what the start gave it to do.
func (f *grantField) idle(ctx context.Context) (*idle, error) {
	pid, err := f.m.Run(ctx, "systemctl", "show", "--property=MainPID", "--value", "latchkey-agent")
	if err != nil {
		return nil, err
	}
	group, err := f.m.Run(ctx, "systemctl", "show", "--property=ControlGroup", "--value", "latchkey-agent")
	if err != nil {
		return nil, err
	}
	stat := filepath.Join("/sys/fs/cgroup", strings.TrimSpace(group), "cpu.stat")
	// The machine numbers its processes itself.
	i := &idle{process: filepath.Join("/proc", strconv.Itoa(f.m.PID()), "root/proc", strings.TrimSpace(pid))}
	i.usage = func() (time.Duration, error) {
		text, err := f.m.Run(ctx, "cat", stat)
		if err != nil {
			return 0, err
		}
		us, err := field(text, "usage_usec ")
		return time.Duration(us) * time.Microsecond, err
	}
	return i, rest(ctx, idleSpan/6)
}

func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// span watches for a while: the processor time that was used, and how often the process
// woke.
func (i *idle) span(ctx context.Context) (used time.Duration, woke int, err error) {
	began, err := i.usage()
	if err != nil {
		return 0, 0, err
	}
	last, err := i.switches()
	if err != nil {
		return 0, 0, err
	}
	var ran time.Time
	for end := time.Now().Add(idleSpan); time.Now().Before(end); {
		if err := rest(ctx, idleSlice); err != nil {
			return 0, 0, err
		}
		now, err := i.switches()
		if err != nil {
			return 0, 0, err
		}
		if now != last && time.Since(ran) > idleSleep {
			woke++
		}
		if now != last {
			last, ran = now, time.Now()
		}
	}
	ended, err := i.usage()
	return ended - began, woke, err
}

// switches counts how often threads of the process went to sleep or were made to.
func (i *idle) switches() (int, error) {
	threads, err := filepath.Glob(filepath.Join(i.process, "task/*/status"))
	if err != nil || len(threads) == 0 {
		return 0, errors.Join(err, fmt.Errorf("no thread in %s", i.process))
	}
	sum := 0
	for _, thread := range threads {
		text, err := os.ReadFile(thread)
		if err != nil {
			return 0, err
		}
		for _, kind := range []string{"voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"} {
			n, err := field(string(text), kind)
			if err != nil {
				return 0, err
			}
			sum += n
		}
	}
	return sum, nil
}

func (i *idle) resident() (kib int, err error) {
	text, err := os.ReadFile(filepath.Join(i.process, "status"))
	if err != nil {
		return 0, err
	}
	return field(string(text), "VmRSS:")
}

// field reads the number after a key at the head of a line.
func field(text, key string) (int, error) {
	for line := range strings.Lines(text) {
		if value, found := strings.CutPrefix(line, key); found {
			return strconv.Atoi(strings.Fields(value + " -")[0])
		}
	}
	return 0, fmt.Errorf("no %q in %q", key, text)
}
