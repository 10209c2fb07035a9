package authz

import "latchkey/authz/name"

// Level is a permission level. The zero value denies.
type Level int

// The five levels, each holding what the one before it holds, but for LevelDeny
// which takes away and LevelIAMOnly which adds nothing.
const (
	LevelDeny Level = iota
	LevelIAMOnly
	LevelShow
	LevelDeploy
	LevelManage
)

// ErrLevel is returned for a word that names no level.
var ErrLevel = name.Refuse("level_unknown", "level is none of deny, iam_only, show, deploy, manage")

// ParseLevel reads the API's word for a level.
func ParseLevel(s string) (Level, error) {
	for l := LevelDeny; l <= LevelManage; l++ {
		if s == l.String() {
			return l, nil
		}
	}
	return LevelDeny, ErrLevel
}

// denies reports whether l is LevelDeny or no level at all.
func (l Level) denies() bool { return l <= LevelDeny || l > LevelManage }

// String returns the API's word for the level.
func (l Level) String() string {
	switch l {
	case LevelIAMOnly:
		return "iam_only"
	case LevelShow:
		return "show"
	case LevelDeploy:
		return "deploy"
	case LevelManage:
		return "manage"
	default:
		return "deny"
	}
}
