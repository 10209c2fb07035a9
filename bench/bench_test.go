package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"strings"
	"testing"
	"time"
)

func times(ms ...int) Times {
	var t Times
	for _, m := range ms {
		t = append(t, time.Duration(m)*time.Millisecond)
	}
	return t
}

func TestTimes_Percentile(t *testing.T) {
	t.Parallel()
	hundred := make([]int, 100)
	for i := range hundred {
		hundred[i] = 100 - i
	}
	tests := []struct {
		times Times
		p     int
		want  time.Duration
	}{
		{nil, 50, 0},
		{times(7), 50, 7 * time.Millisecond},
		{times(7), 99, 7 * time.Millisecond},
		{times(3, 1, 2), 50, 2 * time.Millisecond},
		{times(4, 1, 2, 3), 50, 2 * time.Millisecond},
		{times(hundred...), 50, 50 * time.Millisecond},
		{times(hundred...), 99, 99 * time.Millisecond},
		{times(hundred...), 100, 100 * time.Millisecond},
	}
	for _, test := range tests {
		if got := test.times.Percentile(test.p); got != test.want {
			t.Errorf("percentile %d of %v = %v, want %v", test.p, test.times, got, test.want)
		}
	}
}

func TestRow_Verdict(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	tests := []struct {
		situation string
		row       Row
		want      string
	}{
		{"ratio-met", Row{Target: Target{Ratio: 2}, FloorTimes: times(10), Times: times(20)}, "met"},
		{"ratio-missed", Row{Target: Target{Ratio: 2}, FloorTimes: times(10), Times: times(21)}, "missed"},
		{"no-floor-for-ratio", Row{Target: Target{Ratio: 2}, Times: times(1)}, "missed"},
		{"p99-met", Row{Target: Target{P99: 20 * ms}, Times: times(20)}, "met"},
		{"p99-missed", Row{Target: Target{P99: 20 * ms}, Times: times(21)}, "missed"},
		{"one-of-two", Row{Target: Target{Ratio: 2, P99: 4 * ms}, FloorTimes: times(10), Times: times(20)}, "missed"},
		{"slower-machine", Row{Target: Target{P99: 4 * ms, AtFloor: 1 * ms}, FloorTimes: times(5), Times: times(20)}, "met"},
		{"slower-machine-missed", Row{Target: Target{P99: 4 * ms, AtFloor: 1 * ms}, FloorTimes: times(5), Times: times(21)}, "missed"},
		{"faster-machine", Row{Target: Target{P99: 4 * ms, AtFloor: 2 * ms}, FloorTimes: times(1), Times: times(4)}, "met"},
		{"small-ratio-met", Row{Target: Target{Ratio: 1.0 / 400}, FloorTimes: times(800), Times: times(2)}, "met"},
		{"small-ratio-missed", Row{Target: Target{Ratio: 1.0 / 400}, FloorTimes: times(799), Times: times(2)}, "missed"},
		{"none-counted-met", Row{Target: Target{Count: new(0)}, Counts: []int{0}}, "met"},
		{"none-counted-missed", Row{Target: Target{Count: new(0)}, Counts: []int{1}}, "missed"},
		{"count-is-the-median", Row{Target: Target{Count: new(1)}, Counts: []int{1, 1, 3}}, "met"},
		{"not-counted", Row{Target: Target{Count: new(1)}, Times: times(1)}, "missed"},
		{"nothing-measured", Row{}, "missed"},
	}
	for _, test := range tests {
		t.Run(test.situation, func(t *testing.T) {
			t.Parallel()
			if got := test.row.Verdict(); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestMultiple(t *testing.T) {
	t.Parallel()
	for ratio, want := range map[float64]string{3.3: "3.30×", 1: "1.00×", 0.45: "0.45×", 0.2: "1/5.0", 0.1: "1/10", 1.0 / 400: "1/400", 0: "0.00×"} {
		if got := multiple(ratio, 2); got != want {
			t.Errorf("multiple(%v) = %s, want %s", ratio, got, want)
		}
	}
}

func TestShort(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		131: "131ns", 1234: "1.234µs", 131_400: "131µs", 2_345_678: "2.35ms", 123_456_789: "123ms",
	} {
		if got := short(d); got != want {
			t.Errorf("short(%d) = %s, want %s", d, got, want)
		}
	}
}

func figures() []measure {
	return []measure{
		{"P1", func(context.Context) ([]Row, error) {
			return []Row{{ID: "P1", What: "a thing", Floor: "the least", FloorTimes: times(10), Times: times(15),
				Target: Target{Ratio: 2, P99: 40 * time.Millisecond, AtFloor: 6 * time.Millisecond}}}, nil
		}},
		{"P7", func(context.Context) ([]Row, error) {
			return []Row{
				{ID: "P7", What: "a wait", Times: times(1250), Target: Target{P99: time.Second}},
				{ID: "P7", What: "wakes", Counts: []int{2, 1, 3, 1, 1}, Target: Target{Count: new(1)}},
			}, nil
		}},
		{"P8", func(context.Context) ([]Row, error) { return nil, errors.New("gcc is missing") }},
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	tests := []struct {
		situation, args string
		want            error
		stdout, stderr  string
	}{
		{"two-figures", "P1 P7", nil,
			"id  what     target                                         floor      floor p50  floor p99  ours p50  ours p99  ratio  verdict\n" +
				"P1  a thing  p50 ≤ 2.0×, p99 ≤ 40ms where the floor is 6ms  the least  10ms       10ms       15ms      15ms      1.50×  met\n" +
				"P7  a wait   p99 ≤ 1s                                       –          –          –          1.25s     1.25s     –      missed\n" +
				"P7  wakes    p50 ≤ 1                                        –          –          –          1         3         –      met\n",
			""},
		{"json", "--json P7", nil, `[
  {
    "id": "P7",
    "what": "a wait",
    "target": "p99 ≤ 1s",
    "p50_us": 1250000,
    "p99_us": 1250000,
    "rounds": 1,
    "verdict": "missed"
  },
  {
    "id": "P7",
    "what": "wakes",
    "target": "p50 ≤ 1",
    "counted": {
      "p50": 1,
      "p99": 3
    },
    "rounds": 5,
    "verdict": "met"
  }
]
`, ""},
		{"unknown", "P3", errUsage, "", "bench: no figure is called \"P3\"\nhint: there are [P1 P7 P8]\n"},
		{"bad-flag", "--jsn", errUsage, "", "flag provided but not defined: -jsn\n" + usageText},
		{"help", "--help", flag.ErrHelp, "", usageText},
	}
	for _, test := range tests {
		t.Run(test.situation, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr, progress bytes.Buffer
			err := run(t.Context(), strings.Fields(test.args), figures(), &stdout, &stderr, &progress)
			if !errors.Is(err, test.want) {
				t.Errorf("run = %v, want %v", err, test.want)
			}
			if stdout.String() != test.stdout || stderr.String() != test.stderr {
				t.Errorf("stdout\n%s\nwant\n%s\nstderr\n%s\nwant\n%s", &stdout, test.stdout, &stderr, test.stderr)
			}
		})
	}
}

const usageText = "usage: go run ./bench [--json] [ID ...]\n\nIDs: [P1 P7 P8]\n\nexample: go run ./bench P1 P2\n"

// TestRun_fault: what cannot be measured keeps nothing else back, and is told.
func TestRun_fault(t *testing.T) {
	t.Parallel()
	var stdout, stderr, progress bytes.Buffer
	err := run(t.Context(), nil, figures(), &stdout, &stderr, &progress)
	if err == nil || !strings.Contains(stderr.String(), "bench: P8: gcc is missing\n") {
		t.Errorf("run = %v, stderr %q", err, stderr.String())
	}
	if want := "measuring P1\nmeasuring P7\nmeasuring P8\n"; progress.String() != want {
		t.Errorf("progress %q, want %q", progress.String(), want)
	}
	if n := strings.Count(stdout.String(), "\n"); n != 4 {
		t.Errorf("%d lines, want the head and three rows\n%s", n, &stdout)
	}
}
