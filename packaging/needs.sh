#!/bin/sh
# Installs, by Debian package name, what the tests, the demonstration and the
# measurements need. Says and does nothing when everything is there. Asks for
# root, through sudo, only when something is missing.
set -eu

# debootstrap, debian-archive-keyring, systemd-container: whole machines to test on.
# openssh, sudo, iproute2, util-linux, procps: the real tools the tests drive.
# awscli, python3-boto3: the stock AWS clients.
# strace: faults injected into system calls, flushes counted.
# gcc, libc6-dev: the race detector, and the C program that the hook is measured against.
packages="debootstrap debian-archive-keyring systemd-container
	openssh-server openssh-client sudo iproute2 util-linux procps
	awscli python3-boto3 strace gcc libc6-dev"

# npm, with "test" only: the policy evaluator that ours is checked against, and the
# AWS client for JavaScript. A machine may have it from elsewhere, which Debian's
# own would clash with.
if [ "${1-}" = test ] && ! command -v npm >/dev/null; then
	packages="$packages nodejs npm"
fi

missing() {
	for package in $packages; do
		status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || status=
		[ "$status" = installed ] || printf '%s ' "$package"
	done
}

if ! command -v dpkg-query >/dev/null; then
	echo "needs: this is no Debian system; install what these packages hold: $(echo $packages)" >&2
	exit 1
fi
wanted=$(missing)
[ -n "$wanted" ] || exit 0
if [ "$(id -u)" != 0 ]; then
	exec sudo -- sh "$0" "$@"
fi

echo "needs: installing $wanted"
log=$(mktemp)
# A machine that only runs tests must not get a running sshd out of it: Debian
# starts a service when its package is installed, unless this program, which
# invoke-rc.d and systemd's maintainer scripts ask, answers 101. One that an
# administrator put there is left alone; one of ours was left by a run that was
# killed.
guard=/usr/sbin/policy-rc.d
ours='# Put here by the needs of a test run, and taken away at its end.'
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT TERM HUP
if [ ! -e "$guard" ] || grep -qxF "$ours" "$guard"; then
	trap 'rm -f "$log" "$guard"' EXIT
	printf '#!/bin/sh\n%s\nexit 101\n' "$ours" >"$guard"
	chmod 755 "$guard"
fi
install() {
	DEBIAN_FRONTEND=noninteractive apt-get install -y -o DPkg::Lock::Timeout=300 --no-install-recommends $wanted >"$log" 2>&1 </dev/null
}
# The package lists may be old or not there at all; a source of packages that
# does not answer need not be one of those we need.
if ! install; then
	apt-get update >>"$log" 2>&1 </dev/null || true
	if ! install; then
		cat "$log" >&2
		echo "needs: apt-get did not install: $(missing)" >&2
		exit 1
	fi
fi
# Nor may it start with the next boot, where it was not there before.
case " $wanted " in
*" openssh-server "*)
	if command -v systemctl >/dev/null; then
		systemctl disable ssh.service ssh.socket >/dev/null 2>&1 || true
	fi
	;;
esac
