package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"latchkey/authz"
	"latchkey/authz/wire"
	"latchkey/cmd/internal/cli"
)

// TestMain makes this test binary the program "latchkey" for the scripts.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"latchkey": func() { os.Exit(cli.Main(newCommand())) },
	})
}

// TestScripts runs testdata/script, one file a noun. Beside testscript's own
// commands there are:
//
//	ready                wait until the server started last says that it serves
//	refused CODE PROG…   run; it must fail with this status, print nothing, and say
//	                     on stderr one fact, a hint or none, and no more
//	status CODE PROG…    run; it must end with this status, say nothing on stderr, and answer
//	keep NAME            put what was printed last into a variable
//	join TOKEN           enrol an instance with a token, as the agent would
//	report FILE          send a report as the instance that joined last; $NOW in it is
//	                     the present instant
//	terminate            send SIGTERM to what runs in the background
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"ready": ready, "refused": refused, "status": status, "keep": keep, "join": join, "report": sendReport, "terminate": sends(syscall.SIGTERM),
		},
	})
}

type notifications struct{}

// setup gives a script a service manager's socket, and the data directory "data"
// as the one to use.
func setup(env *testscript.Env) error {
	dir, err := os.MkdirTemp("", "lk") // short: a socket's path has 107 bytes
	if err != nil {
		return err
	}
	socket := filepath.Join(dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	env.Values[notifications{}] = conn
	env.Defer(func() {
		conn.Close()
		os.RemoveAll(dir)
	})
	env.Setenv("NOTIFY_SOCKET", socket)
	env.Setenv("LATCHKEY_DATA_DIR", filepath.Join(env.WorkDir, "data"))
	return nil
}

func ready(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: ready")
	}
	conn := ts.Value(notifications{}).(*net.UnixConn)
	ts.Check(conn.SetReadDeadline(time.Now().Add(30 * time.Second)))
	var b [64]byte
	n, err := conn.Read(b[:])
	ts.Check(err)
	if got := string(b[:n]); got != "READY=1" {
		ts.Fatalf("the server said %q", got)
	}
}

func refused(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: refused CODE PROGRAM [ARGUMENT...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || strconv.Itoa(exit.ExitCode()) != args[0] {
		ts.Fatalf("ended with %v, want status %s", err, args[0])
	}
	if out := ts.ReadFile("stdout"); out != "" {
		ts.Fatalf("printed %q", out)
	}
	lines := strings.Split(strings.TrimSuffix(ts.ReadFile("stderr"), "\n"), "\n")
	if !strings.HasPrefix(lines[0], "latchkey: ") || len(lines) > 2 || len(lines) == 2 && !strings.HasPrefix(lines[1], "hint: ") {
		ts.Fatalf("said %q", lines)
	}
}

func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status CODE PROGRAM [ARGUMENT...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || strconv.Itoa(exit.ExitCode()) != args[0] {
		ts.Fatalf("ended with %v, want status %s", err, args[0])
	}
	if said := ts.ReadFile("stderr"); said != "" || ts.ReadFile("stdout") == "" {
		ts.Fatalf("said %q", said)
	}
}

// sends is a command that sends a signal to what runs in the background.
func sends(signal syscall.Signal) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) != 0 {
			ts.Fatalf("usage: it takes no argument")
		}
		for _, cmd := range ts.BackgroundCmds() {
			ts.Check(cmd.Process.Signal(signal))
		}
	}
}

func keep(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: keep NAME")
	}
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
}

// server returns where the server is and a client that trusts it.
func server(ts *testscript.TestScript) (string, *http.Client) {
	at, err := readEndpoint(ts.MkAbs("data"))
	ts.Check(err)
	text, err := os.ReadFile(at.CA)
	ts.Check(err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	return at.URL, &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}}
}

func sendReport(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: report FILE")
	}
	var r wire.Report
	ts.Check(json.Unmarshal([]byte(strings.ReplaceAll(ts.ReadFile(args[0]), "$NOW", wire.FormatTime(time.Now()))), &r))
	body, err := wire.Encode(r)
	ts.Check(err)
	id, err := authz.ParseInstanceID(ts.Getenv("INSTANCE"))
	ts.Check(err)
	key := ed25519.NewKeyFromSeed([]byte(ts.ReadFile("instance.seed")))
	url, client := server(ts)
	const target = "/agent/v1/report"
	req, err := http.NewRequest(http.MethodPost, url+target, bytes.NewReader(body))
	ts.Check(err)
	req.Header.Set("Authorization", wire.SignRequest(key, id, req.Method, target, body, time.Now()))
	resp, err := client.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		answer, _ := io.ReadAll(resp.Body)
		ts.Fatalf("report: %s: %s", resp.Status, answer)
	}
}

func join(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: join TOKEN")
	}
	token, err := wire.ParseJoinToken(args[0])
	ts.Check(err)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("instance.seed"), key.Seed(), 0o600))
	e := wire.Enroll{Secret: token.Secret(), Facts: wire.Facts{Hostname: "host-1", OS: "linux", Platform: "debian 12", Agent: "1.0"}}
	e.Sign(key)
	body, err := wire.Encode(e)
	ts.Check(err)
	url, client := server(ts)
	resp, err := client.Post(url+"/agent/v1/enroll", "application/json", bytes.NewReader(body))
	ts.Check(err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	ts.Check(err)
	if resp.StatusCode != http.StatusOK {
		ts.Fatalf("enrol: %s: %s", resp.Status, answer)
	}
	var enrolled wire.Enrolled
	ts.Check(wire.Decode(answer, &enrolled))
	ts.Setenv("INSTANCE", enrolled.Instance)
}
