package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"latchkey/controlplane"
	"latchkey/controlplane/api"
)

// privateKeys are texts in the frames of every format that tools write, with noise of this
// run for their secrets: what is looked for afterwards cannot be there by chance.
func privateKeys() map[string]string {
	noise := func() []byte {
		b := make([]byte, 600)
		rand.Read(b)
		return b
	}
	framed := func(kind string, body []byte, headers ...string) string {
		block := &pem.Block{Type: kind, Bytes: body, Headers: map[string]string{}}
		for _, h := range headers {
			key, value, _ := strings.Cut(h, ": ")
			block.Headers[key] = value
		}
		return string(pem.EncodeToMemory(block))
	}
	lines := func() string {
		_, text, _ := strings.Cut(framed("X", noise()), "\n")
		return strings.TrimSuffix(text, "-----END X-----\n")
	}
	putty := func(version, encryption string) string {
		return "PuTTY-User-Key-File-" + version + ": ssh-rsa\nEncryption: " + encryption + "\nComment: alice@laptop\nPublic-Lines: 13\n" + lines() +
			"Private-Lines: 13\n" + lines() + fmt.Sprintf("Private-MAC: %x\n", noise()[:32])
	}
	openssh := append([]byte("openssh-key-v1\x00"), noise()...)
	return map[string]string{
		"openssh":         framed("OPENSSH PRIVATE KEY", openssh),
		"openssh-body":    base64.StdEncoding.EncodeToString(openssh),
		"one-line":        strings.ReplaceAll(framed("OPENSSH PRIVATE KEY", append([]byte("openssh-key-v1\x00"), noise()...)), "\n", " "),
		"crlf":            strings.ReplaceAll(framed("RSA PRIVATE KEY", noise()), "\n", "\r\n"),
		"pkcs-1":          framed("RSA PRIVATE KEY", noise()),
		"pkcs-1-locked":   framed("RSA PRIVATE KEY", noise(), "Proc-Type: 4,ENCRYPTED", fmt.Sprintf("DEK-Info: AES-128-CBC,%X", noise()[:16])),
		"pkcs-8":          framed("PRIVATE KEY", noise()),
		"pkcs-8-locked":   framed("ENCRYPTED PRIVATE KEY", noise()),
		"ec":              framed("EC PRIVATE KEY", noise()),
		"ssh-com":         "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\n" + lines() + "---- END SSH2 ENCRYPTED PRIVATE KEY ----\n",
		"putty-2":         putty("2", "none"),
		"putty-3":         putty("3", "none"),
		"putty-3-locked":  putty("3", "aes256-cbc\nKey-Derivation: Argon2id"),
		"after-a-comment": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c me\n" + framed("PRIVATE KEY", noise()),
	}
}

// secretsOf are the parts of a private key that must be nowhere: 20 signs of each line.
func secretsOf(text string) (secrets []string) {
	for _, word := range strings.Fields(text) {
		if len(word) > 40 && !strings.Contains(word, "AAAAC3NzaC1lZDI1NTE5") {
			secrets = append(secrets, word[20:40])
		}
	}
	return secrets
}

// pasted gives every private key to everything that takes a public one: to each action
// and to the command line. All refuse it for what it is, and then it is in no
// answer, nothing printed and no file of the data directory. The script looks into what the
// server logged, for what this puts into the file "secrets".
func pasted(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: pasted")
	}
	var told bytes.Buffer // all that anybody was told
	var secrets []string
	refuses := func(how, said, want string, times int) {
		told.WriteString(said)
		if strings.Count(said, want) != times {
			ts.Fatalf("%s: it says %s, want %q, %d times", how, said, want, times)
		}
	}
	const reason = "text holds a private key; only the public half is wanted"
	var all []controlplane.ImportedProfile
	keys := privateKeys()
	for _, format := range slices.Sorted(maps.Keys(keys)) {
		text := keys[format]
		if len(secretsOf(text)) == 0 {
			ts.Fatalf("%s: there is nothing to look for", format)
		}
		secrets = append(secrets, secretsOf(text)...)
		for action, in := range map[string]any{
			"CreateUserProfile":   controlplane.CreateUserProfileRequest{IamUserArn: userARN("mallory"), SshPublicKey: &text},
			"UpdateUserProfile":   controlplane.UpdateUserProfileRequest{IamUserArn: userARN("alice"), SshPublicKey: &text},
			"UpdateMyUserProfile": controlplane.UpdateMyUserProfileRequest{SshPublicKey: &text},
		} {
			refuses(action+" with "+format, answerTo(ts, action, in), reason, 1)
		}
		file := ts.MkAbs("pasted")
		ts.Check(os.WriteFile(file, []byte(text), 0o600))
		_ = ts.Exec("latchkey", "user", "create", "mallory", "--key-file", file) // what it says is looked at
		refuses("user create with "+format, ts.ReadFile("stdout")+ts.ReadFile("stderr"), "is a private key", 1)
		ts.Check(os.Remove(file))
		all = append(all, controlplane.ImportedProfile{IamUserArn: userARN(format), SshUsername: format, SshPublicKey: text})
	}
	body, err := json.Marshal(map[string]any{"Format": "latchkey users 1", "UserProfiles": all})
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("pasted.json"), body, 0o600))
	_ = ts.Exec("latchkey", "import", "users", ts.MkAbs("pasted.json"), "--yes")
	refuses("import users", ts.ReadFile("stdout")+ts.ReadFile("stderr"), reason, len(all))
	ts.Check(os.Remove(ts.MkAbs("pasted.json")))
	ts.Check(os.WriteFile(ts.MkAbs("secrets"), []byte(strings.Join(secrets, "\n")), 0o600))
	nowhere(ts, "what was told", told.Bytes())
}

func userARN(name string) string { return "arn:aws:iam::000000000000:user/" + name }

// answerTo sends an action and returns the whole answer, head and all.
func answerTo(ts *testscript.TestScript, action string, in any) string {
	body, err := json.Marshal(in)
	ts.Check(err)
	url, client := server(ts)
	r, err := http.NewRequest(http.MethodPost, url+"/api/v1/"+action, bytes.NewReader(body))
	ts.Check(err)
	r.Header.Set("Content-Type", "application/json")
	keyID, secret, err := readCredentials(ts.MkAbs("data/admin-credentials"))
	ts.Check(err)
	ts.Check(api.Sign(r, body, keyID, secret, "us-east-1", time.Now()))
	resp, err := client.Do(r)
	ts.Check(err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	ts.Check(err)
	if resp.StatusCode != http.StatusBadRequest {
		ts.Fatalf("%s: %s: %s", action, resp.Status, answer)
	}
	return fmt.Sprint(resp.Header) + string(answer)
}

// absent looks for the secrets in what was printed last and in every file of the data
// directory. That it would find them there shows the public key, which was taken.
func absent(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: absent PUBLIC-KEY-FILE")
	}
	nowhere(ts, "what the server said", []byte(ts.ReadFile("stdout")+ts.ReadFile("stderr")))
	taken := strings.Fields(ts.ReadFile(args[0]))[1]
	found := false
	ts.Check(filepath.WalkDir(ts.MkAbs("data"), func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		found = found || bytes.Contains(content, []byte(taken))
		nowhere(ts, path, content)
		return err
	}))
	if !found {
		ts.Fatalf("not even the public key is found")
	}
}

func nowhere(ts *testscript.TestScript, what string, content []byte) {
	for _, secret := range strings.Fields(ts.ReadFile("secrets")) {
		if bytes.Contains(content, []byte(secret)) {
			ts.Fatalf("%s holds a part of a private key, %s", what, secret)
		}
	}
}

// TestPrivateKeys holds R8 and T-K29, with the script private-key: a private key of any
// format, pasted wherever a public one is wanted, is refused as what it is and is afterwards
// in no answer, log, file of the database, audit log or trace of the server. It leaves no core.
func TestPrivateKeys(t *testing.T) {
	unit, err := os.ReadFile("../../systemd/latchkey.service")
	if err != nil || !bytes.Contains(unit, []byte("\nLimitCORE=0\n")) {
		t.Errorf("the server may leave its memory in a core file: %v", err)
	}
	testscript.Run(t, testscript.Params{
		Files: []string{"testdata/private-key.txt"}, RequireExplicitExec: true, RequireUniqueNames: true, Setup: setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"ready": ready, "pasted": pasted, "absent": absent, "trace": sends(syscall.SIGQUIT),
		},
	})
}
