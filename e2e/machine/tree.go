package machine

import (
	"cmp"
	"context"
	"os"
)

// Tree returns a folder with an installed Debian system of a release ("bookworm"),
// to make machines of. The first call for a release and package list builds it
// with debootstrap, in about a minute, from the Debian mirror that this system's
// apt is set to; later calls, also of other programs, find it. A tree under
// construction has another name, and a lock keeps a second builder waiting, so a
// tree that is found is whole.
//
// It lies in cacheDir; if that is empty, in $LATCHKEY_CACHE; and if that is empty,
// in /var/cache/latchkey-test. progress, unless nil, gets a line for each thing
// that happens while others wait. The end of ctx ends the building, and leaves
// nothing of it.
//
// Errors: ErrNotRoot, ErrMissingTool, and whatever debootstrap said, with its
// last lines.
func Tree(ctx context.Context, release, cacheDir string, progress func(line string)) (string, error) {
	if progress == nil {
		progress = func(string) {}
	}
	return tree(ctx, release, cmp.Or(cacheDir, os.Getenv("LATCHKEY_CACHE"), "/var/cache/latchkey-test"), progress)
}
