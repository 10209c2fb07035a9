package plan_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"latchkey/agent/plan"
)

const (
	begin = "# latchkey begin: latchkey-agent writes the lines from here to the end, and undoes changes\n"
	done  = "# latchkey end\n"
)

// TestSetBlock holds R41 and T-F15: the user's own lines stay to the byte, and a file
// that is not understood stays as it is.
func TestSetBlock(t *testing.T) {
	t.Parallel()
	const lines = "ssh-ed25519 AAAA alice\n"
	tests := map[string]struct {
		file, lines, want string
		err               error
	}{
		"no-file":               {"", lines, begin + lines + done, nil},
		"no-file-no-lines":      {"", "", "", nil},
		"own-lines":             {"own\n\n # x\n", lines, "own\n\n # x\n" + begin + lines + done, nil},
		"no-final-newline":      {"own", lines, "own\n" + begin + lines + done, nil},
		"no-lines-no-newline":   {"own", "", "own", nil},
		"between":               {"a\n" + begin + "old\n" + done + "b", lines, "a\n" + begin + lines + done + "b", nil},
		"equal":                 {"a\n" + begin + lines + done, lines, "a\n" + begin + lines + done, nil},
		"taken-out":             {"a\n" + begin + lines + done + "b\n", "", "a\nb\n", nil},
		"taken-out-alone":       {begin + lines + done, "", "", nil},
		"empty-block":           {begin + done, "", "", nil},
		"end-without-newline":   {begin + "old\n" + strings.TrimSuffix(done, "\n"), lines, begin + lines + done, nil},
		"other-comment":         {"# of latchkey\n", lines, "# of latchkey\n" + begin + lines + done, nil},
		"begin-alone":           {begin + lines, lines, "", plan.ErrBlock},
		"end-alone":             {lines + done, lines, "", plan.ErrBlock},
		"end-alone-taken-out":   {lines + done, "", "", plan.ErrBlock},
		"disorder":              {done + begin, lines, "", plan.ErrBlock},
		"twice":                 {begin + lines + done + begin + lines + done, lines, "", plan.ErrBlock},
		"nested":                {begin + begin + lines + done + done, lines, "", plan.ErrBlock},
		"begin-half-deleted":    {begin[:20] + "\n" + lines + done, lines, "", plan.ErrBlock},
		"end-half-deleted":      {begin + lines + "# latchkey e\n", lines, "", plan.ErrBlock},
		"begin-cut-at-front":    {"#" + strings.TrimPrefix(begin, "# ") + lines + done, lines, "", plan.ErrBlock},
		"mark-with-blank":       {" " + begin + lines + done, lines, "", plan.ErrBlock},
		"mark-joined":           {begin + lines + strings.TrimSuffix(done, "\n") + " own\n", lines, "", plan.ErrBlock},
		"carriage-returns":      {"own\r\n", lines, "", plan.ErrBlockForm},
		"ours-with-returns":     {strings.ReplaceAll(begin+lines+done, "\n", "\r\n"), "", "", plan.ErrBlockForm},
		"byte-order-mark":       {"\ufeffown\n", lines, "", plan.ErrBlockForm},
		"two-bytes-a-character": {"\xff\xfeo\x00\n\x00", lines, "", plan.ErrBlockForm},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := plan.SetBlock([]byte(test.file), []byte(test.lines))
			if string(got) != test.want || !errors.Is(err, test.err) || (err == nil) != (test.err == nil) {
				t.Errorf("SetBlock = %q, %v; want %q, %v", got, err, test.want, test.err)
			}
		})
	}
}

// FuzzSetBlock holds T-F15: whatever the file, what is put in is read back, what was
// the user's is still there, and a second time changes nothing.
func FuzzSetBlock(f *testing.F) {
	f.Add([]byte("own\n"), "key\n")
	f.Add([]byte("own\n"+begin+"x\n"+done+"more"), "key\nkey\n")
	f.Add([]byte(begin+begin+done), "")
	f.Add([]byte("own\r\n"), "key\n")
	f.Add([]byte("own"), "")
	f.Fuzz(func(t *testing.T, file []byte, text string) {
		lines := keysOnly(text)
		before := bytes.Clone(file)
		with, err := plan.SetBlock(file, lines)
		if !bytes.Equal(file, before) {
			t.Fatal("the argument was changed")
		}
		if err != nil {
			return
		}
		got, found, err := plan.ReadBlock(with)
		if err != nil || got != string(lines) || found != (len(lines) > 0) {
			t.Fatalf("%q reads as %q, %v, %v", with, got, found, err)
		}
		if again, err := plan.SetBlock(with, lines); err != nil || !bytes.Equal(again, with) {
			t.Fatalf("a second time gives %q, %v", again, err)
		}
		own, err := plan.SetBlock(file, nil)
		if err != nil {
			t.Fatal(err)
		}
		without, err := plan.SetBlock(with, nil)
		if err != nil || !bytes.Equal(without, own) && string(without) != string(own)+"\n" {
			t.Fatalf("without it is %q, %v; the user's own is %q", without, err, own)
		}
		for line := range strings.Lines(string(own)) {
			if !strings.Contains(string(with), line) {
				t.Fatalf("%q has lost %q", with, line)
			}
		}
	})
}

// TestOwnLines: what is not ours keeps its place.
func TestOwnLines(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"a\n" + begin + "x\ny\n" + done + "b": "a\n\n\n\n\nb", "a\nb": "a\nb", begin + "x\n": begin + "x\n", "": "",
	} {
		if got := string(plan.OwnLines([]byte(file))); got != want {
			t.Errorf("OwnLines(%q) = %q, want %q", file, got, want)
		}
	}
}

// keysOnly makes of any text what the block may hold: whole lines that are no comments.
func keysOnly(text string) []byte {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if line = strings.Trim(line, "\r\n\x00 \t#\ufeff"); line != "" && !strings.ContainsAny(line, "\r\x00") && !strings.Contains(line, "\ufeff") {
			b.WriteString("k" + line + "\n")
		}
	}
	return []byte(b.String())
}
