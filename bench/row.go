package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Row is one figure of the table.
type Row struct {
	ID     string
	What   string
	Target Target
	// Floor says what the floor is, FloorTimes how long it took; both empty where
	// there is no floor.
	Floor      string
	FloorTimes Times
	Times      Times
}

// Target is what has to hold; a zero field asks for nothing.
type Target struct {
	Ratio float64       // highest ratio of our median to the floor's
	P99   time.Duration // highest 99th percentile of ours
	// AtFloor is the floor's median that P99 was set for. On a slower machine
	// P99 grows in proportion; on a faster one it stays.
	AtFloor time.Duration
}

// String prints the target as the table does.
func (t Target) String() string {
	var parts []string
	if t.Ratio != 0 {
		parts = append(parts, fmt.Sprintf("p50 ≤ %.1f×", t.Ratio))
	}
	if t.P99 != 0 {
		parts = append(parts, "p99 ≤ "+t.P99.String())
	}
	text := strings.Join(parts, ", ")
	if t.AtFloor != 0 {
		text += " where the floor is " + t.AtFloor.String()
	}
	return text
}

// p99 is the highest 99th percentile allowed, given the floor's median.
func (t Target) p99(floor time.Duration) time.Duration {
	if t.AtFloor == 0 || floor < t.AtFloor {
		return t.P99
	}
	return time.Duration(float64(t.P99) * float64(floor) / float64(t.AtFloor))
}

// Times are durations of the same thing done again and again.
type Times []time.Duration

// Percentile returns the smallest of the times that p percent of them do not
// exceed, 0 when there are none.
func (t Times) Percentile(p int) time.Duration {
	if len(t) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(t))
	return sorted[(len(sorted)*p+99)/100-1]
}

// Ratio is our median over the floor's, 0 where there is no floor.
func (r Row) Ratio() float64 {
	floor := r.FloorTimes.Percentile(50)
	if floor == 0 {
		return 0
	}
	return float64(r.Times.Percentile(50)) / float64(floor)
}

// Verdict is "met" when every part of the target holds, else "missed".
func (r Row) Verdict() string {
	switch {
	case len(r.Times) == 0,
		r.Target.Ratio != 0 && (r.Ratio() == 0 || r.Ratio() > r.Target.Ratio),
		r.Target.P99 != 0 && r.Times.Percentile(99) > r.Target.p99(r.FloorTimes.Percentile(50)):
		return "missed"
	}
	return "met"
}

func writeTable(w io.Writer, rows []Row) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "id\twhat\ttarget\tfloor\tfloor p50\tfloor p99\tours p50\tours p99\tratio\tverdict")
	for _, r := range rows {
		floor, p50, p99, ratio := "–", "–", "–", "–"
		if r.Floor != "" {
			floor, p50, p99 = r.Floor, short(r.FloorTimes.Percentile(50)), short(r.FloorTimes.Percentile(99))
			ratio = fmt.Sprintf("%.2f×", r.Ratio())
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.ID, r.What, r.Target, floor, p50, p99,
			short(r.Times.Percentile(50)), short(r.Times.Percentile(99)), ratio, r.Verdict())
	}
	return table.Flush()
}

// short prints three digits or so: no more are repeatable.
func short(d time.Duration) string {
	switch {
	case d >= 100*time.Millisecond:
		return d.Round(time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(time.Microsecond).String()
}

func writeJSON(w io.Writer, rows []Row) error {
	type row struct {
		ID       string  `json:"id"`
		What     string  `json:"what"`
		Target   string  `json:"target"`
		Floor    string  `json:"floor,omitempty"`
		FloorP50 float64 `json:"floor_p50_us,omitempty"`
		FloorP99 float64 `json:"floor_p99_us,omitempty"`
		P50      float64 `json:"p50_us"`
		P99      float64 `json:"p99_us"`
		Rounds   int     `json:"rounds"`
		Ratio    float64 `json:"ratio,omitempty"`
		Verdict  string  `json:"verdict"`
	}
	us := func(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
	out := []row{}
	for _, r := range rows {
		out = append(out, row{r.ID, r.What, r.Target.String(), r.Floor,
			us(r.FloorTimes.Percentile(50)), us(r.FloorTimes.Percentile(99)),
			us(r.Times.Percentile(50)), us(r.Times.Percentile(99)), len(r.Times), r.Ratio(), r.Verdict()})
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}
