package agent_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"latchkey/agent/plan"
	"latchkey/authz/wire"
)

// TestPass_HostileBundle gives the agent, well signed, every name, key and uid of the
// catalogue, as a thief of the signing key would: none
// reaches the machine, each is refused for its own reason, and the honest users
// before, between and behind them are set up (requirements R14, R16 in part, R20, R48, R77,
// R105, R147, T-U1 in part, T-U5 and T-S1).
func TestPass_HostileBundle(t *testing.T) {
	w := newWorld(t)
	w.machine.change(func(s *plan.State) {
		s.Groups["taken"] = plan.Group{Name: "taken", GID: 3000}
		s.Homes["/home/squat"] = plan.Folder{Real: true, UID: 1000}
		s.Homes["/home/linked"] = plan.Folder{UID: 21001}
	})
	users := []wire.User{newUser("alice", 20001, true)}
	var codes []string
	add := func(u wire.User, code string) { users = append(users, u); codes = append(codes, code) }
	for i, c := range hostileNames() {
		add(named(c.text, int64(22000+i)), c.code)
	}
	users = append(users, newUser("bob", 20002, false))
	for i, c := range hostileKeys() {
		u := named(fmt.Sprintf("key%d", i), int64(23000+i))
		u.Keys = []string{keyB, c.text}
		add(u, c.code)
	}
	for i, c := range hostileUIDs {
		add(named(fmt.Sprintf("uid%d", i), c.uid), c.code)
	}
	for i, c := range hostileRest(t) {
		u := named(fmt.Sprintf("rest%d", i), int64(24000+i))
		c.change(&u)
		add(u, c.code)
	}
	users = append(users, newUser("zoe", 20077, true))

	before := w.machine.copy()
	w.issue(newBundle(7, users...))
	report, err := w.once()
	must(t, err)

	honest := map[string]string{"alice": "open keys sudo", "bob": "open keys", "zoe": "open keys sudo"}
	w.wantAll(honest)
	after := w.machine.copy()
	if got, want := len(after.Accounts)-len(before.Accounts), len(honest)+1; got != want { // and the hook's user
		t.Errorf("%d accounts were added, want %d", got, want)
	}
	if got, want := string(after.Files[layout.Sudoers].Content), "alice ALL=(ALL:ALL) NOPASSWD: ALL\nzoe ALL=(ALL:ALL) NOPASSWD: ALL\n"; !strings.HasSuffix(got, want) || strings.Count(got, "\n") != 3 {
		t.Errorf("sudoers are %q", got)
	}
	for path := range after.Files {
		name, isKey := strings.CutPrefix(path, layout.KeysDir+"/")
		if isKey && honest[name] == "" {
			t.Errorf("there is a file %q", path)
		}
	}
	if len(report.Refused) != len(codes) {
		t.Errorf("%d users were refused, want %d", len(report.Refused), len(codes))
	}
	got := map[string]string{} // by id would be better, but the report has names
	for _, r := range report.Refused {
		if r.Code == "" || r.Error == "" {
			t.Errorf("%q is refused without a reason: %+v", r.What, r)
		}
		got[r.What] = r.Code
	}
	for i, u := range hostileOf(users) {
		what := u.Name
		if len(what) > 64 {
			what = what[:64] + "…"
		}
		if got[what] != codes[i] {
			t.Errorf("%.70q is refused for %q, want %q", u.Name, got[what], codes[i])
		}
	}
	if text, err := wire.Encode(report); err != nil || len(text) > wire.MaxMessage {
		t.Errorf("the report has %d bytes, %v", len(text), err)
	}
}

func hostileOf(users []wire.User) []wire.User {
	var hostile []wire.User
	for _, u := range users {
		if u.Name != "alice" && u.Name != "bob" && u.Name != "zoe" {
			hostile = append(hostile, u)
		}
	}
	return hostile
}

// named is a user who is good but for the name, perhaps.
func named(login string, uid int64) wire.User {
	u := newUser("x", 1, true)
	u.ID, u.Name, u.UID, u.Keys = fmt.Sprintf("%08d-0000-4000-8000-000000000001", len(login)), login, uid, []string{keyB}
	u.ID = fmt.Sprintf("00000000-0000-4000-8000-%012d", uid&0xffffffff)
	return u
}

type hostile struct{ text, code string }

// hostileNames are the names of the catalogue: what a login name and what a line of
// sudoers must not be.
func hostileNames() []hostile {
	var all []hostile
	for code, names := range map[string][]string{
		"name_empty": {""},
		"name_reserved": {"root", "all", "con", "nul", "com1", "lpt1", "aux", "administrator", "guest", "system", "none", "localhost", "sudo",
			"wheel", "docker", "systemd-resolve", "latchkey", "latchkey-keys", "nobody", "ubuntu", "ec2-user"},
		"name_start": {"Root", "ROOT", "ALL", "0", "1000", "00", "4294967295", "-alice", "--help", "-R/", ".", "..", ".ssh", "../root", "$", "*", "[a]",
			"{a,b}", "~alice", "%wheel", `"%wheel"`, "%#0", "%:grp", "%u", "#0", "#1000", "+ng", "!alice", "@admins", "@include /x", "#include /x",
			"User_Alias", "Defaults", "FOO", "A_1", "é", "аlice", "ＡＬＩＣＥ", "İ", "[a-z]*", "$(id)", "\nroot", " alice", "\ufeffalice", "_x", "ALICE",
			`"alice bob"`},
		"name_end": {"alice-", "a--"},
		"name_too_long": {strings.Repeat("a", 32), strings.Repeat("a", 33), strings.Repeat("a", 256), strings.Repeat("b", 1<<20),
			"alice ALL=(ALL) NOPASSWD: ALL\nmallory", "x -o ProxyCommand=id\nssh-ed25519 AAAA"},
		"name_character": {"first.last", "a/b", `a\b`, "a:b", "a,b", "a b", "a\tb", "a\nb", "alice\nroot", "a\x00b", "a\r", "a$", "a$(id)", "a`id`", "a;id",
			"a&b", "a|b", "a>b", "a'b", `a"b`, "al*", "a?", "a@b", "a=b", "a(b)", "alice\u200b", "alice.", "alice ", "alice,bob", `a\x2cb`, "al*ce",
			"alice$", "alice ALL=ALL #", "alice bob", "alice\tbob", "alice\nbob", "al#ice", "alice=", "alice:", "alice\r", "alice\x00bob", "aLICE",
			"alice\x1b[2J", "a%u", "alicé"},
		"name_is_hostname": {"web-1"},
		"name_taken":       {"deby"},
		"group_taken":      {"taken"},
		"home_foreign":     {"squat", "linked"},
	} {
		for _, n := range names {
			all = append(all, hostile{n, code})
		}
	}
	return all
}

// hostileKeys are the keys of the catalogue, those whose form says it all.
func hostileKeys() []hostile {
	const a, b = keyA, keyB
	bare := strings.TrimPrefix(keyA, "ssh-ed25519 ")
	all := []hostile{
		{a + " x\n" + b + " y", "multiple_lines"}, {"garbage\n" + a, "multiple_lines"}, {a + " x\rcommand=\"x\" " + b, "control_char"},
		{a + " c\ncert-authority " + b, "multiple_lines"}, {a + " a\x00b", "control_char"},
		{`command="id" ` + a, "options_not_allowed"}, {"cert-authority " + a, "options_not_allowed"},
		{`environment="LD_PRELOAD=/x" ` + a, "options_not_allowed"}, {`no-pty,from="*",tunnel="0" ` + a, "options_not_allowed"},
		{"RESTRICT " + a, "options_not_allowed"}, {"restrict " + bare, "type_mismatch"}, {"ssh-rsa " + bare, "type_mismatch"},
		{"sk-ssh-ed25519@openssh.com " + bare, "type_mismatch"}, {"\ufeff" + a, "non_ascii"}, {"SSH-ED25519 " + bare, "unknown_type"},
		{"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAQQCAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB", "rsa_too_small"},
		{"ssh-dss AAAAB3NzaC1kc3MAAAAA", "unknown_type"}, {"1024 35 12345 c", "unknown_type"}, {"ssh-ed25519-cert-v01@openssh.com AAAA", "unknown_type"},
		{"ssh-mldsa44-ed25519@openssh.com AAAA", "unknown_type"}, {a + "====", "not_canonical"},
		{"ssh-ed25519 " + strings.NewReplacer("+", "-", "/", "_").Replace(bare), "not_canonical"}, {a + " " + strings.Repeat("c", 9000), "too_long"},
		{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "weak_point"},
		{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "weak_point"},
		{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAH0FBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=", "bad_length"},
		{"-----BEGIN OPENSSH PRIVATE KEY-----", "private_key"}, {"PuTTY-User-Key-File-3: ssh-ed25519", "private_key"},
		{`command="id ` + a, "options_not_allowed"}, {`command="a\"b" ` + a, "options_not_allowed"},
		{"", "empty"}, {"   ", "empty"}, {"ssh-ed25519", "empty"}, {"ssh-ed25519\u00a0" + bare, "non_ascii"},
	}
	for _, point := range []string{ // little-endian y, each with both signs
		"\xec" + strings.Repeat("\xff", 30) + "\x7f", "\xec" + strings.Repeat("\xff", 31),
		"\x01" + strings.Repeat("\x00", 30) + "\x80", strings.Repeat("\x00", 31) + "\x80",
	} {
		all = append(all, hostile{sshKey("ssh-ed25519", point), "weak_point"})
	}
	for _, point := range []string{"\xed" + strings.Repeat("\xff", 30) + "\x7f", "\xee" + strings.Repeat("\xff", 30) + "\x7f", strings.Repeat("\xff", 32)} {
		all = append(all, hostile{sshKey("ssh-ed25519", point), "not_canonical"})
	}
	modulus := "\x00" + strings.Repeat("\x81", 256)
	for e, code := range map[string]string{
		"\x01": "rsa_bad_exponent", "\x02": "rsa_bad_exponent", "\x03": "rsa_bad_exponent", "\x01\x00\x00\x00\x00\x00\x00\x00\x01": "rsa_bad_exponent",
	} {
		all = append(all, hostile{sshKey("ssh-rsa", e, modulus), code})
	}
	return append(all,
		hostile{sshKey("ssh-rsa", "\x01\x00\x01", "\x00"+strings.Repeat("\x81", 128)), "rsa_too_small"},
		hostile{sshKey("ssh-rsa", "\x01\x00\x01", "\x00"+strings.Repeat("\x81", 4096)), "rsa_too_large"},
		hostile{sshKey("ecdsa-sha2-nistp256", "nistp256", "\x00"), "bad_point"},
		hostile{sshKey("ecdsa-sha2-nistp256", "nistp256", "\x04"+strings.Repeat("\x00", 64)), "bad_point"},
		hostile{sshKey("ecdsa-sha2-nistp256", "nistp384", "\x04"+strings.Repeat("\x00", 96)), "bad_point"},
	)
}

// sshKey prints a key of the parts in the wire form of RFC 4251.
func sshKey(parts ...string) string {
	var blob []byte
	for _, p := range parts {
		blob = append(blob, byte(len(p)>>24), byte(len(p)>>16), byte(len(p)>>8), byte(len(p)))
		blob = append(blob, p...)
	}
	return parts[0] + " " + base64.StdEncoding.EncodeToString(blob)
}

// hostileUIDs are the uids of the catalogue.
var hostileUIDs = []struct {
	uid  int64
	code string
}{
	{0, "uid_range"}, {-1, "uid_range"}, {1, "uid_range"}, {999, "uid_range"}, {60000, "uid_range"}, {61184, "uid_range"}, {65534, "uid_range"},
	{65535, "uid_range"}, {1 << 31, "uid_range"}, {1<<32 - 1, "uid_range"}, {1 << 32, "uid_range"}, {1<<32 + 20001, "uid_range"},
	{-1 << 63, "uid_range"}, {1<<63 - 1, "uid_range"}, {20001, "twice"}, {1000, "uid_taken"}, {3000, "gid_taken"},
}

// hostileRest are users whose other fields are not what they must be.
func hostileRest(t *testing.T) []struct {
	change func(*wire.User)
	code   string
} {
	t.Helper()
	many := make([]string, 51)
	for i := range many {
		many[i] = sshKey("sk-ssh-ed25519@openssh.com", string(blobOf(t, keyA)[19:51]), fmt.Sprintf("ssh:%d", i))
	}
	return []struct {
		change func(*wire.User)
		code   string
	}{
		{func(u *wire.User) { u.ID = "../x" }, "id_malformed"},
		{func(u *wire.User) { u.ID = newUser("alice", 20001, true).ID }, "twice"},
		{func(u *wire.User) { u.ARN = "$(id)" }, "arn_malformed"},
		{func(u *wire.User) { u.ARN = "http://169.254.169.254/" }, "arn_malformed"},
		{func(u *wire.User) { u.NotAfter = "never" }, "time_malformed"},
		{func(u *wire.User) { u.NotAfter = "2030-01-01T00:00:00+05:30" }, "time_malformed"},
		{func(u *wire.User) { u.NotAfter = "0001-01-01T00:00:00Z" }, "time_malformed"},
		{func(u *wire.User) { u.Keys = many }, "file_count"},
	}
}

func blobOf(t *testing.T, key string) []byte {
	t.Helper()
	blob, err := base64.StdEncoding.DecodeString(strings.Fields(key)[1])
	must(t, err)
	return blob
}
