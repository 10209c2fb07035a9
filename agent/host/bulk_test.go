package host

import (
	"io/fs"
	"testing"
)

// TestPlainAccounts: systemd-sysusers would lose or change what is not plain.
func TestPlainAccounts(t *testing.T) {
	const (
		passwd  = "root:x:0:0:root:/root:/bin/bash\nalice:x:1000:1000:,,:/home/alice:/bin/sh\n"
		shadow  = "root:*:19000:0:99999:7:::\nalice:$6$x$y:19000::::::\n"
		group   = "root:x:0:\nadm:x:4:alice,root\n"
		gshadow = "root:*::\nadm:!:root:alice,root\n"
	)
	for name, c := range map[string]struct {
		passwd, shadow, group, gshadow string
		want                           bool
	}{
		"plain":             {passwd, shadow, group, gshadow, true},
		"empty":             {"", "", "", "", true},
		"comment":           {passwd + "# hello\n", shadow, group, gshadow, false},
		"whole-comment":     {passwd + "#a:x:1:1::/:/bin/sh\n", shadow, group, gshadow, false},
		"empty-line":        {passwd + "\n", shadow, group, gshadow, false},
		"no-end":            {passwd[:len(passwd)-1], shadow, group, gshadow, false},
		"nis":               {passwd + "+::::::\n", shadow, group, gshadow, false},
		"nis-user":          {passwd + "-bob:x:1:1::/:/bin/sh\n", shadow, group, gshadow, false},
		"leading-zero":      {passwd + "bob:x:01001:1::/:/bin/sh\n", shadow, group, gshadow, false},
		"no-uid":            {passwd + "bob:x::1::/:/bin/sh\n", shadow, group, gshadow, false},
		"too-few":           {passwd, shadow + "bob:*:1\n", group, gshadow, false},
		"shadow-negative":   {passwd, shadow + "bob:*:-1::::::\n", group, gshadow, false},
		"group-no-gid":      {passwd, shadow, group + "x:x::\n", gshadow, false},
		"group-empty-names": {passwd, shadow, group + "x:x:5:a,,b\n", gshadow, false},
		"group-comma":       {passwd, shadow, group + "x:x:5:a,\n", gshadow, false},
		"gshadow-blank":     {passwd, shadow, group, gshadow + "x:!::a, b\n", false},
		"gshadow-fields":    {passwd, shadow, group, gshadow + "x:!:\n", false},
	} {
		if got := plainAccounts(c.passwd, c.shadow, c.group, c.gshadow); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestPlainUseradd(t *testing.T) {
	for text, want := range map[string]bool{
		"": true, "SHELL=/bin/sh\n# SKEL=/x\n": true, "SKEL=/etc/skel\n": true, "SKEL=\"/etc/skel\"\nCREATE_MAIL_SPOOL=no\n": true,
		"SKEL=/usr/etc/skel\n": false, "CREATE_MAIL_SPOOL=yes\n": false, " CREATE_MAIL_SPOOL=\"yes\"": false,
	} {
		if got := plainUseradd(text); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
}

func TestHomeMode(t *testing.T) {
	const refused = fs.FileMode(1)
	for text, want := range map[string]fs.FileMode{
		"": 0o755, "UMASK\t\t022\n": 0o755, "UMASK 077\n": 0o700, "UMASK 027\nHOME_MODE 0700\n": 0o700, "# HOME_MODE 0700\n": 0o755,
		"HOME_MODE 0750 # for us\n": 0o750, "UMASK 002\n": refused, "HOME_MODE 0770\n": refused, "HOME_MODE 1777\n": refused,
		"HOME_MODE rwx\n": refused, "UMASK 099\n": refused,
	} {
		mode, err := homeMode(text)
		if err != nil {
			mode = refused
		}
		if mode != want {
			t.Errorf("%q: %o, %v", text, mode, err)
		}
	}
}

// TestOnlyFiles: where a directory service may know a name it is asked.
func TestOnlyFiles(t *testing.T) {
	for text, want := range map[string]bool{
		"": false, "passwd: files\n": true, "passwd:\t files # x\n": true, " passwd : files\n": true, "passwd: files systemd\n": false,
		"passwd: compat\n": false, "passwd: files [NOTFOUND=return] sss\n": false, "#passwd: files\n": false, "passwd:\n": false,
		"passwd: files\npasswd: sss\n": false, "passwd: sss\npasswd: files\n": false, "group: files\n": false, "passwd_compat: files\n": false,
	} {
		if got := onlyFiles(text, "passwd"); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
}

func TestSoundSysusers(t *testing.T) {
	for version, want := range map[string]bool{
		"systemd 247 (247.3-7+deb11u5)\n+PAM +AUDIT\n": false, "systemd 252 (252.39-1~deb12u2)\n": true, "systemd 257 (257.13-1~deb13u1)\n": true,
		"systemd 252\n": true, "systemd 260~rc1 (x)\n": false, "systemd": false, "": false, "257": false,
	} {
		if got := soundSysusers(version); got != want {
			t.Errorf("%q: %t", version, got)
		}
	}
}

// TestAtOnce: the more accounts there are the fewer are made at once, never too few to
// be worth it.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ accounts, want int }{{0, 4000}, {40, 3960}, {4000, 2000}, {36_000, 400}, {10_000_000, many}} {
		if got := atOnce(test.accounts); got != test.want {
			t.Errorf("atOnce(%d) = %d, want %d", test.accounts, got, test.want)
		}
	}
}
