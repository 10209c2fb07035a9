package authz

import (
	"strconv"

	"latchkey/authz/name"
)

// Reasons for refusing an identifier.
var (
	ErrID       = name.Refuse("id_malformed", "id is not a lower-case UUID")
	ErrUIDRange = name.Refuse("uid_range", "uid is outside 1000-59999")
)

// UserID, StackID and InstanceID are immutable random identifiers in the form
// of a lower-case UUID. Rights hang on them, never on names (requirement R17).
type (
	UserID     struct{ id }
	StackID    struct{ id }
	InstanceID struct{ id }
)

type id struct{ s string }

// String returns the UUID, or "" for the zero value.
func (i id) String() string { return i.s }

// IsZero reports whether no id is held.
func (i id) IsZero() bool { return i.s == "" }

// MarshalText prints the id.
func (i id) MarshalText() ([]byte, error) { return []byte(i.s), nil }

// UnmarshalText parses the id; empty text is the zero value, as it is printed.
func (i *id) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*i = id{}
		return nil
	}
	parsed, err := parseID(string(text))
	*i = parsed
	return err
}

// ParseUserID reads a UUID in its canonical, lower-case form.
func ParseUserID(s string) (UserID, error) { i, err := parseID(s); return UserID{i}, err }

// ParseStackID reads a UUID in its canonical, lower-case form.
func ParseStackID(s string) (StackID, error) { i, err := parseID(s); return StackID{i}, err }

// ParseInstanceID reads a UUID in its canonical, lower-case form.
func ParseInstanceID(s string) (InstanceID, error) { i, err := parseID(s); return InstanceID{i}, err }

func parseID(s string) (id, error) {
	if len(s) != 36 {
		return id{}, ErrID
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return id{}, ErrID
			}
		case '0' <= c && c <= '9' || 'a' <= c && c <= 'f':
		default:
			return id{}, ErrID
		}
	}
	return id{s}, nil
}

// UID is a numeric user id that an account of ours may have.
type UID uint32

// The range is above every distribution's system accounts and below systemd's ids for
// homes (60001), dynamic users (61184) and nobody (65534) (requirement R19). 65536 to
// 99999 would be free as well, and no more: subordinate ids (subuid(5)) begin at 100000,
// those of systemd-nspawn's containers at 524288.
const (
	MinUID UID = 1000
	MaxUID UID = 59999
)

// ParseUID reads a decimal uid in its one canonical form. 0 is not in the range.
func ParseUID(s string) (UID, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || strconv.FormatUint(n, 10) != s {
		return 0, ErrUIDRange
	}
	return CheckUID(n)
}

// CheckUID accepts a number in the range.
func CheckUID(n uint64) (UID, error) {
	if n < uint64(MinUID) || n > uint64(MaxUID) {
		return 0, ErrUIDRange
	}
	return UID(n), nil
}

// String returns the decimal form.
func (u UID) String() string { return strconv.FormatUint(uint64(u), 10) }
