package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"

	"latchkey/agent/plan"
	"latchkey/agent/safefile"
	"latchkey/authz"
)

// The account files. They are read whole: 100,000 accounts are about 8 MB.
const (
	passwdFile = "/etc/passwd"
	shadowFile = "/etc/shadow"
	groupFile  = "/etc/group"

	maxAccountFile = 256 << 20
	maxOurFile     = 16 << 20
)

// Observe looks at everything that a plan for the grants and the ledger can
// concern. It changes nothing.
func (h *Host) Observe(ctx context.Context, grants []authz.Grant, owned plan.Ledger) (plan.State, error) {
	hostname, err := os.Hostname()
	if err != nil {
		return plan.State{}, fmt.Errorf("read host name: %w", err)
	}
	s := plan.State{Hostname: hostname}
	if s.Accounts, s.Groups, err = h.observeAccounts(); err != nil {
		return plan.State{}, err
	}
	if err := h.askNSS(ctx, &s, grants, owned); err != nil {
		return plan.State{}, err
	}
	if s.Files, err = h.observeFiles(); err != nil {
		return plan.State{}, err
	}
	s.Homes = h.observeHomes(grants, owned, s.Accounts)
	if s.Blocks, err = h.observeBlocks(owned, s.Homes); err != nil {
		return plan.State{}, err
	}
	s.SudoReason = h.lookSudo(ctx)
	s.SudoEffective = s.SudoReason == nil
	version, _ := h.sudoVersion(ctx) // lookSudo has said what is wrong
	s.SudoEndless = sudoKind(version) == sudoRS
	if slices.ContainsFunc(grants, func(g authz.Grant) bool { return !g.NotAfter.IsZero() }) {
		s.SSHDEndless, _ = h.sshdEndless(ctx) // what could not be looked at is as it was
	}
	s.Scheduled = h.observeScheduled(owned)
	if s.Left, err = h.observeLeft(grants, owned, s.Accounts); err != nil {
		return plan.State{}, err
	}
	s.Hook, s.Shell = h.checkHook(), h.checkShell()
	if s.Processes, err = processesOf(leaving(grants, owned)); err != nil {
		return plan.State{}, err
	}
	return s, nil
}

// observeAccounts reads the account files. To read them as accounts takes many times as
// long, so that is done when they have changed. The maps are not to be changed.
func (h *Host) observeAccounts() (map[string]plan.Account, map[string]plan.Group, error) {
	text, err := readAll(passwdFile, shadowFile, groupFile)
	if err != nil {
		return nil, nil, err
	}
	if r := &h.accounts; !slices.Equal(r.text, text) {
		r.text = text
		r.accounts, r.groups = readAccounts(text[0], text[1], text[2])
	}
	return h.accounts.accounts, h.accounts.groups, nil
}

// optional reads a settings file, empty where there is none.
func optional(path string) (string, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return string(content), err
}

func readAll(paths ...string) ([]string, error) {
	var out []string
	for _, p := range paths {
		content, err := os.ReadFile(p)
		if err != nil {
			return nil, fmt.Errorf("read account file: %w", err)
		}
		if len(content) > maxAccountFile {
			return nil, fmt.Errorf("read account file %s: larger than %d bytes", p, maxAccountFile)
		}
		out = append(out, string(content))
	}
	return out, nil
}

// askNSS adds accounts and groups that only a directory service knows, for the
// names and ids of accounts that are still to be made: they must not clash
// (requirement R15). getent ends with 2 when a key has no answer. Where there is no
// directory service the account files have said everything.
func (h *Host) askNSS(ctx context.Context, s *plan.State, grants []authz.Grant, owned plan.Ledger) error {
	services, err := optional("/etc/nsswitch.conf")
	if err != nil {
		return fmt.Errorf("read name services: %w", err)
	}
	if onlyFiles(services, "passwd") && onlyFiles(services, "group") {
		return nil
	}
	var keys []string
	for _, g := range grants {
		if own, ours := owned.Accounts[g.Username]; !ours || own.UID != g.UID {
			keys = append(keys, g.Username.String(), g.UID.String())
		}
	}
	if len(keys) > 0 {
		s.Accounts, s.Groups = maps.Clone(s.Accounts), maps.Clone(s.Groups)
	}
	const atOnce = 500
	for len(keys) > 0 {
		some := keys[:min(atOnce, len(keys))]
		keys = keys[len(some):]
		passwd, err := h.run(ctx, "getent", append([]string{"passwd", "--"}, some...)...)
		if err != nil && exitCode(err) != 2 {
			return fmt.Errorf("look up accounts: %w", err)
		}
		group, err := h.run(ctx, "getent", append([]string{"group", "--"}, some...)...)
		if err != nil && exitCode(err) != 2 {
			return fmt.Errorf("look up groups: %w", err)
		}
		accounts, groups := readAccounts(passwd, "", group)
		for name, a := range accounts {
			if _, known := s.Accounts[name]; !known {
				s.Accounts[name] = a
			}
		}
		for name, g := range groups {
			if _, known := s.Groups[name]; !known {
				s.Groups[name] = g
			}
		}
	}
	return nil
}

// observeFiles reads our folder and drop-ins. What is there but is not a plain
// file, or can not be read, is marked as that, so that a plan replaces or removes
// it and the writer refuses it with its reason.
func (h *Host) observeFiles() (map[string]plan.File, error) {
	l := h.Layout
	files := map[string]plan.File{}
	for _, p := range []string{l.StateDir, l.KeysDir, l.Displaced, l.Sudoers, l.SSHD} {
		status, err := safefile.StatusOf(p)
		err = addFile(files, p, status, err, func() ([]byte, error) {
			content, _, err := safefile.Read(p, maxOurFile)
			return content, err
		})
		if err != nil {
			return nil, err
		}
	}
	return files, h.observeKeys(files)
}

// observeKeys adds the files of the key folder: there are as many as users, so the
// way to it is gone once, and what did not change since it was read is not read again.
func (h *Host) observeKeys(files map[string]plan.File) (faults error) {
	dir := h.Layout.KeysDir
	err := h.keyFiles.ReadIn(dir, maxOurFile, func(r safefile.Reader) {
		var names []string
		names, faults = r.Names()
		for _, name := range names {
			status, err := r.Status(name)
			err = addFile(files, dir+"/"+name, status, err, func() ([]byte, error) { return r.Read(name, status) })
			if faults = err; err != nil {
				return
			}
		}
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return observeUnread(files, dir, err)
	}
	return faults
}

// observeUnread adds the files of a folder that can not be read safely.
func observeUnread(files map[string]plan.File, dir string, why error) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("list key folder: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		status, err := safefile.StatusOf(path)
		if err := addFile(files, path, status, err, func() ([]byte, error) { return nil, why }); err != nil {
			return err
		}
	}
	return nil
}

// addFile adds what is at a path, or why it could not be looked at, to files, nothing
// where nothing is.
func addFile(files map[string]plan.File, path string, s safefile.Status, err error, read func() ([]byte, error)) error {
	var f plan.File
	switch {
	case err == nil:
		f, err = observeFile(s, read)
	case !errors.Is(err, fs.ErrNotExist) && !shortage(err):
		f, err = plan.File{Unread: true}, nil
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err == nil:
		files[path] = f
	}
	return err
}

func observeFile(s safefile.Status, read func() ([]byte, error)) (f plan.File, err error) {
	f = plan.File{UID: s.UID, GID: s.GID, Mode: s.Mode & 0o7777, Folder: s.Folder()}
	switch {
	case f.Folder:
		return f, nil
	case !s.Plain():
		f.Odd = true
		return f, nil
	}
	f.Content, err = read()
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrNotExist), shortage(err):
		return f, err
	case errors.Is(err, safefile.ErrTooLong):
		f.Odd = true // we wrote no such thing, and it must not stop a revocation
	default:
		// A bad disk, or a folder that others may change: that must not stop what
		// concerns others. The step that writes the file says what is in its way.
		f.Unread = true
	}
	return f, nil
}

// shortage reports whether an error is about this process or system, and says nothing
// of the file.
func shortage(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.EINTR)
}

// observeHomes looks at homes without following a link. The home of who has his
// account and keeps it is his own matter, and there may be very many.
func (h *Host) observeHomes(grants []authz.Grant, owned plan.Ledger, accounts map[string]plan.Account) map[string]plan.Folder {
	var homes []string
	kept := make(map[authz.Username]bool, len(grants))
	for _, g := range grants {
		own, account := owned.Accounts[g.Username], accounts[g.Username.String()]
		kept[g.Username] = own.State == plan.Present && own.UID == g.UID && account.UID == uint32(g.UID) && !account.Locked() && !own.Block
		if _, ours := owned.Accounts[g.Username]; !ours {
			homes = append(homes, h.Layout.Home(g.Username))
		}
	}
	going := h.goneHomes()
	for u, own := range owned.Accounts {
		if !kept[u] {
			homes = append(homes, h.Layout.Home(u))
		}
		if gone := h.Layout.GoneHome(u, own.UID); going(gone) {
			homes = append(homes, gone)
		}
	}
	return h.folders(homes...)
}

// homesListed is how long the folder of the homes may take to be listed: then what is looked
// for is looked at name by name.
const homesListed = time.Second

// goneHomes lists the folder of the homes, which may not answer, and says of which paths
// in it there may be something: of every one where it could not be listed.
func (h *Host) goneHomes() func(path string) bool {
	type answer struct {
		names []string
		err   error
	}
	base := h.Layout.HomeBase
	listed := ask(&h.stuck, base, func() (a answer) {
		dir, err := os.Open(base)
		if err != nil {
			return answer{err: err}
		}
		defer dir.Close()
		a.names, a.err = dir.Readdirnames(-1)
		return a
	})
	a, silent := within(listed, time.After(homesListed))
	if err := errors.Join(a.err, silent); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return func(string) bool { return true }
	}
	gone := map[string]bool{}
	for _, name := range a.names {
		if h.Layout.IsGoneHome(name) {
			gone[base+"/"+name] = true
		}
	}
	return func(path string) bool { return gone[path] }
}

// folders looks at folders without following a link. One that does not answer, or can
// not be looked at, is there and not read.
func (h *Host) folders(paths ...string) map[string]plan.Folder {
	seen := map[string]plan.Folder{}
	spots := make([]spot, len(paths))
	for i, path := range paths {
		spots[i] = spot{kind: "folder", path: path, base: filepath.Dir(path)}
	}
	askEach(&h.stuck, spots, func(i int) folderOrNone { return lookFolder(paths[i]) }, func(i int, f folderOrNone, err error) {
		if err != nil {
			f = folderOrNone{found: true, folder: plan.Folder{Unread: true}}
		}
		f.put(seen, paths[i])
	})
	return seen
}

// folderOrNone is what was seen at a path.
type folderOrNone struct {
	found  bool
	folder plan.Folder
}

func (f folderOrNone) put(into map[string]plan.Folder, path string) {
	if f.found {
		into[path] = f.folder
	}
}

func lookFolder(path string) folderOrNone {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return folderOrNone{}
	case err != nil:
		return folderOrNone{true, plan.Folder{Unread: true}}
	}
	return folderOrNone{true, plan.Folder{Real: info.IsDir(), UID: info.Sys().(*syscall.Stat_t).Uid}}
}

// leaving returns the uids of our accounts that no grant keeps.
func leaving(grants []authz.Grant, owned plan.Ledger) map[authz.UID]bool {
	uids := map[authz.UID]bool{}
	for _, own := range owned.Accounts {
		uids[own.UID] = true
	}
	for _, g := range grants {
		if own, ours := owned.Accounts[g.Username]; ours && own.UID == g.UID {
			delete(uids, g.UID)
		}
	}
	return uids
}

// processesOf counts the processes whose real uid is one of uids. The owner of
// /proc/PID would not do: it is root for a process that may not be dumped, such
// as sshd's own child for a session.
func processesOf(uids map[authz.UID]bool) (map[authz.UID]int, error) {
	count := map[authz.UID]int{}
	if len(uids) == 0 {
		return count, nil
	}
	err := eachProcess(func(pid int, uid uint32) {
		if uids[authz.UID(uid)] {
			count[authz.UID(uid)]++
		}
	})
	return count, err
}

// eachProcess calls f with every live process and its real uid. Zombies are not
// alive.
func eachProcess(f func(pid int, uid uint32)) error {
	dir, err := os.Open("/proc")
	if err != nil {
		return fmt.Errorf("list processes: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("list processes: %w", err)
	}
	sort.Strings(names)
	for _, n := range names {
		pid, err := strconv.Atoi(n)
		if err != nil {
			continue
		}
		if uid, alive := realUID(pid); alive {
			f(pid, uid)
		}
	}
	return nil
}

// realUID reads proc(5)'s status; a process that has ended is not alive.
func realUID(pid int) (uint32, bool) {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(status)) {
		key, value, _ := strings.Cut(line, ":")
		fields := strings.Fields(value)
		switch {
		case len(fields) == 0:
		case key == "State" && (fields[0] == "Z" || fields[0] == "X"):
			return 0, false
		case key == "Uid":
			uid, err := strconv.ParseUint(fields[0], 10, 32)
			return uint32(uid), err == nil
		}
	}
	return 0, false
}
