// Package e2e holds the tests of whole machines: the real sshd, sudo, useradd and
// systemd, driven by the stock AWS client. The machines are made by e2e/machine,
// the control plane and its instances by e2e/fleet.
package e2e
