package authz_test

import (
	"slices"
	"strings"
	"testing"
)

// These tests hold the architecture: they parse every Go file of the repository
// and report what breaks a law. The tables here are the whole of what is
// allowed; each check is proved able to fail in laws_proof_test.go.

// module is one package and which packages of ours it may import.
type module struct {
	path    string
	imports string // paths, or a folder and everything below it as folder/...
	tests   string // more, for its tests alone
}

// modules lists every package, lower layers first: a package imports nothing
// that stands below it. agent/… and controlplane/… meet only in authz…, cmd/… is
// imported by nobody but, within cmd/, cmd/internal. A package that is not here
// breaks the law until somebody has said what it may import.
var modules = []module{
	// Names and decisions, shared by both sides.
	{path: "authz/name"},
	{path: "authz/iam", imports: "authz/name"},
	{path: "authz", imports: "authz/name authz/iam"},
	{path: "authz/wire", imports: "authz authz/name"},

	// The agent's side. agent/hook takes names alone, so that the login hook stays small.
	{path: "agent/hook", imports: "authz/name"},
	{path: "agent/plan", imports: "authz authz/name agent/hook"},
	{path: "agent/doctor", imports: "authz agent/plan"},
	{path: "agent/safefile"},
	{path: "agent/cache", imports: "authz authz/name authz/wire agent/plan agent/safefile"},
	{path: "agent/client", imports: "authz authz/name authz/wire"},
	{path: "agent/host", imports: "authz authz/name authz/wire agent/plan agent/doctor agent/safefile", tests: "agent/hook"},
	{path: "agent", imports: "authz authz/name authz/wire agent/plan agent/doctor agent/cache agent/client", tests: "agent/host agent/safefile agent/hook"},
	{path: "agent/service"},

	// The control plane's side.
	{path: "controlplane/store", imports: "authz authz/name"},
	{path: "controlplane/datadir", imports: "authz/name authz/wire"},
	{path: "controlplane", imports: "authz authz/name authz/iam authz/wire controlplane/store controlplane/datadir"},
	{path: "controlplane/api", imports: "authz authz/name authz/wire controlplane", tests: "controlplane/store controlplane/datadir"},
	{path: "controlplane/feed", imports: "authz authz/name authz/wire controlplane controlplane/api", tests: "controlplane/store controlplane/datadir"},
	{path: "controlplane/web", imports: "authz authz/name controlplane", tests: "controlplane/store controlplane/datadir"},

	// The programs.
	{path: "cmd/internal/cli", imports: "authz/name"},
	{path: "cmd/internal/manual"},
	{path: "cmd/keys", imports: "authz/name agent/hook"},
	{path: "cmd/agent", imports: "authz/... agent/... cmd/internal/cli cmd/internal/manual"},
	{path: "cmd/controlplane", imports: "authz/... controlplane/... cmd/internal/cli cmd/internal/manual"},

	// Whole machines and measurements. They run the built programs and may look
	// into both sides.
	{path: "e2e/machine"},
	{path: "e2e/fleet", imports: "authz/... e2e/machine"},
	{path: "e2e", imports: "authz/... e2e/machine e2e/fleet", tests: "agent/... controlplane/..."},
	{path: "e2e/apimodel", tests: "authz/... controlplane/..."}, // a module of its own, for tests
	{path: "e2e/demo", imports: "e2e/machine e2e/fleet"},
	{path: "bench/peers", imports: "authz/iam"}, // a module of its own, for the engines that ours is measured beside
	{path: "bench", imports: "authz/... agent/... controlplane/... e2e/..."},
}

// pureModules import no input or output, no clock and no logger.
var pureModules = []string{"authz/name", "authz", "authz/iam", "authz/wire", "agent/plan", "agent/hook", "agent/doctor"}

// hookModules are all that cmd/keys may link of ours, directly or not: a large
// program out of the page cache shows in a login.
var hookModules = []string{"authz/name", "agent/hook"}

// systemModules hold files for one operating system (_linux.go, _windows.go).
var systemModules = []string{
	"agent/host", "agent/safefile", "agent/service", // what an instance is asked for
	"controlplane/datadir",         // the privacy of the server's own files
	"cmd/keys", "cmd/controlplane", // a process's own deadline and lock
	"e2e/machine", "bench", // booting machines
}

// wrapper is a library and the packages that may import it, of which there is one
// unless a reason stands beside it.
type wrapper struct{ library, in string }

// wrappers lists every library.
var wrappers = []wrapper{
	{"golang.org/x/crypto/ssh", "authz"},
	{"golang.org/x/mod/sumdb/note", "authz/wire agent/cache controlplane controlplane/datadir"}, // its keys are in wire's signatures
	{"golang.org/x/mod/sumdb/tlog", "controlplane"},
	{"golang.org/x/sys", "agent/host agent/safefile agent/service controlplane/datadir cmd/controlplane e2e e2e/machine"}, // system calls
	{"golang.org/x/term", "cmd/internal/cli"},
	{"golang.org/x/oauth2", "controlplane/web"},
	{"github.com/coreos/go-oidc/v3", "controlplane/web"},
	{"github.com/hashicorp/go-retryablehttp", "agent/client"},
	{"github.com/fsnotify/fsnotify", "agent"},
	{"github.com/kardianos/service", "agent/service"},
	{"filippo.io/age", "authz/wire"},
	{"modernc.org/sqlite", "controlplane/store"},
	{"github.com/jackc/pgx/v5", "controlplane/store"},
	{"github.com/pressly/goose/v3", "controlplane/store"},
	{"github.com/aws/aws-sdk-go-v2", "controlplane/api"},
	{"github.com/aws/aws-sdk-go", "e2e/apimodel"}, // a client to be tested with
	{"github.com/getkin/kin-openapi", "e2e/apimodel"},
	{"github.com/cedar-policy/cedar-go", "bench/peers"}, // what a decision is measured beside
	{"github.com/open-policy-agent/opa", "bench/peers"},
	{"github.com/prometheus/client_golang", "cmd/controlplane"},
	{"github.com/goccy/go-yaml", "cmd/internal/cli"},
	{"github.com/spf13/cobra", "cmd/internal/cli cmd/internal/manual cmd/agent cmd/controlplane"}, // commands are values of its type
	{"github.com/spf13/pflag", "cmd/internal/cli cmd/internal/manual cmd/controlplane"},
}

// testLibraries may be imported by every test, and those that nobody wraps by
// nothing else.
var testLibraries = []string{
	"github.com/google/go-cmp", "github.com/rogpeppe/go-internal", "golang.org/x/mod/modfile", "golang.org/x/mod/semver",
	"golang.org/x/mod/sumdb/note", // a test seals bundles of its own
}

// laws are the checks over the parsed tree.
var laws = []struct {
	name  string
	check func(tree) []string
}{
	{"imports", checkImports},
	{"purity", checkPurity},
	{"one-goos", checkOneGOOS},
	{"system-files", checkSystemFiles},
	{"libraries", checkLibraries},
	{"hook-stays-small", checkHook},
	{"package-comments", checkComments},
	{"package-names", checkNames},
	{"error-texts", checkErrorTexts},
	{"variables", checkVariables},
	{"exits", checkExits},
	{"no-command-channel", checkMessages},
	{"parsed-types", checkParsedTypes},
	{"verdicts", checkVerdicts},
	{"recovers", checkRecovers},
}

func TestLaws(t *testing.T) {
	root := repository(t)
	tree := readTree(t, root)
	if len(tree.files) < 20 {
		t.Fatalf("%d files found below %s", len(tree.files), root)
	}
	for _, law := range laws {
		t.Run(law.name, func(t *testing.T) {
			for _, broken := range law.check(tree) {
				t.Error(broken)
			}
		})
	}
	t.Run("verdicts-are-there", func(t *testing.T) {
		for _, missing := range undeclared(tree, verdicts) {
			t.Errorf("%s is in a table of laws and is no function", missing)
		}
	})
	t.Run("go-mod", func(t *testing.T) {
		for _, broken := range checkGoMod(readFile(t, root+"/go.mod")) {
			t.Error(broken)
		}
	})
}

// TestLaws_Table holds the table of packages itself to the laws: nothing imports
// upwards, the two sides do not meet, nobody imports a program.
func TestLaws_Table(t *testing.T) {
	if broken := checkTable(modules); len(broken) > 0 {
		t.Error(strings.Join(broken, "\n"))
	}
	for _, path := range slices.Concat(pureModules, hookModules, systemModules) {
		if _, known := find(path); !known {
			t.Errorf("%s is in a table of laws and is no package", path)
		}
	}
	for _, w := range wrappers {
		for in := range strings.FieldsSeq(w.in) {
			if _, known := find(in); !known {
				t.Errorf("%s is wrapped by %s, which is no package", w.library, in)
			}
		}
	}
}

func find(path string) (module, bool) {
	for _, m := range modules {
		if m.path == path {
			return m, true
		}
	}
	return module{}, false
}

// listed reports whether path is one of the words, or below one that ends in /....
func listed(words, path string) bool {
	for word := range strings.FieldsSeq(words) {
		folder, whole := strings.CutSuffix(word, "/...")
		if path == folder || whole && strings.HasPrefix(path, folder+"/") {
			return true
		}
	}
	return false
}
