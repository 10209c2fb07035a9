package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// inMachineTrace holds R59, R62, R153 in part, T-H5 in part and T-L13 in part: what the
// program that ships asks of the kernel, run as its user, from where it begins to the end.
// It opens the account's file and, for a key that is not in it, the one in which root may
// have kept another's command; it connects to nothing, starts nothing, locks nothing, lists
// no folder, and says nothing of a key or an account that it does not know. A hundred
// thousand accounts make no difference to that; what they make to the time is P4 of the
// measurements. That it drops groups stdoutNeverRead shows, that its user has no other role
// testHookUser of agent/host, and what it is linked of checkHook of the laws.
func inMachineTrace(t *testing.T) {
	need(t, lookTool("strace") != "", "strace (package strace)")
	const open = "geteuid\nopenat " + keyFolder
	const read = "fstat 3\nread 3\nread 3\nclose 3\n"
	const kept = "openat " + displacedFile + "\n"
	const end = "exit_group "
	const refused = "geteuid\nwrite 2\nwrite 2\n" + end + "2\n"
	questions := map[string]struct {
		args  []string
		steps string
	}{
		"key-found":   {[]string{"alice", "20001", typ, keyA}, open + "/alice\n" + read + "write 1\n" + end + "0\n"},
		"other-key":   {[]string{"alice", "20001", typ, keyB}, open + "/alice\n" + read + kept + end + "0\n"},
		"no-file":     {[]string{"mallory", "20009", typ, keyA}, open + "/mallory\n" + end + "0\n"},
		"other-uid":   {[]string{"alice", "20002", typ, keyA}, open + "/alice\n" + read + "write 2\n" + end + "1\n"},
		"root":        {[]string{"root", "0", typ, keyA}, refused},
		"not-a-name":  {[]string{"alice;id", "20001", typ, keyA}, refused},
		"folder-name": {[]string{"../alice", "20001", typ, keyA}, refused},
	}
	must(t, syscall.Mount("tmpfs", keyFolder, "tmpfs", 0, "mode=755"))
	defer func() { must(t, syscall.Unmount(keyFolder, syscall.MNT_DETACH)) }()
	putKeys(t, fileOfA)
	made := 0
	for _, accounts := range []int{10, 100_000} {
		for ; made < accounts; made++ {
			must(t, os.WriteFile(fmt.Sprint(keyFolder, "/user", made), nil, 0o640))
		}
		for situation, q := range questions {
			t.Run(fmt.Sprint(situation, "-among-", accounts), func(t *testing.T) {
				if diff := cmp.Diff(q.steps, traced(t, q.args)); diff != "" {
					t.Errorf("it asks the kernel for (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// Calls that Go's runtime makes: for memory and for threads of this process at any time,
// and before our own first act, to see where it is.
var (
	anytime = regexp.MustCompile(`^(mmap|munmap|tgkill) |^clone .*CLONE_THREAD`)
	before  = regexp.MustCompile(`^(read|pread64|close) |^(execve|arch_prctl|prctl)\b|^fcntl [012], F_GET(FD|FL)\b|^openat AT_FDCWD, "/(proc/self|sys)/[^"]*", O_RDONLY`)
	aCall   = regexp.MustCompile(`^\d+ +(\w+)\(([^)<]*)`)
)

// traced runs the program under strace as the hook's user and returns what it asked for
// that has to do with files, descriptors, processes, the network or other users, from
// its first act, which is to set the deadline (R61 in part).
func traced(t *testing.T, question []string) string {
	t.Helper()
	const file = "/var/lib/etc/trace"
	cmd := exec.Command(lookTool("strace"), append([]string{"-f", "-qq", "-u", "latchkey-keys", "-o", file, "-e", "signal=none",
		"-e", "trace=%file,%desc,%network,%process,%ipc,%creds,timer_settime", program}, question...)...)
	cmd.Env = []string{}
	if out, err := cmd.CombinedOutput(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() > exitUsage {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(file)
	must(t, err)
	armed, ended := false, false
	var steps strings.Builder
	for line := range strings.Lines(string(text)) {
		call := aCall.FindStringSubmatch(line)
		if call == nil || ended {
			continue // the end of a call that another thread's stands in; strace may repeat the last one
		}
		whole := call[1] + " " + call[2]
		switch {
		case call[1] == "timer_settime":
			armed = strings.Contains(line, fmt.Sprintf("it_value={tv_sec=0, tv_nsec=%d}", deadline*1_000_000))
		case anytime.MatchString(whole) || !armed && before.MatchString(whole):
		default:
			ended = call[1] == "exit_group"
			steps.WriteString(strings.TrimSpace(call[1]+" "+operand(call[2])) + "\n")
		}
	}
	if !armed {
		t.Errorf("it sets no deadline:\n%s", text)
	}
	return steps.String()
}

// operand is the descriptor or the path of a call: its first argument, or the one behind
// that for the folder in which it is.
func operand(arguments string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(arguments, "AT_FDCWD, "), ",")
	return strings.Trim(first, `" `)
}
