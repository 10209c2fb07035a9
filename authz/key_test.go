package authz_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"math/big"
	"strings"
	"testing"
	"time"

	"latchkey/authz"
	"latchkey/authz/name"
)

// The public halves of the seeds 01…01 and 02…02.
const (
	keyA = "AAAAC3NzaC1lZDI1NTE5AAAAIIqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c"
	keyB = "AAAAC3NzaC1lZDI1NTE5AAAAIIE5dw6ofRdfVqNUZsNMfszLjYqRtO43ol32D1uPybOU"
)

// keyCase is one text and what becomes of it: kept is printed, or it is refused.
type keyCase struct {
	name   string
	text   string
	want   *name.Refusal
	kept   string
	policy authz.KeyPolicy
}

// TestParseKey holds R1, R2, R3, R4, R5 in part, R6 in part, R7, R8, T-K0, T-K1, T-K2,
// T-K3, T-K4, T-K5, T-K6, T-K7, T-K8, T-K9, T-K10, T-K11, T-K12, T-K13, T-K14, T-K15,
// T-K16, T-K17, T-K18, T-K19, T-K20, T-K21, T-K22, T-K23, T-K24, T-K25, T-K26, T-K27,
// T-K28, T-K29 in part, T-K33 and T-K34.
func TestParseKey(t *testing.T) {
	for _, group := range [][]keyCase{
		keyLineCases(), keyTypeCases(), keyBase64Cases(), keyCommentCases(), keyPrivateCases(),
		rsaSizeCases(), rsaWeakCases(), ed25519Cases(), ecdsaCases(),
	} {
		for _, c := range group {
			t.Run(c.name, func(t *testing.T) {
				got, err := authz.ParseKey(c.text, c.policy)
				if c.want != nil {
					// The very variable: its text is a constant and echoes nothing.
					if err != error(c.want) || !got.IsZero() {
						t.Fatalf("got key %q, error %v; want refusal %s", got, err, c.want.Code)
					}
					return
				}
				if err != nil || got.String() != c.kept {
					t.Fatalf("got key %q, error %v; want %q", got, err, c.kept)
				}
			})
		}
	}
}

func keyLineCases() []keyCase {
	a := "ssh-ed25519 " + keyA
	return []keyCase{
		{name: "k0-with-comment", text: a + " alice@laptop", kept: a},
		{name: "k0-without-comment", text: a, kept: a},
		{name: "k0-blanks-around", text: "  ssh-ed25519   " + keyA + "  alice ", kept: a},
		{name: "k1-two-keys", text: a + " a\nssh-ed25519 " + keyB + " b", want: authz.ErrKeyLines},
		{name: "k2-garbage-first", text: "garbage\n" + a, want: authz.ErrKeyLines},
		{name: "k3-carriage-return", text: a + " a\rcommand=\"x\" ssh-ed25519 " + keyB, want: authz.ErrKeyControl},
		{name: "k4-second-line-is-an-authority", text: a + " c\ncert-authority ssh-ed25519 " + keyB, want: authz.ErrKeyLines},
		{name: "k5-nul", text: a + " a\x00b", want: authz.ErrKeyControl},
		{name: "k6-crlf", text: a + "\r\n", kept: a},
		{name: "k6-newline", text: a + "\n", kept: a},
		{name: "k6-two-newlines", text: a + "\n\n", want: authz.ErrKeyLines},
		{name: "k6-two-crlf", text: a + "\r\n\r\n", want: authz.ErrKeyLines},
		{name: "k6-carriage-return-alone", text: a + "\r", want: authz.ErrKeyControl},
		{name: "k6-two-carriage-returns", text: a + "\r\r\n", want: authz.ErrKeyControl},
		{name: "k6-newline-first", text: "\n" + a, want: authz.ErrKeyLines},
		{name: "tab-between", text: "ssh-ed25519\t" + keyA, want: authz.ErrKeyControl},
		{name: "delete", text: a + " \x7f", want: authz.ErrKeyControl},
		{name: "vertical-tab", text: a + "\v", want: authz.ErrKeyControl},
		{name: "last-control", text: a + " \x1f", want: authz.ErrKeyControl},
		{name: "first-beyond-ascii", text: a + " \x80", want: authz.ErrKeyNonASCII},
		{name: "k13-byte-order-mark", text: "\ufeff" + a, want: authz.ErrKeyNonASCII},
		{name: "c1-control", text: a + " \u0085", want: authz.ErrKeyNonASCII},
		{name: "line-separator", text: a + " \u2028ssh-ed25519 " + keyB, want: authz.ErrKeyNonASCII},
		{name: "invalid-utf-8", text: a + " \xff", want: authz.ErrKeyNonASCII},
		{name: "k34-empty", text: "", want: authz.ErrKeyEmpty},
		{name: "k34-newline-only", text: "\n", want: authz.ErrKeyEmpty},
		{name: "k34-spaces-only", text: "   ", want: authz.ErrKeyEmpty},
		{name: "k34-type-only", text: "ssh-ed25519", want: authz.ErrKeyEmpty},
		{name: "k34-blob-only", text: keyA, want: authz.ErrKeyEmpty},
		{name: "k34-commented-out", text: "# " + a, want: authz.ErrKeyEmpty},
		{name: "k34-commented-out-without-blank", text: "#" + a, want: authz.ErrKeyEmpty},
		{name: "k34-no-break-space", text: "ssh-ed25519\u00a0" + keyA, want: authz.ErrKeyNonASCII},
	}
}

func keyTypeCases() []keyCase {
	a := "ssh-ed25519 " + keyA
	cert := wireForm([]byte("ssh-ed25519-cert-v01@openssh.com"), bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32))
	dss := wireForm([]byte("ssh-dss"), []byte{5}, []byte{7}, []byte{3}, []byte{2})
	return []keyCase{
		{name: "k7-command", text: `command="id" ` + a, want: authz.ErrKeyOptions},
		{name: "k7-command-with-blanks", text: `command="id -u" ` + a, want: authz.ErrKeyOptions},
		{name: "k7-command-holding-a-key", text: `command="ssh-ed25519 ` + keyB + `" ` + a, want: authz.ErrKeyOptions},
		{name: "k8-cert-authority", text: "cert-authority " + a, want: authz.ErrKeyOptions},
		{name: "k9-environment", text: `environment="LD_PRELOAD=/x" ` + a, want: authz.ErrKeyOptions},
		{name: "k10-list", text: `no-pty,from="*",tunnel="0" ` + a, want: authz.ErrKeyOptions},
		{name: "k10-upper-case", text: "RESTRICT " + a, want: authz.ErrKeyOptions},
		{name: "k10-restrict", text: "restrict " + a, want: authz.ErrKeyOptions},
		{name: "k10-unknown-word", text: "mystery " + a, want: authz.ErrKeyOptions},
		{name: "k10-no-touch-required", text: "no-touch-required " + a, want: authz.ErrKeyOptions},
		{name: "k11-option-in-the-place-of-the-type", text: "restrict " + keyA, want: authz.ErrKeyTypeMismatch},
		{name: "k11-upper-case", text: "No-PTY " + keyA, want: authz.ErrKeyTypeMismatch},
		{name: "k12-rsa-for-ed25519", text: "ssh-rsa " + keyA, want: authz.ErrKeyTypeMismatch},
		{name: "k12-sk-for-ed25519", text: "sk-ssh-ed25519@openssh.com " + keyA, want: authz.ErrKeyTypeMismatch},
		{name: "k12-ecdsa-for-ed25519", text: "ecdsa-sha2-nistp256 " + keyA, want: authz.ErrKeyTypeMismatch},
		{name: "k12-certificate-inside", text: "ssh-ed25519 " + cert, want: authz.ErrKeyTypeMismatch},
		{name: "k14-upper-case-type", text: "SSH-ED25519 " + keyA, want: authz.ErrKeyType},
		{name: "k18-dsa", text: "ssh-dss " + dss, want: authz.ErrKeyType},
		{name: "k18-ssh-1", text: "1024 35 12345 c", want: authz.ErrKeyType},
		{name: "k18-certificate", text: "ssh-ed25519-cert-v01@openssh.com " + cert, want: authz.ErrKeyType},
		{name: "k18-post-quantum", text: "ssh-mldsa44-ed25519@openssh.com " + keyA, want: authz.ErrKeyType},
		{name: "k18-signature-algorithm", text: "rsa-sha2-256 " + keyA, want: authz.ErrKeyType},
		{name: "k18-prefix-of-a-type", text: "ssh-ed2551 " + keyA, want: authz.ErrKeyType},
		{name: "k33-quote-never-ends", text: `command="id ssh-ed25519 ` + keyA, want: authz.ErrKeyOptions},
		{name: "k33-escaped-quote", text: `command="a\"b" ` + a, want: authz.ErrKeyOptions},
		{name: "known-compromised", want: authz.ErrKeyCompromised,
			text: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN1YdxBpNlzxDqfJyw/QKow1F+wvG9hXGoqiysfJOn5Y vagrant"},
	}
}

func keyBase64Cases() []keyCase {
	padded := wireForm([]byte("sk-ssh-ed25519@openssh.com"), rawKey(keyA)[19:], []byte("ssh:ab"))
	bare, found := strings.CutSuffix(padded, "g==")
	if !found {
		panic("the example does not end in two signs of padding")
	}
	stray := bare + "h==" // the digit's last four bits are not used
	a := "ssh-ed25519 " + keyA
	return []keyCase{
		{name: "k19-padded", text: "sk-ssh-ed25519@openssh.com " + padded, kept: "sk-ssh-ed25519@openssh.com " + padded},
		{name: "k19-without-padding", text: "sk-ssh-ed25519@openssh.com " + strings.TrimRight(padded, "="), want: authz.ErrKeyNotCanonical},
		{name: "k19-half-the-padding", text: "sk-ssh-ed25519@openssh.com " + strings.TrimSuffix(padded, "="), want: authz.ErrKeyNotCanonical},
		{name: "k19-stray-bits", text: "sk-ssh-ed25519@openssh.com " + stray, want: authz.ErrKeyNotCanonical},
		{name: "k19-url-alphabet", text: "ssh-ed25519 " + strings.NewReplacer("+", "-", "/", "_").Replace(keyA), want: authz.ErrKeyNotCanonical},
		{name: "k19-space-at-a-quantum", text: "ssh-ed25519 " + keyA[:32] + " " + keyA[32:], want: authz.ErrKeyNotCanonical},
		{name: "k19-space-inside-a-quantum", text: "ssh-ed25519 " + keyA[:33] + " " + keyA[33:], want: authz.ErrKeyNotCanonical},
		{name: "k19-spaces", text: "ssh-ed25519 AAAA C3Nz aC1l " + keyA[12:], want: authz.ErrKeyNotCanonical},
		{name: "k19-trailing-padding", text: a + "====", want: authz.ErrKeyNotCanonical},
		{name: "k19-padding-in-the-middle", text: a + "AA==AAAA", want: authz.ErrKeyNotCanonical},
		{name: "k19-comment-of-9000", text: a + " " + strings.Repeat("c", 9000), want: authz.ErrKeyTooLong},
		{name: "k19-longest", text: a + " " + strings.Repeat("c", authz.MaxKeyText-len(a)-1), kept: a},
		{name: "k19-one-too-long", text: a + " " + strings.Repeat("c", authz.MaxKeyText-len(a)), want: authz.ErrKeyTooLong},
		{name: "k28-31-bytes", want: authz.ErrKeyLength,
			text: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAH0FBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="},
		{name: "k28-33-bytes", text: "ssh-ed25519 " + wireForm([]byte("ssh-ed25519"), make([]byte, 33)), want: authz.ErrKeyLength},
		{name: "k28-trailing-junk", text: "ssh-ed25519 " + junk(keyA, "junk"), want: authz.ErrKeyLength},
		{name: "k28-trailing-byte", text: "ssh-ed25519 " + junk(keyA, "\x00"), want: authz.ErrKeyLength},
		{name: "k28-trailing-string", text: "ssh-ed25519 " + junk(keyA, "\x00\x00\x00\x00"), want: authz.ErrKeyLength},
		{name: "k28-type-alone", text: "ssh-ed25519 " + wireForm([]byte("ssh-ed25519")), want: authz.ErrKeyLength},
		{name: "k28-no-type-inside", text: "ssh-ed25519 AAAA", want: authz.ErrKeyLength},
		{name: "k28-length-past-the-end", text: "ssh-ed25519 /////w==", want: authz.ErrKeyLength},
		{name: "sk-application-empty", text: skText(""), want: authz.ErrKeyApplication},
		{name: "sk-application-with-nul", text: skText("s\x00h:"), want: authz.ErrKeyApplication},
		{name: "sk-application-ends-in-nul", text: skText("ssh:\x00"), want: authz.ErrKeyApplication},
		{name: "sk-application-with-newline", text: skText("ssh:\nssh-ed25519 " + keyB), want: authz.ErrKeyApplication},
		{name: "sk-application-of-a-site", text: skText("example.com"), kept: skText("example.com")},
		{name: "k28-sk-without-application", want: authz.ErrKeyLength,
			text: "sk-ssh-ed25519@openssh.com " + wireForm([]byte("sk-ssh-ed25519@openssh.com"), rawKey(keyA)[19:])},
	}
}

func keyCommentCases() []keyCase {
	a := "ssh-ed25519 " + keyA
	cases := []keyCase{
		{name: "k20-terminal-escape", text: a + " \x1b]0;pwn\x07", want: authz.ErrKeyControl},
		{name: "k20-64-kB", text: a + " " + strings.Repeat("c", 64<<10), want: authz.ErrKeyTooLong},
		{name: "k20-right-to-left-override", text: a + " \u202egpj", want: authz.ErrKeyNonASCII},
	}
	for situation, comment := range map[string]string{
		"script": "<script>alert(1)</script>", "image": `"><img src=x onerror=1>`, "shell": "$(id)",
		"formula": `=HYPERLINK("x")`, "format": "%n%n", "path": "../../etc", "option": `command="id"`,
		"second-key": "ssh-ed25519 " + keyB, "comment": "# x", "escape": `\n`,
	} {
		cases = append(cases, keyCase{name: "k20-" + situation, text: a + " " + comment, kept: a})
	}
	return cases
}

func rsaSizeCases() []keyCase {
	three := authz.KeyPolicy{MinRSABits: 3072}
	cases := []keyCase{
		{name: "k15-rsa-512", want: authz.ErrKeyRSATooSmall,
			text: "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAQQCAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB"},
		{name: "k16-rsa-1024", text: rsaText(65537, modulus(1024)), want: authz.ErrKeyRSATooSmall},
		{name: "k16-rsa-1024-by-a-lax-policy", text: rsaText(65537, modulus(1024)), policy: authz.KeyPolicy{MinRSABits: 1024}, want: authz.ErrKeyRSATooSmall},
		{name: "k16-rsa-1024-sealed", text: rsaText(65537, modulus(1024)), policy: authz.KeyPolicy{Sealed: true}, want: authz.ErrKeyRSATooSmall},
		{name: "k16-rsa-2047", text: rsaText(65537, modulus(2047)), want: authz.ErrKeyRSATooSmall},
		{name: "k16-rsa-2048-by-policy", text: rsaText(65537, modulus(2048)), policy: three, want: authz.ErrKeyRSATooSmall},
		{name: "k16-rsa-3071-by-policy", text: rsaText(65537, modulus(3071)), policy: three, want: authz.ErrKeyRSATooSmall},
		{name: "k17-rsa-16385", text: rsaText(65537, modulus(16385)), want: authz.ErrKeyRSATooLarge},
		{name: "k17-rsa-16392", text: rsaText(65537, modulus(16392)), want: authz.ErrKeyRSATooLarge},
		{name: "k17-rsa-32768", text: rsaText(65537, modulus(32768)), want: authz.ErrKeyRSATooLarge},
		{name: "k17-rsa-32768-sealed", text: rsaText(65537, modulus(32768)), policy: authz.KeyPolicy{Sealed: true}, want: authz.ErrKeyRSATooLarge},
		{name: "k17-modulus-of-1-MiB", text: rsaText(65537, new(big.Int).Lsh(big.NewInt(1), 8<<20)), want: authz.ErrKeyTooLong},
	}
	for _, bits := range []int{2048, 2049, 3072, 4096, 4097, 8192, 16384} {
		text := rsaText(65537, modulus(bits))
		cases = append(cases, keyCase{name: "k17-accepted-" + big.NewInt(int64(bits)).String(), text: text, kept: text})
	}
	return append(cases, keyCase{name: "k16-3072-by-policy", text: rsaText(65537, modulus(3072)), kept: rsaText(65537, modulus(3072)), policy: three})
}

func rsaWeakCases() []keyCase {
	n := modulus(2048)
	p := primeAbove(new(big.Int).Lsh(big.NewInt(3), 1022)) // so that p² has 2048 bits
	near := primeAbove(new(big.Int).Add(p, new(big.Int).Lsh(big.NewInt(1), 99)))
	text := func(n *big.Int) string { return rsaText(65537, n) }
	times := func(x *big.Int, y int64) *big.Int { return new(big.Int).Mul(x, big.NewInt(y)) }
	cases := []keyCase{
		{name: "k25-e-0", text: rsaText(0, n), want: authz.ErrKeyRSAExponent},
		{name: "k25-e-1", text: rsaText(1, n), want: authz.ErrKeyRSAExponent},
		{name: "k25-e-2", text: rsaText(2, n), want: authz.ErrKeyRSAExponent},
		{name: "k25-e-3", text: rsaText(3, n), want: authz.ErrKeyRSAExponent},
		{name: "k25-e-35", text: rsaText(35, n), want: authz.ErrKeyRSAExponent},
		{name: "k25-e-65535", text: rsaText(65535, n), want: authz.ErrKeyRSAExponent},
		{name: "k25-e-even", text: rsaText(65538, n), want: authz.ErrKeyRSAExponent},
		{name: "k25-e-2^24+1", text: rsaText(1<<24+1, n), want: authz.ErrKeyRSAExponent},
		{name: "k25-e-2^64+1", text: rsaBig(new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), 64), big.NewInt(1)), n), want: authz.ErrKeyRSAExponent},
		{name: "k25-e-3-sealed", text: rsaText(3, n), policy: authz.KeyPolicy{Sealed: true}, want: authz.ErrKeyRSAExponent},
		{name: "k25-e-65539", text: rsaText(65539, n), kept: rsaText(65539, n)},
		{name: "k25-e-2^24-1", text: rsaText(1<<24-1, n), kept: rsaText(1<<24-1, n)},
		{name: "k26-prime", text: text(primeAbove(new(big.Int).Lsh(big.NewInt(1), 2047))), want: authz.ErrKeyRSAModulus},
		{name: "k26-square", text: text(new(big.Int).Mul(p, p)), want: authz.ErrKeyRSAModulus},
		{name: "k26-even", text: text(times(n, 2)), want: authz.ErrKeyRSAModulus},
		{name: "k26-even-sealed", text: text(times(n, 2)), policy: authz.KeyPolicy{Sealed: true}, want: authz.ErrKeyRSAModulus},
		{name: "k26-factor-3", text: text(times(n, 3)), want: authz.ErrKeyRSAModulus},
		{name: "k26-factor-32749", text: text(times(n, 32749)), want: authz.ErrKeyRSAModulus}, // the largest that is tried
		{name: "k26-close-primes", text: text(new(big.Int).Mul(p, near)), want: authz.ErrKeyRSAModulus},
		{name: "k26-twin-factors", text: text(new(big.Int).Mul(n, new(big.Int).Add(n, big.NewInt(2)))), want: authz.ErrKeyRSAModulus},
	}
	// A sealed key was searched for factors when it was accepted.
	return append(cases, keyCase{name: "k26-close-primes-sealed", text: text(new(big.Int).Mul(p, near)),
		kept: text(new(big.Int).Mul(p, near)), policy: authz.KeyPolicy{Sealed: true}},
		keyCase{name: "negative-modulus", text: "ssh-rsa " + wireForm([]byte("ssh-rsa"), []byte{1, 0, 1}, bytes.Repeat([]byte{0xff}, 256)), want: authz.ErrKeyNotCanonical},
		keyCase{name: "padded-modulus", text: "ssh-rsa " + wireForm([]byte("ssh-rsa"), []byte{1, 0, 1}, append([]byte{0}, mpint(n)...)), want: authz.ErrKeyNotCanonical},
		keyCase{name: "padded-exponent", text: "ssh-rsa " + wireForm([]byte("ssh-rsa"), []byte{0, 1, 0, 1}, mpint(n)), want: authz.ErrKeyNotCanonical},
		keyCase{name: "third-number", text: "ssh-rsa " + wireForm([]byte("ssh-rsa"), []byte{1, 0, 1}, mpint(n), []byte{1}), want: authz.ErrKeyLength},
	)
}

func ed25519Cases() []keyCase {
	cases := []keyCase{
		{name: "k21-identity", text: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", want: authz.ErrKeyWeakPoint},
		{name: "k22-all-zero", text: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", want: authz.ErrKeyWeakPoint},
	}
	ff := strings.Repeat("ff", 30)
	for want, points := range map[*name.Refusal][]string{
		authz.ErrKeyWeakPoint: {
			"01" + strings.Repeat("00", 31), strings.Repeat("00", 32), "ec" + ff + "7f",
			"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
			"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		},
		authz.ErrKeyNotCanonical: {"ed" + ff + "7f", "ee" + ff + "7f", "ef" + ff + "7f", "ff" + ff + "7f"},
		authz.ErrKeyBadPoint:     {"02" + strings.Repeat("00", 31)},
	} {
		for _, point := range points {
			raw, err := hex.DecodeString(point)
			if err != nil {
				panic(err)
			}
			for _, sign := range []byte{0, 0x80} {
				raw[31] ^= sign
				id := "k23-k24-" + hex.EncodeToString(raw)
				cases = append(cases,
					keyCase{name: id, want: want, text: "ssh-ed25519 " + wireForm([]byte("ssh-ed25519"), raw)},
					keyCase{name: id + "-sealed", want: want, text: "ssh-ed25519 " + wireForm([]byte("ssh-ed25519"), raw), policy: authz.KeyPolicy{Sealed: true}},
					keyCase{name: id + "-sk", want: want,
						text: "sk-ssh-ed25519@openssh.com " + wireForm([]byte("sk-ssh-ed25519@openssh.com"), raw, []byte("ssh:"))})
			}
		}
	}
	return cases
}

func ecdsaCases() []keyCase {
	var cases []keyCase
	for typ, curve := range map[string]elliptic.Curve{
		"ecdsa-sha2-nistp256": elliptic.P256(), "ecdsa-sha2-nistp384": elliptic.P384(), "ecdsa-sha2-nistp521": elliptic.P521(),
		"sk-ecdsa-sha2-nistp256@openssh.com": elliptic.P256(),
	} {
		curveName := "nistp" + big.NewInt(int64(curve.Params().BitSize)).String()
		good := ecdsaPoint(curve)
		off := bytes.Clone(good)
		off[len(off)-1] ^= 1
		size := (len(good) - 1) / 2
		compressed := append([]byte{2 + good[len(good)-1]&1}, good[1:1+size]...)
		hybrid := append([]byte{6 + good[len(good)-1]&1}, good[1:]...)
		text := func(curveName string, point []byte) string {
			parts := [][]byte{[]byte(typ), []byte(curveName), point}
			if strings.HasPrefix(typ, "sk-") {
				parts = append(parts, []byte("ssh:"))
			}
			return typ + " " + wireForm(parts...)
		}
		cases = append(cases,
			keyCase{name: "k27-good-" + typ, text: text(curveName, good), kept: text(curveName, good)},
			keyCase{name: "k27-off-curve-" + typ, text: text(curveName, off), want: authz.ErrKeyBadPoint},
			keyCase{name: "k27-infinity-" + typ, text: text(curveName, []byte{0}), want: authz.ErrKeyBadPoint},
			keyCase{name: "k27-nothing-" + typ, text: text(curveName, nil), want: authz.ErrKeyBadPoint},
			keyCase{name: "k27-compressed-" + typ, text: text(curveName, compressed), want: authz.ErrKeyBadPoint},
			keyCase{name: "k27-hybrid-" + typ, text: text(curveName, hybrid), want: authz.ErrKeyBadPoint},
			keyCase{name: "k27-zeros-" + typ, text: text(curveName, append([]byte{4}, make([]byte, 2*size)...)), want: authz.ErrKeyBadPoint},
			keyCase{name: "k27-other-curve-" + typ, text: text("nistp224", good), want: authz.ErrKeyBadPoint},
			keyCase{name: "k27-long-" + typ, text: text(curveName, append(bytes.Clone(good), 0)), want: authz.ErrKeyBadPoint},
			keyCase{name: "k27-junk-" + typ, text: typ + " " + junk(strings.Fields(text(curveName, good))[1], "junk"), want: authz.ErrKeyLength},
		)
	}
	const sk = "sk-ecdsa-sha2-nistp256@openssh.com"
	cases = append(cases, keyCase{name: "sk-ecdsa-application-with-nul", want: authz.ErrKeyApplication,
		text: sk + " " + wireForm([]byte(sk), []byte("nistp256"), ecdsaPoint(elliptic.P256()), []byte("s\x00h:"))})
	return append(cases, keyCase{name: "k27-curve-is-not-the-type", want: authz.ErrKeyBadPoint,
		text: "ecdsa-sha2-nistp256 " + wireForm([]byte("ecdsa-sha2-nistp256"), []byte("nistp384"), ecdsaPoint(elliptic.P384()))})
}

// TestParseKey_Time holds every costly text to a bounded cost (requirement R10, T-K17). The
// 50 ms of the requirement belong to a machine; the unit here is an exponentiation of
// 4096 bits, timed beside it, the best of five each. Seen were 1.5 of them.
func TestParseKey_Time(t *testing.T) {
	texts := map[string]string{
		"prime-4096":    rsaText(65537, primeAbove(new(big.Int).Lsh(big.NewInt(1), 4095))),
		"accepted-4096": rsaText(65537, modulus(4096)),
		"16384":         rsaText(65537, modulus(16384)),
		"32768":         rsaText(65537, modulus(32768)),
		"1-MiB":         rsaText(65537, new(big.Int).Lsh(big.NewInt(1), 8<<20)),
		"exponent":      rsaBig(modulus(16384), modulus(16384)),
		"words":         strings.Repeat("AAAA ", authz.MaxKeyText/5),
		"short-strings": "ssh-rsa " + base64.StdEncoding.EncodeToString(make([]byte, 6000)),
		"begin":         strings.Repeat("BEGIN ", 1<<20),
	}
	n := modulus(4096)
	for situation, text := range texts {
		t.Run(situation, func(t *testing.T) {
			floor, best := time.Hour, time.Hour
			for range 5 {
				start := time.Now()
				new(big.Int).Exp(big.NewInt(3), n, n)
				middle := time.Now()
				_, _ = authz.ParseKey(text, authz.KeyPolicy{}) // what it says is the business of TestParseKey
				floor, best = min(floor, middle.Sub(start)), min(best, time.Since(middle))
			}
			ratio := float64(best) / float64(floor)
			t.Logf("%v, %.2f exponentiations", best, ratio)
			if ratio > 15 {
				t.Errorf("took %.1f exponentiations of 4096 bits", ratio)
			}
		})
	}
}

func TestKey_Fingerprint(t *testing.T) {
	k := mustKey(t, "ssh-ed25519 "+keyA)
	sum := sha256.Sum256(rawKey(keyA))
	if want := "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:]); k.Fingerprint() != want {
		t.Errorf("got %s, want %s", k.Fingerprint(), want)
	}
	if k.Type() != "ssh-ed25519" || k.IsZero() || k == mustKey(t, "ssh-ed25519 "+keyB) || k != mustKey(t, "ssh-ed25519 "+keyA+" other") {
		t.Errorf("key %v has the wrong type or equality", k)
	}
	if none := (authz.Key{}); none.Fingerprint() != "" || none.String() != "" || !none.IsZero() {
		t.Errorf("the zero key prints as %q, fingerprint %q", none, none.Fingerprint())
	}
}

func mustKey(t testing.TB, text string) authz.Key {
	t.Helper()
	k, err := authz.ParseKey(text, authz.KeyPolicy{})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// wireForm prints strings as SSH does, in base64.
func wireForm(parts ...[]byte) string {
	var b []byte
	for _, p := range parts {
		b = binary.BigEndian.AppendUint32(b, uint32(len(p)))
		b = append(b, p...)
	}
	return base64.StdEncoding.EncodeToString(b)
}

func skText(application string) string {
	const typ = "sk-ssh-ed25519@openssh.com"
	return typ + " " + wireForm([]byte(typ), rawKey(keyA)[19:], []byte(application))
}

func rawKey(blob string) []byte {
	raw, err := base64.StdEncoding.DecodeString(blob)
	if err != nil {
		panic(err)
	}
	return raw
}

func junk(blob, tail string) string {
	return base64.StdEncoding.EncodeToString(append(rawKey(blob), tail...))
}

func mpint(n *big.Int) []byte {
	b := n.Bytes()
	if len(b) > 0 && b[0]&0x80 != 0 {
		b = append([]byte{0}, b...)
	}
	return b
}

func rsaText(e int64, n *big.Int) string { return rsaBig(big.NewInt(e), n) }

func rsaBig(e, n *big.Int) string {
	return "ssh-rsa " + wireForm([]byte("ssh-rsa"), mpint(e), mpint(n))
}

// modulus returns a number of so many bits that a search for factors leaves
// alone: the same one each time, with no prime factor below 2^15, and not prime.
// It stands for the product of two primes, which would take minutes to make at
// the larger sizes.
func modulus(bits int) *big.Int {
	var stream []byte
	for block := uint32(0); len(stream)*8 < bits; block++ {
		sum := sha256.Sum256(binary.BigEndian.AppendUint32([]byte("modulus"), block))
		stream = append(stream, sum[:]...)
	}
	n := new(big.Int).SetBytes(stream)
	n.Rsh(n, uint(len(stream)*8-bits))
	n.SetBit(n, bits-1, 1).SetBit(n, bits-2, 0).SetBit(n, 0, 1)
	small := new(big.Int).MulRange(2, 1<<15)
	rest, two := new(big.Int), big.NewInt(2)
	for rest.GCD(nil, nil, n, new(big.Int).Rem(small, n)); rest.BitLen() > 1; {
		n.Add(n, two)
		rest.GCD(nil, nil, n, new(big.Int).Rem(small, n))
	}
	return n
}

// primeAbove returns a prime not far above n.
func primeAbove(n *big.Int) *big.Int {
	p := new(big.Int).SetBit(n, 0, 1)
	for two := big.NewInt(2); !p.ProbablyPrime(0); {
		p.Add(p, two)
	}
	return p
}

func ecdsaPoint(curve elliptic.Curve) []byte {
	secret := bytes.Repeat([]byte{1}, (curve.Params().BitSize+7)/8) // the same key each time
	secret[0] = 0
	key, err := ecdsa.ParseRawPrivateKey(curve, secret)
	if err != nil {
		panic(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	return point
}
