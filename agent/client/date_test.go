package client_test

import (
	"net/http"
	"testing"
	"time"
)

// TestDate: the time is taken from good answers of the proved server alone.
func TestDate(t *testing.T) {
	t.Parallel()
	const then = "Sun, 22 Nov 2026 12:00:00 GMT"
	for _, c := range []struct {
		name, date string
		status     int
		told       bool
	}{
		{"ok", then, 200, true},
		{"not-modified", then, 304, true},
		{"refused", then, 403, false},
		{"no-date", "", 200, false},
		{"no-time", "yesterday", 200, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, client := home(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Date"] = nil // not the server's own
				if c.date != "" {
					w.Header().Set("Date", c.date)
				}
				w.WriteHeader(c.status)
			})
			if told, heard := client.Date(); !told.IsZero() || !heard.IsZero() {
				t.Errorf("before the first answer it is %v", told)
			}
			before := time.Now()
			_, _, err := client.Bundle(t.Context(), 1, 1, 0)
			if (err == nil) != (c.status < 400) {
				t.Fatal(err)
			}
			told, heard := client.Date()
			if c.told && (told.Format(http.TimeFormat) != then || heard.Before(before) || heard.After(time.Now())) || !c.told && !told.IsZero() {
				t.Errorf("it is %v, heard at %v", told, heard)
			}
		})
	}
}
