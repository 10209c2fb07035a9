package host

import (
	"slices"
	"strings"
	"testing"
)

func TestKeyLines(t *testing.T) {
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c"
	for text, want := range map[string]string{
		key:                                   "1 ",
		"  " + key + " a comment\r\n":         "1 ",
		"#" + key + "\n" + key:                "2 ",
		`no-pty,command="a b" ` + key:         `1 no-pty,command="a b"`,
		`command="a\" b" ` + key:              `1 command="a\" b"`,
		`environment="A=ssh-rsa AAAA" ` + key: `1 environment="A=ssh-rsa AAAA"`,
		"":                                    "",
		"ssh-rsa" + key[11:]:                  "bad",
		"ssh-ed25519":                         "bad",
		"ssh-ed25519 %%%":                     "bad",
		"ssh-ed25519 AAAA":                    "bad",
		"ssh-ed25519 //////8AAA==":            "bad",
		`command="open ` + key:                "bad",
		"root:$y$secret:1::":                  "bad",
	} {
		keys, bad := keyLines(text)
		got := ""
		for _, k := range keys {
			got = strings.Repeat("?", len(keys)-1) + string(rune('0'+k.number)) + " " + k.options
			if k.typ != "ssh-ed25519" || k.fingerprint != "SHA256:fe85JkIjo8VPe+XqXJGH5Mau1EMFdK1OdKvJUFicyA8" {
				t.Errorf("%q gives the key %+v", text, k)
			}
		}
		if bad > 0 {
			got = "bad"
		}
		if got != want {
			t.Errorf("%q gives %q, want %q", text, got, want)
		}
	}
}

func FuzzKeyLines(f *testing.F) {
	f.Add("a=\"\\\" ssh-ed25519 AAAA\n")
	f.Fuzz(func(t *testing.T, text string) {
		keys, _ := keyLines(text)
		for _, k := range keys {
			if k.typ == "" || strings.ContainsAny(k.typ+k.fingerprint, "\n \t") || k.number < 1 {
				t.Errorf("%q gives %+v", text, k)
			}
		}
	})
}

func TestKeyPath(t *testing.T) {
	for pattern, want := range map[string]string{
		".ssh/authorized_keys": "/home/bob/.ssh/authorized_keys", "%h/.ssh/k": "/home/bob/.ssh/k", "/etc/ssh/%u": "/etc/ssh/bob",
		"/k/%U": "/k/1001", "/k/%%": "/k/%", "/k/%u/../x": "/k/x", "%": "", "/k/%": "", "/k/%x": "",
	} {
		if got, ok := keyPath(pattern, "bob", "/home/bob", 1001); got != want || ok != (want != "") {
			t.Errorf("%q gives %q, %t", pattern, got, ok)
		}
	}
	if _, ok := keyPath("x", "bob", "", 1); ok {
		t.Error("without a home there is a path")
	}
}

func TestSudoSpec(t *testing.T) {
	for line, want := range map[string]string{
		"root ALL=(ALL) ALL":          "root|ALL=(ALL) ALL",
		"a,b , c,  d ALL=ALL":         "a,b , c,  d|ALL=ALL",
		"%admin\tALL=(ALL) ALL":       "%admin|ALL=(ALL) ALL",
		`"a b" ALL=ALL`:               `"a b"|ALL=ALL`,
		`a\ b ALL=ALL`:                `a\ b|ALL=ALL`,
		"ALL, ! bob ALL=ALL":          "ALL, ! bob|ALL=ALL",
		"Defaults:bob !authenticate":  "",
		"Defaults secure_path=\"/x\"": "",
		"User_Alias A = bob":          "",
		"Cmnd_Alias X = /bin/ls":      "",
		"nonsense":                    "",
		"x=y":                         "",
	} {
		who, rule, ok := sudoSpec(line)
		got := ""
		if ok {
			got = who + "|" + rule
		}
		if got != want {
			t.Errorf("%q gives %q, want %q", line, got, want)
		}
	}
}

func TestSudoLines(t *testing.T) {
	text := "# c\na ALL=ALL # c\n#1000 ALL=ALL\n#includedir /x\n #includedir /x\n%#27 ALL=ALL\nb \\\n ALL=\\\nALL\n\"c#d\" ALL=ALL\ne\\#f ALL=ALL\ng \\"
	var got []string
	for _, l := range sudoLines(text) {
		if l.text != "" {
			got = append(got, string(rune('0'+l.number))+" "+l.text)
		}
	}
	want := []string{"2 a ALL=ALL", "3 #1000 ALL=ALL", "4 #includedir /x", "6 %#27 ALL=ALL", "7 b   ALL= ALL", ": \"c#d\" ALL=ALL", "; e\\#f ALL=ALL", "< g"}
	if !slices.Equal(got, want) {
		t.Errorf("it gives %q, want %q", got, want)
	}
}

func TestSudoInclude(t *testing.T) {
	for line, want := range map[string]string{
		"@include /etc/x": "/etc/x file", "#include x": "x file", `@include "/a b" `: "/a b file", `@include /a\ b`: `/a\ file`,
		"@includedir /etc/sudoers.d": "/etc/sudoers.d folder", "#includedir /etc/sudoers.d": "/etc/sudoers.d folder", "@includes x": "", "@include": "", "include x": "",
	} {
		name, folder, ok := sudoInclude(line)
		got := ""
		if ok {
			got = name + map[bool]string{true: " folder", false: " file"}[folder]
		}
		if got != want {
			t.Errorf("%q gives %q, want %q", line, got, want)
		}
	}
}

func TestSSHDOptions(t *testing.T) {
	for args, want := range map[string]string{
		"sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups":                              "yes",
		"sshd: /usr/sbin/sshd -D -o AllowUsers a b -oUsePAM=no -p 22 -f /x [listener] 0 of 10": "yes -o|AllowUsers a b -o|UsePAM=no -f|/x",
		"/usr/sbin/sshd\x00-D\x00-o\x00AllowUsers a b":                                         "yes -o|AllowUsers a b",
		"/usr/sbin/sshd\x00-i":                "",
		"sshd: alice [priv]":                  "",
		"sshd: alice@pts/0":                   "",
		"sshd: /usr/sbin/sshd -D":             "",
		"sshd: evil -o X=y [listener] 0 of 1": "",
		"/usr/bin/vim\x00sshd":                "",
		"":                                    "",
		"/usr/sbin/sshd\x00-o":                "yes",
	} {
		options, ok := sshdOptions(strings.Split(args, "\x00"))
		got := ""
		if ok {
			got = "yes"
		}
		for i := 0; i+1 < len(options); i += 2 {
			got += " " + options[i] + "|" + options[i+1]
		}
		if got != want {
			t.Errorf("%q gives %q, want %q", args, got, want)
		}
	}
}

func TestPAMRules(t *testing.T) {
	text := "# c\n@include common-account\naccount\trequired pam_nologin.so\n-account [success=1 default=ignore] /lib/security/pam_access.so x # y\nauth include other\n" +
		"account include sys\naccount \\\n substack auth\nsession required pam_access.so\naccount [broken\n"
	want := []pamRule{{include: "common-account"}, {module: "pam_nologin.so"}, {module: "pam_access.so"}, {include: "sys"}, {include: "auth"}}
	if got := pamRules(text); !slices.Equal(got, want) {
		t.Errorf("it gives %+v", got)
	}
}
