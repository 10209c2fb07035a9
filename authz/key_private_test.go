package authz_test

import (
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/authz"
)

// keyPrivateCases are frames of private keys with nothing real in them.
func keyPrivateCases() []keyCase {
	frame := func(kind string) string {
		return "-----BEGIN " + kind + "-----\nAAAA\n-----END " + kind + "-----\n"
	}
	texts := map[string]string{
		"openssh":        frame("OPENSSH PRIVATE KEY"),
		"pkcs-1":         frame("RSA PRIVATE KEY"),
		"pkcs-8":         frame("PRIVATE KEY"),
		"encrypted":      frame("ENCRYPTED PRIVATE KEY"),
		"ec":             frame("EC PRIVATE KEY"),
		"ssh-com":        "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nAAAA\n---- END SSH2 ENCRYPTED PRIVATE KEY ----\n",
		"ssh-1":          "SSH PRIVATE KEY FILE FORMAT 1.1\n\x00",
		"putty":          "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nPrivate-Lines: 1\nAAAA\n",
		"putty-tail":     "Private-Lines: 1\nAAAA\nPrivate-MAC: 00\n",
		"crlf":           strings.ReplaceAll(frame("OPENSSH PRIVATE KEY"), "\n", "\r\n"),
		"on-one-line":    strings.ReplaceAll(frame("OPENSSH PRIVATE KEY"), "\n", " "),
		"lower-case":     strings.ToLower(frame("RSA PRIVATE KEY")),
		"head-alone":     "-----BEGIN OPENSSH PRIVATE KEY",
		"tail-alone":     "AAAA\n-----END RSA PRIVATE KEY-----",
		"body-alone":     base64.StdEncoding.EncodeToString([]byte("openssh-key-v1\x00AAAA")),
		"behind-a-key":   "ssh-ed25519 " + keyA + "\n" + frame("OPENSSH PRIVATE KEY"),
		"behind-a-type":  "ssh-ed25519 " + base64.StdEncoding.EncodeToString([]byte("openssh-key-v1\x00")),
		"longer-than-8k": frame("RSA PRIVATE KEY") + strings.Repeat("A", 1<<20),
	}
	var cases []keyCase
	for situation, text := range texts {
		cases = append(cases, keyCase{name: "k29-" + situation, text: text, want: authz.ErrKeyPrivate})
	}
	return append(cases,
		keyCase{name: "k29-far-behind", text: strings.Repeat("A", authz.MaxKeyText) + frame("RSA PRIVATE KEY"), want: authz.ErrKeyTooLong},
		keyCase{name: "k29-public-pem", text: "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", want: authz.ErrKeyLines},
		keyCase{name: "k29-comment-of-two-words", text: "ssh-ed25519 " + keyA + " my private key", kept: "ssh-ed25519 " + keyA})
}

// TestParseKey_PrivateFiles gives real private key files of every format that
// ssh-keygen writes to the parser, whole and in part (requirement R8 and T-K29 in
// part).
func TestParseKey_PrivateFiles(t *testing.T) {
	needTool(t, "ssh-keygen")
	for format, args := range map[string][]string{
		"openssh":           {"-t", "ed25519", "-N", ""},
		"openssh-encrypted": {"-t", "ed25519", "-N", "swordfish"},
		"openssh-rsa":       {"-t", "rsa", "-b", "2048", "-N", ""},
		"pem":               {"-t", "rsa", "-b", "2048", "-N", "", "-m", "PEM"},
		"pem-encrypted":     {"-t", "rsa", "-b", "2048", "-N", "swordfish", "-m", "PEM"},
		"pem-ecdsa":         {"-t", "ecdsa", "-N", "", "-m", "PEM"},
		"pkcs-8":            {"-t", "ecdsa", "-N", "", "-m", "PKCS8"},
		"pkcs-8-encrypted":  {"-t", "ecdsa", "-N", "swordfish", "-m", "PKCS8"},
	} {
		t.Run(format, func(t *testing.T) {
			file := keygen(t, args...)
			text := readFile(t, file)
			lines := strings.Split(strings.TrimSpace(text), "\n")
			for part, pasted := range map[string]string{
				"whole":        text,
				"one-line":     strings.Join(lines, " "),
				"without-tail": strings.Join(lines[:len(lines)-1], "\n"),
				"without-head": strings.Join(lines[1:], "\n"),
			} {
				if _, err := authz.ParseKey(pasted, authz.KeyPolicy{}); err != error(authz.ErrKeyPrivate) {
					t.Errorf("%s: got error %v, want %v", part, err, authz.ErrKeyPrivate)
				}
			}
		})
	}
}

// needTool ends the test when a program is missing: as a failure where nothing
// may be skipped.
func needTool(t testing.TB, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err == nil {
		return
	}
	if os.Getenv("LATCHKEY_NO_SKIP") == "1" {
		t.Fatalf("%s is not installed", program)
	}
	t.Skipf("%s is not installed", program)
}

// keygen makes a key pair and returns the private key's file.
func keygen(t testing.TB, args ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	out, err := exec.Command("ssh-keygen", append([]string{"-q", "-C", "alice@laptop", "-f", file}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("ssh-keygen %v: %v\n%s", args, err, out)
	}
	return file
}

func readFile(t testing.TB, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
