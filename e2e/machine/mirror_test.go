package machine

import "testing"

func TestPickMirror(t *testing.T) {
	const bookworm = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_CODENAME=bookworm\nID=debian\n"
	for name, c := range map[string]struct {
		oneLine, deb822, osRelease, want string
	}{
		"one-line": {oneLine: "deb http://mirror.test/debian bookworm main contrib\n", want: "http://mirror.test/debian"},
		"one-line-with-options": {
			oneLine: "deb [ arch=amd64 signed-by=/usr/share/keyrings/a.gpg ]\thttps://mirror.test/debian bookworm main # ours\n",
			want:    "https://mirror.test/debian",
		},
		"one-line-after-others": {
			oneLine: "# deb http://commented.test/ bookworm main\ndeb-src http://source.test/ bookworm main\n" +
				"deb http://security.test/ bookworm-security main\ndeb http://extra.test/ stable extra\n" +
				"deb cdrom:[Debian]/ bookworm main\ndeb file:/srv/debian bookworm main\n",
			want: "file:/srv/debian",
		},
		"deb822": {
			deb822: "Types: deb deb-src\n# a comment\nURIs: http://mirror.test/debian\nSuites: bookworm bookworm-updates\nComponents: main\n",
			want:   "http://mirror.test/debian",
		},
		"deb822-continued-and-disabled": {
			deb822: "Enabled: no\nTypes: deb\nURIs: http://disabled.test/\nSuites: bookworm\nComponents: main\n\n" +
				"types: deb\nuris:\n ftp://old.test/debian\n http://mirror.test/debian\nsuites: bookworm\ncomponents: contrib\n main\n",
			want: "http://mirror.test/debian",
		},
		"deb822-source-only":     {deb822: "Types: deb-src\nURIs: http://mirror.test/\nSuites: bookworm\nComponents: main\n"},
		"other-release":          {oneLine: "deb http://mirror.test/debian sid main\n"},
		"nothing":                {},
		"nonsense":               {oneLine: "deb\ndeb [\ndeb ]\ndebhttp://x bookworm main\n", deb822: ":\n\n\n a\nTypes deb\n"},
		"other-system":           {oneLine: "deb http://mirror.test/ubuntu jammy main\n", osRelease: "ID=ubuntu\nVERSION_CODENAME=jammy\n"},
		"system-without-release": {oneLine: "deb http://mirror.test/debian  main\n", osRelease: "ID=debian\n"},
	} {
		t.Run(name, func(t *testing.T) {
			system := c.osRelease
			if system == "" {
				system = bookworm
			}
			if got := pickMirror(append(oneLine(c.oneLine), deb822(c.deb822)...), system); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
