package store_test

import (
	"errors"
	"testing"

	"latchkey/controlplane/store"
)

// TestCheckSQLite holds R131.
func TestCheckSQLite(t *testing.T) {
	for version, sound := range map[string]bool{
		"3.50.6": false, "3.50.7": false, "3.51.2": false, "3.52.0": false, "2.99.9": false, "3.9.9": false,
		"": false, "3": false, "3.51": false, "3.51.x": false, "3.-1.3": false, "3.99999999999999999999.0": false,
		"3.51.3": true, "3.52.1": true, "3.53.0": true, "3.54.1": true, "4.0.0": true,
	} {
		t.Run("version-"+version, func(t *testing.T) {
			err := store.CheckSQLite(version)
			if sound != (err == nil) || err != nil && !errors.Is(err, store.ErrSQLite) {
				t.Errorf("%q: got %v", version, err)
			}
		})
	}
}
