#!/bin/sh
# Installs the npm packages that a folder's package.json and package-lock.json pin
# into a folder of their own outside the repository, once, and prints that folder.
# Without LATCHKEY_NO_SKIP, which make test sets, it installs nothing: it fails when
# they are not there yet.
set -eu

hash=$(cat "$1/package.json" "$1/package-lock.json" | sha256sum | cut -c 1-16)
folder=${LATCHKEY_CACHE:-/var/cache/latchkey-test}/npm-$hash
if [ ! -e "$folder/installed" ]; then
	if [ -z "${LATCHKEY_NO_SKIP-}" ]; then
		echo "the packages of $1 are not installed; make test installs them" >&2
		exit 1
	fi
	mkdir -p "$folder"
	cp "$1/package.json" "$1/package-lock.json" "$folder"
	(cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund >&2)
	: >"$folder/installed"
fi
echo "$folder"
