package e2e_test

import (
	"strings"
)

// dropIns holds T-H9 in part, with the real sshd: where our drop-in would have no effect, or
// sshd would not start with it, or can not be asked, it is not left in, it is said why,
// and the account for emergencies logs in. Where another's file only looks as if it were
// in the way, it works.
func (c *crash) dropIns(user string) {
	const dropIn, theirs = "/etc/ssh/sshd_config.d/10-latchkey.conf", "/etc/ssh/sshd_config.d/05-theirs.conf"
	c.breakGlass()
	c.run(c.name, "cp", "-a", "/etc/ssh/sshd_config", "/root/sshd_config")
	for situation, s := range map[string]struct {
		spoil, mend string
		says        string // "": it works
	}{
		"no-include":       {"sed -i '/^Include/d' /etc/ssh/sshd_config", "", "is there an Include"},
		"inside-a-match":   {`sed -i 's/^Include.*/Match User nobody\n&\nMatch all/' /etc/ssh/sshd_config`, "", "is there an Include"},
		"another-is-first": {"printf 'Match all\\nAuthorizedKeysCommand /usr/bin/false\\nAuthorizedKeysCommandUser nobody\\n' >" + theirs, "", "/usr/bin/false"},
		"include-of-another-is-first": {"printf 'Match Group latchkey\\nAuthorizedKeysCommand /usr/bin/false\\nAuthorizedKeysCommandUser nobody\\n' >/etc/ssh/earlier.conf; " +
			"sed -i '1i Include /etc/ssh/earlier.conf' /etc/ssh/sshd_config", "rm /etc/ssh/earlier.conf", "/usr/bin/false"},
		"another-is-broken":     {"echo Garbage yes >" + theirs, "", "Garbage"},
		"another-for-everybody": {"printf 'AuthorizedKeysCommand /usr/bin/false\\nAuthorizedKeysCommandUser nobody\\n' >" + theirs, "", ""},
		"a-match-of-another":    {"printf 'Match User nobody\\n\\tX11Forwarding no\\n' >" + theirs, "", ""},
		"no-sshd-to-ask":        {"mv /usr/sbin/sshd /usr/sbin/sshd.away", "mv /usr/sbin/sshd.away /usr/sbin/sshd", "sshd"},
		"the-reload-goes-awry":  {"mkdir -p /run/systemd/system/ssh.service.d; printf '[Service]\\nExecReload=\\nExecReload=/bin/false\\n' >/run/systemd/system/ssh.service.d/x.conf; systemctl daemon-reload", "rm /run/systemd/system/ssh.service.d/x.conf; systemctl daemon-reload", "ssh"},
		"the-reload-is-ignored": {"mkdir -p /run/systemd/system/ssh.service.d; printf '[Service]\\nExecReload=\\nExecReload=/bin/true\\n' >/run/systemd/system/ssh.service.d/x.conf; systemctl daemon-reload", "rm /run/systemd/system/ssh.service.d/x.conf; systemctl daemon-reload", "goes on with the configuration that it had"},
	} {
		c.sub(situation, func() {
			c.run(c.name, "latchkey-agent", "sshd", "disable")
			c.run(c.name, "sh", "-c", s.spoil)
			out, err := c.machines[c.name].Run(c.t.Context(), "latchkey-agent", "sshd", "enable")
			if (err == nil) != (s.says == "") || err != nil && !strings.Contains(err.Error(), s.says) {
				c.t.Errorf("sshd enable gives %v %s", err, out)
			}
			left := c.run(c.name, "sh", "-c", "ls "+dropIn+" 2>/dev/null || true")
			if (left == "") != (s.says != "") {
				c.t.Errorf("left is %q", left)
			}
			if s.mend != "" {
				c.run(c.name, "sh", "-c", s.mend)
			}
			c.wantLogin(c.name, "deby", "in, root")
			if s.says == "" {
				c.wantLogin(c.name, user, "in, root")
			}
			c.run(c.name, "sh", "-c", "rm -f "+theirs+"; cp -a /root/sshd_config /etc/ssh/sshd_config; systemctl reload ssh")
		})
	}
	c.run(c.name, "latchkey-agent", "sshd", "enable")
	c.wantLogin(c.name, user, "in, root")
}
