package hook_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"latchkey/agent/hook"
	"latchkey/authz/name"
)

// Two keys with the one blob differing in its last bits, and one of another type.
const (
	first  = "AAAAC3NzaC1lZDI1NTE5AAAAIGmvzCPVXWHJ3wcyjmzf9eVL4lUXjk9q0Jv0RhMbvxqK"
	second = "AAAAC3NzaC1lZDI1NTE5AAAAIGmvzCPVXWHJ3wcyjmzf9eVL4lUXjk9q0Jv0RhMbvxqL"
	nist   = "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBA=="
)

func user(t testing.TB, s string) name.Username {
	t.Helper()
	u, err := name.ParseUsername(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestRender(t *testing.T) {
	t.Parallel()
	got, err := hook.Render(user(t, "alice"), 20001, []string{
		"ssh-ed25519 " + first + " alice",
		`expiry-time="20261122000000Z" ecdsa-sha2-nistp256 ` + nist + " alice",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := "# latchkey 1 uid=20001\n" +
		"ssh-ed25519 " + first + " alice\n" +
		`expiry-time="20261122000000Z" ecdsa-sha2-nistp256 ` + nist + " alice\n"
	if string(got) != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// TestRender_refuses holds R64.
func TestRender_refuses(t *testing.T) {
	t.Parallel()
	line := "ssh-ed25519 " + first + " alice"
	long := "ssh-rsa " + strings.Repeat("A", hook.MaxKey) + " alice"
	tests := []struct {
		situation string
		user      name.Username
		uid       uint32
		lines     []string
		want      error
	}{
		{"no-user", name.Username{}, 20001, nil, hook.ErrArguments},
		{"uid-of-root", user(t, "alice"), 0, nil, hook.ErrUID},
		{"uid-below-range", user(t, "alice"), 999, nil, hook.ErrUID},
		{"uid-above-range", user(t, "alice"), 60000, nil, hook.ErrUID},
		{"uid-beyond-16-bits", user(t, "alice"), 4294967295, nil, hook.ErrUID},
		{"other-user", user(t, "bob"), 20001, []string{line}, hook.ErrFileLine},
		{"newline-inside", user(t, "alice"), 20001, []string{line + "\n" + line}, hook.ErrFileLine},
		{"newline-at-end", user(t, "alice"), 20001, []string{line + "\n"}, hook.ErrFileLine},
		{"empty-line", user(t, "alice"), 20001, []string{""}, hook.ErrFileLine},
		{"foreign-option", user(t, "alice"), 20001, []string{`command="id" ` + line}, hook.ErrFileLine},
		{"restricted-and-more", user(t, "alice"), 20001, []string{name.RestrictedKey + `,port-forwarding ` + line}, hook.ErrFileLine},
		{"local-time", user(t, "alice"), 20001, []string{`expiry-time="20261122000000" ` + line}, hook.ErrFileLine},
		{"51-keys", user(t, "alice"), 20001, repeat(line, 51), hook.ErrFileCount},
		{"too-long", user(t, "alice"), 20001, repeat(long, 8), hook.ErrFileSize},
	}
	for _, test := range tests {
		t.Run(test.situation, func(t *testing.T) {
			t.Parallel()
			got, err := hook.Render(test.user, test.uid, test.lines)
			if !errors.Is(err, test.want) || got != nil {
				t.Errorf("Render = %q, %v; want nothing, %v", got, err, test.want)
			}
		})
	}
}

func repeat(line string, n int) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = line
	}
	return lines
}

// TestParseRequest holds R14 for what sshd says, R63 and T-H6: every hostile argument has its own refusal.
func TestParseRequest(t *testing.T) {
	t.Parallel()
	const typ = "ssh-ed25519"
	tests := []struct {
		situation string
		args      []string
		want      error
	}{
		{"accepted", []string{"alice", "20001", typ, first}, nil},
		{"certificate", []string{"alice", "20001", "ssh-ed25519-cert-v01@openssh.com", first}, nil},
		{"security-key-certificate", []string{"alice", "20001", "sk-ssh-ed25519-cert-v01@openssh.com", first}, nil},
		{"lowest-uid", []string{"alice", "1000", typ, first}, nil},
		{"highest-uid", []string{"alice", "59999", typ, first}, nil},

		{"no-arguments", nil, hook.ErrArguments},
		{"three-arguments", []string{"alice", "20001", typ}, hook.ErrArguments},
		{"six-arguments", []string{"alice", "20001", typ, first, "", ""}, hook.ErrArguments},
		{"no-fingerprint", []string{"alice", "20001", typ, first, ""}, hook.ErrPrint},
		{"fingerprint-of-another-kind", []string{"alice", "20001", typ, first, "SHA1:fe85JkIjo8VPe+XqXJGH5Mau1EMFdK1OdKvJUFicyA8"}, hook.ErrPrint},
		{"fingerprint-too-short", []string{"alice", "20001", typ, first, "SHA256:fe85"}, hook.ErrPrint},
		{"fingerprint-in-shell", []string{"alice", "20001", typ, first, "MD5:$(reboot):00:00:00:00:00:00:00:00:00:00:00:00:0"}, hook.ErrPrint},

		{"root", []string{"root", "20001", typ, first}, name.ErrReserved},
		{"option", []string{"-x", "20001", typ, first}, name.ErrStart},
		{"shell", []string{"alice;id", "20001", typ, first}, name.ErrCharacter},
		{"space", []string{"a b", "20001", typ, first}, name.ErrCharacter},
		{"path", []string{"a/../root", "20001", typ, first}, name.ErrCharacter},
		{"parent", []string{"..", "20001", typ, first}, name.ErrStart},
		{"nul", []string{"alice\x00", "20001", typ, first}, name.ErrCharacter},
		{"empty-name", []string{"", "20001", typ, first}, name.ErrEmpty},
		{"name-of-1-mib", []string{strings.Repeat("a", 1<<20), "20001", typ, first}, name.ErrTooLong},

		{"uid-0", []string{"alice", "0", typ, first}, hook.ErrUID},
		{"uid-999", []string{"alice", "999", typ, first}, hook.ErrUID},
		{"uid-60000", []string{"alice", "60000", typ, first}, hook.ErrUID},
		{"uid-6-digits", []string{"alice", "200010", typ, first}, hook.ErrUID},
		{"uid-leading-zero", []string{"alice", "020001", typ, first}, hook.ErrUID},
		{"uid-leading-zero-in-width", []string{"alice", "02001", typ, first}, hook.ErrUID},
		{"uid-signed", []string{"alice", "+2001", typ, first}, hook.ErrUID},
		{"uid-negative", []string{"alice", "-2001", typ, first}, hook.ErrUID},
		{"uid-hexadecimal", []string{"alice", "0x4e2", typ, first}, hook.ErrUID},
		{"uid-newline", []string{"alice", "2000\n", typ, first}, hook.ErrUID},
		{"uid-empty", []string{"alice", "", typ, first}, hook.ErrUID},
		{"uid-of-1-mib", []string{"alice", strings.Repeat("1", 1<<20), typ, first}, hook.ErrUID},

		{"type-newline", []string{"alice", "20001", "ssh-ed25519\nx", first}, hook.ErrType},
		{"type-upper-case", []string{"alice", "20001", "SSH-ED25519", first}, hook.ErrType},
		{"type-dss", []string{"alice", "20001", "ssh-dss", first}, hook.ErrType},
		{"type-empty", []string{"alice", "20001", "", first}, hook.ErrType},
		{"type-certificate-of-dss", []string{"alice", "20001", "ssh-dss-cert-v01@openssh.com", first}, hook.ErrType},
		{"type-suffix-twice", []string{"alice", "20001", "sk-ssh-ed25519@openssh.com-cert-v01@openssh.com", first}, hook.ErrType},
		{"type-suffix-alone", []string{"alice", "20001", "-cert-v01@openssh.com", first}, hook.ErrType},

		{"key-empty", []string{"alice", "20001", typ, ""}, hook.ErrKey},
		{"key-fingerprint", []string{"alice", "20001", typ, "SHA256:uNiVztksCsDhcc0u9e8BrWJ8zCXgbGtOGXc4e1dUBmQ"}, hook.ErrKey},
		{"key-newline", []string{"alice", "20001", typ, first[:67] + "\n"}, hook.ErrKey},
		{"key-space", []string{"alice", "20001", typ, first[:67] + " "}, hook.ErrKey},
		{"key-unpadded", []string{"alice", "20001", typ, "AAA"}, hook.ErrKey},
		{"key-only-padding", []string{"alice", "20001", typ, "===="}, hook.ErrKey},
		{"key-three-padding", []string{"alice", "20001", typ, "A==="}, hook.ErrKey},
		{"key-padding-inside", []string{"alice", "20001", typ, "AA==AAAA"}, hook.ErrKey},
		{"key-loose-bits-1", []string{"alice", "20001", typ, "AAB="}, hook.ErrKey},
		{"key-loose-bits-2", []string{"alice", "20001", typ, "AB=="}, hook.ErrKey},
		{"key-url-alphabet", []string{"alice", "20001", typ, "AA-_"}, hook.ErrKey},
		{"key-longest", []string{"alice", "20001", typ, strings.Repeat("A", hook.MaxKey)}, nil},
		{"key-too-long", []string{"alice", "20001", typ, strings.Repeat("A", hook.MaxKey+4)}, hook.ErrKey},
		{"key-of-1-mib", []string{"alice", "20001", typ, strings.Repeat("A", 1<<20)}, hook.ErrKey},
	}
	for _, test := range tests {
		t.Run(test.situation, func(t *testing.T) {
			t.Parallel()
			r, err := hook.ParseRequest(test.args)
			if !errors.Is(err, test.want) {
				t.Fatalf("ParseRequest = %v, want %v", err, test.want)
			}
			if err != nil && r != (hook.Request{}) {
				t.Error("a refused question left a request behind")
			}
		})
	}
}

// TestRequest_Answer holds R60, R63, R64, T-H6 and T-H14.
func TestRequest_Answer(t *testing.T) {
	t.Parallel()
	const (
		head   = "# latchkey 1 uid=20001\n"
		plain  = "ssh-ed25519 " + first + " alice\n"
		other  = "ssh-ed25519 " + second + " alice\n"
		third  = "ecdsa-sha2-nistp256 " + nist + " alice\n"
		strict = name.RestrictedKey + " " + plain
	)
	// Somewhere else than in UTC, which must make no difference.
	now := time.Date(2026, 11, 22, 5, 30, 0, 0, time.FixedZone("", 5*3600+1800))
	until := func(end string) string { return `expiry-time="` + end + `" ` }
	limited, strictT := until("20261122000001Z")+plain, name.RestrictedKey+","+until("20261122000001Z")+plain
	tests := []struct {
		situation string
		file      string
		want      string
		fault     error
	}{
		{"only-key", head + plain, plain, nil},
		{"first-of-three", head + plain + other + third, plain, nil},
		{"last-of-three", head + third + other + plain, plain, nil},
		{"before-the-end", head + other + limited, plain, nil},
		{"at-the-end", head + other + until("20261122000000Z") + plain, "", nil},
		{"after-the-end", head + other + until("20261121235959Z") + plain, "", nil},
		{"far-end", head + until("99991231235959Z") + plain, plain, nil},
		{"with-and-without-end", head + plain + until("20261121235959Z") + plain, plain, nil},
		{"restricted", head + strict, strict, nil},
		{"restricted-with-expiry", head + strictT, strict, nil},
		{"restricted-after-the-end", head + name.RestrictedKey + "," + until("20261121235959Z") + plain, "", nil},
		{"restricted-of-other-key", head + name.RestrictedKey + " " + other + plain, plain, nil},
		{"every-form", head + plain + limited + strict + strictT, plain + plain + strict + strict, nil},
		{"other-key", head + other, "", nil},
		{"same-key-other-type", head + "ssh-rsa " + first + " alice\n", "", nil},
		{"no-keys", head, "", nil},
		{"fifty-keys", head + strings.Repeat(other, 49) + plain, plain, nil},

		{"empty-file", "", "", hook.ErrFileEnd},
		{"header-cut", "# latchkey 1 uid=20001", "", hook.ErrFileEnd},
		{"last-line-cut", head + strings.TrimSuffix(plain, "\n"), "", hook.ErrFileEnd},
		{"half-a-line", head + plain[:40], "", hook.ErrFileEnd},
		{"no-header", plain, "", hook.ErrFileHeader},
		{"header-later", plain + head, "", hook.ErrFileHeader},
		{"other-version", "# latchkey 2 uid=20001\n" + plain, "", hook.ErrFileHeader},
		{"byte-order-mark", "\ufeff" + head + plain, "", hook.ErrFileHeader},
		{"other-uid", "# latchkey 1 uid=20002\n" + plain, "", hook.ErrFileUID},
		{"longer-uid", "# latchkey 1 uid=200011\n" + plain, "", hook.ErrFileUID},
		{"carriage-return-header", "# latchkey 1 uid=20001\r\n" + plain, "", hook.ErrFileUID},
		{"51-keys", head + strings.Repeat(plain, 51), "", hook.ErrFileCount},
		{"too-long", head + strings.Repeat("x", hook.MaxFile), "", hook.ErrFileSize},
		{"carriage-return", head + strings.TrimSuffix(plain, "\n") + "\r\n", "", hook.ErrFileLine},
		{"blank-line", head + "\n" + plain, "", hook.ErrFileLine},
		{"comment", head + "# a note\n" + plain, "", hook.ErrFileLine},
		{"header-twice", head + head + plain, "", hook.ErrFileLine},
		{"other-comment", head + "ssh-ed25519 " + first + " bob\n", "", hook.ErrFileLine},
		{"no-comment", head + "ssh-ed25519 " + first + "\n", "", hook.ErrFileLine},
		{"word-after-comment", head + "ssh-ed25519 " + first + " alice x\n", "", hook.ErrFileLine},
		{"two-spaces", head + "ssh-ed25519  " + first + " alice\n", "", hook.ErrFileLine},
		{"tab", head + "ssh-ed25519\t" + first + " alice\n", "", hook.ErrFileLine},
		{"leading-space", head + " " + plain, "", hook.ErrFileLine},
		{"cert-authority", head + "cert-authority " + plain, "", hook.ErrFileLine},
		{"command", head + `command="id" ` + plain, "", hook.ErrFileLine},
		{"expiry-and-command", head + `expiry-time="20261122000000Z",command="id" ` + plain, "", hook.ErrFileLine},
		{"expiry-unclosed", head + `expiry-time="20261122000000Z ` + plain, "", hook.ErrFileLine},
		{"expiry-letters", head + `expiry-time="2026112200000xZ" ` + plain, "", hook.ErrFileLine},
		{"restrict-alone", head + "restrict " + plain, "", hook.ErrFileLine},
		{"restricted-by-other-words", head + strings.Replace(strict, ",no-user-rc", "", 1), "", hook.ErrFileLine},
		{"restricted-with-a-forwarding", head + strings.Replace(strict, ",pty ", ",pty,port-forwarding ", 1), "", hook.ErrFileLine},
		{"restricted-with-another-tunnel", head + strings.Replace(strict, "2147483645", "0", 1), "", hook.ErrFileLine},
		{"restricted-twice", head + name.RestrictedKey + "," + strict, "", hook.ErrFileLine},
		{"restricted-and-a-comma", head + name.RestrictedKey + ", " + plain, "", hook.ErrFileLine},
		{"restricted-then-expiry-apart", head + name.RestrictedKey + " " + limited, "", hook.ErrFileLine},
		{"restricted-expiry-unclosed", head + name.RestrictedKey + `,expiry-time="20261122000000Z ` + plain, "", hook.ErrFileLine},
		{"expiry-then-restricted", head + `expiry-time="20261122000000Z",` + strict, "", hook.ErrFileLine},
		{"restricted-and-no-key", head + name.RestrictedKey + "\n", "", hook.ErrFileLine},
		{"certificate-line", head + "ssh-ed25519-cert-v01@openssh.com " + first + " alice\n", "", hook.ErrFileLine},
		{"nul", head + "\x00\n" + plain, "", hook.ErrFileLine},
		// The offered key comes before the damage: still nothing (T-H3 in part).
		{"damage-after-match", head + plain + "x\n", "", hook.ErrFileLine},
	}
	request, err := hook.ParseRequest([]string{"alice", "20001", "ssh-ed25519", first})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range tests {
		t.Run(test.situation, func(t *testing.T) {
			t.Parallel()
			got, err := request.Answer([]byte(test.file), now)
			if !errors.Is(err, test.fault) || string(got) != test.want {
				t.Errorf("Answer = %q, %v; want %q, %v", got, err, test.want, test.fault)
			}
		})
	}
}

// TestRequest_Answer_zero holds R169 in part.
func TestRequest_Answer_zero(t *testing.T) {
	t.Parallel()
	out, err := hook.Request{}.Answer([]byte("# latchkey 1 uid=\n"), time.Now())
	if !errors.Is(err, hook.ErrArguments) || out != nil {
		t.Errorf("Answer = %q, %v", out, err)
	}
}

// FuzzRequest_Answer looks for an output that is not made of whole lines of the file,
// or that holds another key than the offered one (requirement R60 and T-H14).
func FuzzRequest_Answer(f *testing.F) {
	f.Add([]byte("# latchkey 1 uid=20001\nssh-ed25519 " + first + " alice\n"))
	f.Add([]byte("# latchkey 1 uid=20001\n" + `expiry-time="20261122000000Z" ssh-ed25519 ` + first + " alice\n"))
	f.Add([]byte("# latchkey 1 uid=20001\n"))
	f.Add([]byte("# latchkey 1 uid=20001\n" + name.RestrictedKey + `,expiry-time="20261122000000Z" ssh-ed25519 ` + first + " alice\n"))
	request, err := hook.ParseRequest([]string{"alice", "20001", "ssh-ed25519", first})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		out, err := request.Answer(file, time.Unix(0, 0))
		if err != nil && out != nil {
			t.Fatalf("output beside a fault: %q, %v", out, err)
		}
		for line := range bytes.Lines(out) {
			key := bytes.TrimPrefix(line, []byte(name.RestrictedKey+" "))
			if string(key) != "ssh-ed25519 "+first+" alice\n" || !bytes.Contains(file, key) {
				t.Fatalf("line %q", line)
			}
		}
	})
}

// FuzzRender holds the two sides together: what is rendered is answered from,
// and every line of it is found by its key.
func FuzzRender(f *testing.F) {
	f.Add("alice", uint32(20001), "ssh-ed25519 "+first+" alice")
	f.Add("bob", uint32(1000), `expiry-time="20261122000000Z" ecdsa-sha2-nistp256 `+nist+" bob")
	f.Add("carol", uint32(1000), name.RestrictedKey+" ssh-ed25519 "+first+" carol")
	f.Fuzz(func(t *testing.T, who string, uid uint32, line string) {
		u, err := name.ParseUsername(who)
		if err != nil {
			return
		}
		file, err := hook.Render(u, uid, []string{line})
		if err != nil {
			return
		}
		fields := strings.Fields(line)
		n := len(fields)
		request, err := hook.ParseRequest([]string{who, string(file[len("# latchkey 1 uid="):bytes.IndexByte(file, '\n')]), fields[n-3], fields[n-2]})
		if err != nil {
			t.Fatal(err)
		}
		want := line + "\n"
		if options, rest, ends := strings.Cut(line, `expiry-time="`); ends {
			end, key, _ := strings.Cut(rest, `" `)
			if options != "" {
				options = name.RestrictedKey + " "
			}
			if want = options + key + "\n"; end <= "00001231000000Z" {
				want = ""
			}
		}
		out, err := request.Answer(file, time.Date(0, 12, 31, 0, 0, 0, 0, time.UTC))
		if err != nil || string(out) != want {
			t.Fatalf("Answer = %q, %v", out, err)
		}
	})
}
