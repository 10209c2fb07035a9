package authz_test

import (
	"encoding/json"
	"testing"

	"latchkey/authz"
)

func TestParseID(t *testing.T) {
	const good = "0a1b2c3d-4e5f-4678-9abc-def012345678"
	if id := mustStack(t, good); id.String() != good || id.IsZero() {
		t.Errorf("got %q", id)
	}
	for _, s := range []string{
		"", "0a1b2c3d-4e5f-4678-9abc-def01234567", "0a1b2c3d-4e5f-4678-9abc-def0123456789", "0A1B2C3D-4E5F-4678-9ABC-DEF012345678",
		"0a1b2c3d_4e5f_4678_9abc_def012345678", "0a1b2c3d4e5f46789abcdef012345678", "{0a1b2c3d-4e5f-4678-9abc-def01234567}",
		"0a1b2c3d-4e5f-4678-9abc-def01234567g", "0a1b2c3-d4e5f-4678-9abc-def012345678", "../../../../../../../../../../../../",
		"0a1b2c3d-4e5f-4678-9abc-def01234567\n", "०a1b2c3d-4e5f-4678-9abc-def012345",
	} {
		user, errUser := authz.ParseUserID(s)
		stack, errStack := authz.ParseStackID(s)
		instance, errInstance := authz.ParseInstanceID(s)
		for _, err := range []error{errUser, errStack, errInstance} {
			if err != error(authz.ErrID) {
				t.Errorf("%q: got error %v, want %v", s, err, authz.ErrID)
			}
		}
		if !user.IsZero() || !stack.IsZero() || !instance.IsZero() {
			t.Errorf("%q: got %q, %q, %q", s, user, stack, instance)
		}
	}
	var id authz.UserID
	if text, err := json.Marshal(id); err != nil || string(text) != `""` || json.Unmarshal(text, &id) != nil || !id.IsZero() {
		t.Errorf("the zero id prints as %s and reads back as %q, error %v", text, id, err)
	}
	if err := json.Unmarshal([]byte(`"`+good+`"`), &id); err != nil || id.String() != good {
		t.Errorf("got %q, error %v", id, err)
	}
	if err := json.Unmarshal([]byte(`"x"`), &id); err == nil || !id.IsZero() {
		t.Errorf("malformed text left %q, error %v", id, err)
	}
}

// TestParseUID holds R19.
func TestParseUID(t *testing.T) {
	for s, want := range map[string]authz.UID{"1000": 1000, "20000": 20000, "59999": 59999} {
		if got, err := authz.ParseUID(s); err != nil || got != want || got.String() != s {
			t.Errorf("%s: got %v, error %v", s, got, err)
		}
	}
	for _, s := range []string{
		"", "0", "-1", "999", "60000", "61184", "65534", "65535", "2147483648", "4294967295", "4294967296", "4294968296",
		"18446744073709552616", "01000", "+1000", " 1000", "1000 ", "1_000", "0x3e8", "1e3", "1000.0", "alice",
	} {
		if got, err := authz.ParseUID(s); err != error(authz.ErrUIDRange) || got != 0 {
			t.Errorf("%q: got %v, error %v", s, got, err)
		}
	}
	for _, n := range []uint64{0, 999, 60000, 1 << 32, 1<<32 + 1000, 1<<64 - 1} {
		if got, err := authz.CheckUID(n); err != error(authz.ErrUIDRange) || got != 0 {
			t.Errorf("%d: got %v, error %v", n, got, err)
		}
	}
}
