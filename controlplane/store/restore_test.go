package store_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/authz"
	"latchkey/controlplane/store"
)

// prepare checks a backup against a database.
func prepare(t *testing.T, database, file string) *store.Restoration {
	t.Helper()
	p, err := store.Restore{Database: database}.Prepare(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func mustRestore(t *testing.T, database, file string) store.Restored {
	t.Helper()
	p := prepare(t, database, file)
	done, err := p.Commit(t.Context(), entry("restore"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	return done
}

// minute is noon's, which is what the epoch of a restore at noon is at least.
const minute = 29539440

// since makes a backup and changes after it: user u0 is deleted, u1 may do less,
// u2 and a stack are new, and of all that policies are made of there is a change.
func since(t *testing.T, dir string) (database, backup string) {
	t.Helper()
	database, backup = filepath.Join(dir, "latchkey.db"), filepath.Join(dir, "backup")
	s := newControlPlane(t, database)
	mustBackup(t, database, backup)
	mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(tx.DeleteUser(ctx, userID(0)),
			tx.SetPermission(ctx, authz.Permission{Stack: stackID(1), User: userID(1), Level: authz.LevelDeny}),
			changePolicies(ctx, tx))
	})
	insertUser(t, s, 2)
	insertStack(t, s, 2)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return database, backup
}

// TestRestore holds R21 and R133.
func TestRestore(t *testing.T) {
	dir := t.TempDir()
	database, backup := since(t, dir)
	then, before := dump(t, backup), dump(t, database)
	bytesBefore := must(os.ReadFile(backup))
	done := mustRestore(t, database, backup)
	if want := (store.Restored{Epoch: minute, Kept: database + ".before-restore-1"}); done != want {
		t.Errorf("got %+v, want %+v", done, want)
	}
	if diff := cmp.Diff(before, dump(t, done.Kept)); diff != "" {
		t.Errorf("kept: %s", diff)
	}
	if !slices.Equal(bytesBefore, must(os.ReadFile(backup))) {
		t.Error("the backup was changed")
	}
	checkRestored(t, then, dump(t, database))
	if left := files(t, dir); !slices.Equal(left, []string{"backup", "latchkey.db", "latchkey.db.before-restore-1"}) {
		t.Errorf("left %q", left)
	}
	s := mustOpen(t, database)
	expectAudit(t, s, int64(len(then["audit"]))+1)
	if p := insertUser(t, s, 3); p.UID != 20003 {
		t.Errorf("uid %s is given out again", p.UID)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	// Back again: what was kept is a backup too, and epochs only go up.
	again := mustRestore(t, database, done.Kept)
	if again.Epoch != done.Epoch+1 || again.Kept != database+".before-restore-2" {
		t.Errorf("got %+v", again)
	}
	if got := dump(t, database); !slices.Equal(got["users"], before["users"]) || !slices.Equal(got["permissions"], before["permissions"]) {
		t.Error("the kept database did not come back")
	}
}

// checkRestored holds a restored database to the backup: all that it said, but for
// the epoch, unused join tokens, uids given out since and one audit row more.
func checkRestored(t *testing.T, backup, got map[string][]string) {
	t.Helper()
	want := map[string][]string{}
	for table, lines := range backup {
		want[table] = slices.Clone(lines)
	}
	want["meta"] = slices.DeleteFunc(want["meta"], func(s string) bool { return s == "epoch|3" })
	want["meta"] = append(want["meta"], fmt.Sprint("epoch|", minute))
	want["join_tokens"] = slices.DeleteFunc(want["join_tokens"], func(s string) bool { return strings.HasPrefix(s, "hash1|") })
	want["uids"] = append(want["uids"], fmt.Sprintf("20002|%s|u2|%d", uuid(2), noon.Unix()))
	entry := fmt.Sprintf(`{"seq":%d,"at":"2026-03-01T12:00:00Z","actor":"tester","action":"restore","target":"%s","detail":`, len(backup["audit"])+1, uuid(77))
	added := slices.DeleteFunc(slices.Clone(got["audit"]), func(s string) bool { return slices.Contains(backup["audit"], s) })
	if len(added) != 1 || !strings.Contains(added[0], entry) {
		t.Errorf("audit rows added: %q, want one with %s", added, entry)
	}
	want["audit"] = append(want["audit"], added...)
	for _, lines := range want {
		slices.Sort(lines)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestRestore_Nothing(t *testing.T) {
	_, backup := since(t, t.TempDir())
	dir := t.TempDir()
	p := prepare(t, dir+"/latchkey.db", backup)
	if p.Present != nil || p.Fault != nil || p.Changes != nil {
		t.Errorf("present %+v, fault %v, changes %v", p.Present, p.Fault, p.Changes)
	}
	done, err := p.Commit(t.Context(), entry("restore"))
	if err != nil || done.Kept != "" || done.Epoch != minute {
		t.Errorf("got %+v, %v", done, err)
	}
	expectAudit(t, mustOpen(t, dir+"/latchkey.db"), p.Backup.Log.Size+1)
}

// A database that cannot be read is kept as it is, every byte, and replaced.
func TestRestore_Unreadable(t *testing.T) {
	scene := t.TempDir()
	since(t, scene)
	for _, tt := range []struct {
		name  string
		spoil func(t *testing.T, database string)
		want  error
	}{
		{"not-a-database", func(t *testing.T, db string) { put(t, db, "garbage") }, store.ErrCorrupt},
		{"empty", func(t *testing.T, db string) { put(t, db, "") }, store.ErrForeign},
		{"truncated", func(t *testing.T, db string) { put(t, db, string(must(os.ReadFile(db))[:8192])) }, store.ErrCorrupt},
		{"tampered-log", func(t *testing.T, db string) { change(t, db, untie+`DELETE FROM audit WHERE seq = 2`) }, store.ErrCorrupt},
		{"newer", func(t *testing.T, db string) { change(t, db, newerSchema) }, store.ErrNewerSchema},
		{"only-its-log", func(t *testing.T, db string) {
			put(t, db+"-wal", "log")
			if err := os.Remove(db); err != nil {
				t.Fatal(err)
			}
		}, fs.ErrNotExist},
		{"with-log", func(t *testing.T, db string) {
			put(t, db, "garbage")
			put(t, db+"-wal", "log")
			put(t, db+"-shm", "index")
			put(t, db+"-journal", "journal")
		}, store.ErrCorrupt},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := again(t, scene)
			database, backup := dir+"/latchkey.db", dir+"/backup"
			tt.spoil(t, database)
			before := map[string]string{}
			for _, name := range files(t, dir) {
				if rest, ours := strings.CutPrefix(name, "latchkey.db"); ours && rest != "-shm" {
					before[rest] = string(must(os.ReadFile(filepath.Join(dir, name))))
				}
			}
			p := prepare(t, database, backup)
			if !errors.Is(p.Fault, tt.want) || p.Present != nil || p.Changes != nil {
				t.Errorf("present %+v, fault %v, changes %v", p.Present, p.Fault, p.Changes)
			}
			done, err := p.Commit(t.Context(), entry("restore"))
			if err != nil || done.Epoch != minute {
				t.Fatalf("got %+v, %v", done, err)
			}
			kept := map[string]string{}
			for _, name := range files(t, dir) {
				if rest, ours := strings.CutPrefix(name, "latchkey.db.before-restore-1"); ours {
					kept[rest] = string(must(os.ReadFile(filepath.Join(dir, name))))
				} else if name != "backup" && name != "latchkey.db" {
					t.Errorf("left %s", name)
				}
			}
			if diff := cmp.Diff(before, kept); diff != "" {
				t.Errorf("kept (-want +got)\n%s", diff)
			}
			expectAudit(t, mustOpen(t, database), p.Backup.Log.Size+1)
		})
	}
}

// A backup by an older version, and an older database, are compared and restored;
// to be backed up a database stays at its schema, for the server that runs with it.
func TestRestore_OlderSchema(t *testing.T) {
	dir := t.TempDir()
	database, backup := dir+"/latchkey.db", dir+"/backup"
	s := store.OpenAt(t.Context(), t, database, 1)
	mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(tx.SetMeta(ctx, store.ControlPlaneID, uuid(77)), tx.SetMeta(ctx, store.Epoch, "3"))
	})
	insertUser(t, s, 1)
	mustBackup(t, database, backup)
	insertUser(t, s, 2)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before := dump(t, database)
	if diff := cmp.Diff(before["sqlite_schema"], dump(t, backup)["sqlite_schema"]); diff != "" {
		t.Errorf("the backup has another schema: %s", diff)
	}
	p := prepare(t, database, backup)
	if p.Present == nil || len(p.Changes) == 0 || len(p.Changes[0].Lost) != 1 {
		t.Fatalf("present %+v, fault %v, changes %+v", p.Present, p.Fault, p.Changes)
	}
	done, err := p.Commit(t.Context(), entry("restore"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, dump(t, done.Kept)); diff != "" {
		t.Errorf("kept: %s", diff)
	}
	newest := dump(t, database)
	mustOpen(t, database)
	if diff := cmp.Diff(newest["goose_db_version"], dump(t, database)["goose_db_version"]); diff != "" {
		t.Errorf("the restored database was not up to date: %s", diff)
	}
}

func TestRestore_InUse(t *testing.T) {
	dir := t.TempDir()
	database, backup := since(t, dir)
	before := dump(t, database)
	p := prepare(t, database, backup)
	other := mustOpen(t, database)
	mustRead(t, other, func(context.Context, store.View) error { return nil })
	if _, err := p.Commit(t.Context(), entry("restore")); !errors.Is(err, store.ErrInUse) {
		t.Errorf("got %v", err)
	}
	if err := errors.Join(p.Close(), other.Close()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, dump(t, database)); diff != "" {
		t.Error(diff)
	}
	if left := files(t, dir); !slices.Equal(left, []string{"backup", "latchkey.db"}) {
		t.Errorf("left %q", left)
	}
	t.Run("written-meanwhile", func(t *testing.T) {
		p := prepare(t, database, backup)
		insertUser(t, mustOpen(t, database), 8)
		if _, err := p.Commit(t.Context(), entry("restore")); !errors.Is(err, store.ErrInUse) {
			t.Errorf("got %v", err)
		}
		if left := files(t, dir); slices.Contains(left, "latchkey.db.before-restore-1") {
			t.Errorf("left %q", left)
		}
	})
}

func TestRestore_Link(t *testing.T) {
	real, dir := t.TempDir(), t.TempDir()
	database, backup := since(t, real)
	done := mustRestore(t, link(t, database, dir+"/latchkey.db"), backup)
	if done.Kept != database+".before-restore-1" {
		t.Errorf("kept %s", done.Kept)
	}
	checkRestored(t, dump(t, backup), dump(t, database))
}

func TestRestore_Refuses(t *testing.T) {
	dir := t.TempDir()
	database, backup := since(t, dir)
	unsealed := func(t *testing.T) []byte {
		t.Helper()
		text := must(os.ReadFile(backup))
		return text[:strings.LastIndex(string(text), "latchkey backup 1 sha256 ")]
	}
	for _, tt := range []struct {
		name string
		make func(t *testing.T, file string)
		want error
	}{
		{"no-file", func(*testing.T, string) {}, fs.ErrNotExist},
		{"folder", func(t *testing.T, file string) {
			if err := os.Mkdir(file, 0o700); err != nil {
				t.Fatal(err)
			}
		}, store.ErrForeign},
		{"empty", func(t *testing.T, file string) { put(t, file, "") }, store.ErrForeign},
		{"text", func(t *testing.T, file string) { put(t, file, strings.Repeat("no database ", 1000)) }, store.ErrForeign},
		{"header-alone", func(t *testing.T, file string) { put(t, file, "SQLite format 3\x00") }, store.ErrCorrupt},
		{"another-program's", func(t *testing.T, file string) { change(t, file, `CREATE TABLE users (id TEXT)`) }, store.ErrForeign},
		{"views-for-tables", func(t *testing.T, file string) {
			for _, name := range []string{"goose_db_version", "meta", "users", "stacks", "audit"} {
				change(t, file, "CREATE VIEW "+name+" AS SELECT 1 AS version_id")
			}
		}, store.ErrForeign},
		{"newer", func(t *testing.T, file string) {
			put(t, file, string(unsealed(t)))
			change(t, file, newerSchema)
		}, store.ErrNewerSchema},
		{"another-control-plane's", func(t *testing.T, file string) {
			put(t, file, string(unsealed(t)))
			change(t, file, `UPDATE meta SET value = 'another' WHERE key = 'control_plane'`)
		}, store.ErrOther},
		{"no-control-plane's", func(t *testing.T, file string) {
			put(t, file, string(unsealed(t)))
			change(t, file, `DELETE FROM meta`)
		}, store.ErrForeign},
		{"epoch-not-a-number", func(t *testing.T, file string) {
			put(t, file, string(unsealed(t)))
			change(t, file, `UPDATE meta SET value = 'x' WHERE key = 'epoch'`)
		}, store.ErrCorrupt},
		{"tampered-log", func(t *testing.T, file string) {
			put(t, file, string(unsealed(t)))
			change(t, file, untie+`DELETE FROM audit WHERE seq = 2`)
		}, store.ErrCorrupt},
		{"log-cut-off", func(t *testing.T, file string) {
			put(t, file, string(unsealed(t)))
			change(t, file, untie+`DELETE FROM audit WHERE seq > 3`)
		}, store.ErrCorrupt},
		{"changed-since", func(t *testing.T, file string) {
			text := string(must(os.ReadFile(backup)))
			put(t, file, strings.Replace(text, "deploy", "manage", 1))
		}, store.ErrCorrupt},
		{"copy-of-a-live-file", func(t *testing.T, file string) {
			put(t, file, string(must(os.ReadFile(database))))
		}, store.ErrInUse},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "file")
			tt.make(t, file)
			before := files(t, dir)
			p, err := store.Restore{Database: database}.Prepare(t.Context(), file)
			if !errors.Is(err, tt.want) || p != nil {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if after := files(t, dir); !slices.Equal(before, after) {
				t.Errorf("left %q", after)
			}
		})
	}
}

// Whatever bit of a backup flips and wherever it is cut, it is refused. Without the
// line at its end it is refused or says the same as before.
func TestRestore_Damaged(t *testing.T) {
	dir := t.TempDir()
	_, backup := since(t, dir)
	sound, says := must(os.ReadFile(backup)), dump(t, backup)
	refused := func(content []byte) bool {
		t.Helper()
		put(t, dir+"/damaged", string(content))
		p, err := store.Restore{Database: dir + "/new"}.Prepare(t.Context(), dir+"/damaged")
		if err != nil {
			if !errors.Is(err, store.ErrCorrupt) && !errors.Is(err, store.ErrForeign) && !errors.Is(err, store.ErrInUse) {
				t.Errorf("got %v", err)
			}
			return true
		}
		if !cmp.Equal(says, dump(t, dir+"/new.restoring")) {
			t.Error("a backup is taken that says something else")
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		return false
	}
	unsealed := sound[:strings.LastIndex(string(sound), "latchkey backup 1 sha256 ")]
	if refused(sound) || refused(unsealed) {
		t.Fatal("a sound backup is refused")
	}
	random := rand.New(rand.NewPCG(1, 2))
	for n := range 200 {
		bit := random.IntN(len(sound) * 8)
		if n%5 == 0 { // one in five in the line
			bit = len(unsealed)*8 + random.IntN((len(sound)-len(unsealed))*8)
		}
		damaged := slices.Clone(sound)
		damaged[bit/8] ^= 1 << (bit % 8)
		if !refused(damaged) {
			t.Errorf("bit %d of byte %d is not noticed", bit%8, bit/8)
		}
	}
	for cut := 0; cut < len(sound); cut += 2048 {
		if cut != len(unsealed) && !refused(sound[:cut]) {
			t.Errorf("cut to %d is not noticed", cut)
		}
	}
	for cut := len(unsealed) + 1; cut < len(sound); cut += 8 {
		if !refused(sound[:cut]) {
			t.Errorf("cut to %d is not noticed", cut)
		}
	}
	for at := 4096; at < len(unsealed); at += 2 * 4096 {
		damaged := slices.Clone(unsealed)
		copy(damaged[at:], strings.Repeat("\xff", 8))
		if !refused(damaged) {
			t.Errorf("page %d is not noticed", at/4096+1)
		}
	}
}

func TestRestore_NextEpoch(t *testing.T) {
	present := func(epoch int64) *store.Contents { return &store.Contents{Epoch: epoch} }
	for _, tt := range []struct {
		name    string
		backup  int64
		present *store.Contents
		minutes int64
		want    int64
	}{
		{"clock", 1, present(2), 500, 500},
		{"no-present", 1, nil, 500, 500},
		{"backup-higher", 9, present(2), 5, 10},
		{"present-higher", 2, present(9), 5, 10},
		{"same-minute", 500, present(500), 500, 501},
		{"clock-before-1970", 1, nil, -5, 2},
		{"clock-far-ahead", 7, nil, 1 << 40, 7 + 1<<27},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := store.NextEpoch(tt.backup, tt.present, tt.minutes); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}
