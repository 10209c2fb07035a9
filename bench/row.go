package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Row is one figure of the table, or a part of one.
type Row struct {
	ID     string
	What   string
	Target Target
	// Floor says what the floor is, FloorTimes how long it took; both empty where
	// there is no floor.
	Floor      string
	FloorTimes Times
	Times      Times
	// Counts stand in the place of Times where something is counted that does not
	// depend on the machine; they have no floor.
	Counts []int
}

// Target is what has to hold; a zero field asks for nothing.
type Target struct {
	Ratio float64       // highest ratio of our median to the floor's
	P99   time.Duration // highest 99th percentile of ours
	// AtFloor is the floor's median that P99 was set for. On a slower machine
	// P99 grows in proportion; on a faster one it stays.
	AtFloor time.Duration
	Count   *int // highest median of what is counted; nil asks for nothing
}

// String prints the target as the table does.
func (t Target) String() string {
	var parts []string
	if t.Ratio != 0 {
		digits := 1
		if tenths := t.Ratio * 10; tenths != math.Round(tenths) {
			digits = 2
		}
		parts = append(parts, "p50 ≤ "+multiple(t.Ratio, digits))
	}
	if t.P99 != 0 {
		parts = append(parts, "p99 ≤ "+t.P99.String())
	}
	if t.Count != nil {
		parts = append(parts, fmt.Sprintf("p50 ≤ %d", *t.Count))
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
func (t Times) Percentile(p int) time.Duration { return percentile(t, p) }

func percentile[T cmp.Ordered](all []T, p int) T {
	if len(all) == 0 {
		var none T
		return none
	}
	sorted := slices.Sorted(slices.Values(all))
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
	case len(r.Times) == 0 && len(r.Counts) == 0,
		r.Target.Count != nil && (len(r.Counts) == 0 || percentile(r.Counts, 50) > *r.Target.Count),
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
		floor, floorP50, floorP99, ratio := "–", "–", "–", "–"
		if r.Floor != "" {
			floor, floorP50, floorP99 = r.Floor, short(r.FloorTimes.Percentile(50)), short(r.FloorTimes.Percentile(99))
			ratio = multiple(r.Ratio(), 2)
		}
		p50, p99 := short(r.Times.Percentile(50)), short(r.Times.Percentile(99))
		if len(r.Counts) > 0 {
			p50, p99 = strconv.Itoa(percentile(r.Counts, 50)), strconv.Itoa(percentile(r.Counts, 99))
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n",
			r.ID, r.What, r.Target, floor, floorP50, floorP99, p50, p99, ratio, r.Verdict())
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
	case d >= 10*time.Microsecond:
		return d.Round(time.Microsecond).String()
	}
	return d.String()
}

// multiple prints a ratio: 3.30×, or as a fraction where it is small, 1/4.9 or 1/400.
func multiple(ratio float64, digits int) string {
	switch {
	case ratio == 0 || ratio > 0.3:
		return fmt.Sprintf("%.*f×", digits, ratio)
	case ratio > 0.1:
		return fmt.Sprintf("1/%.1f", 1/ratio)
	}
	return fmt.Sprintf("1/%.0f", 1/ratio)
}

func writeJSON(w io.Writer, rows []Row) error {
	type count struct {
		P50 int `json:"p50"`
		P99 int `json:"p99"`
	}
	type row struct {
		ID       string  `json:"id"`
		What     string  `json:"what"`
		Target   string  `json:"target"`
		Floor    string  `json:"floor,omitempty"`
		FloorP50 float64 `json:"floor_p50_us,omitempty"`
		FloorP99 float64 `json:"floor_p99_us,omitempty"`
		P50      float64 `json:"p50_us,omitempty"`
		P99      float64 `json:"p99_us,omitempty"`
		Counted  *count  `json:"counted,omitempty"`
		Rounds   int     `json:"rounds"`
		Ratio    float64 `json:"ratio,omitempty"`
		Verdict  string  `json:"verdict"`
	}
	us := func(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
	out := []row{}
	for _, r := range rows {
		var counted *count
		if len(r.Counts) > 0 {
			counted = &count{percentile(r.Counts, 50), percentile(r.Counts, 99)}
		}
		out = append(out, row{r.ID, r.What, r.Target.String(), r.Floor,
			us(r.FloorTimes.Percentile(50)), us(r.FloorTimes.Percentile(99)),
			us(r.Times.Percentile(50)), us(r.Times.Percentile(99)), counted, len(r.Times) + len(r.Counts), r.Ratio(), r.Verdict()})
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}
