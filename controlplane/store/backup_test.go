package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/authz"
	"latchkey/controlplane/store"
)

// newControlPlane makes a database with something in every table.
func newControlPlane(t *testing.T, path string) *store.Store {
	t.Helper()
	s := mustOpen(t, path)
	mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(tx.SetMeta(ctx, store.ControlPlaneID, uuid(77)), tx.SetMeta(ctx, store.Epoch, "3"))
	})
	stack := insertStack(t, s, 1)
	for n, key := range []string{keyOne, keyTwo} {
		p := insertUser(t, s, n)
		p.Keys = []authz.Key{must(authz.ParseKey(key, authz.KeyPolicy{}))}
		mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(
				tx.UpdateUser(ctx, p),
				tx.SetPermission(ctx, authz.Permission{Stack: stack, User: p.ID, Level: authz.LevelDeploy, AllowSSH: true, NotAfter: noon}),
				tx.AttachPolicy(ctx, store.HeldByUser(p.ID), string(authz.FullAccess)),
				tx.InsertAccessKey(ctx, store.AccessKey{ID: fmt.Sprintf("LKIA%d", n), User: p.ID, Secret: []byte("sealed")}),
				tx.InsertJoinToken(ctx, store.JoinToken{Hash: fmt.Sprint("hash", n), Stack: stack, CreatedBy: p.ID, ExpiresAt: noon.AddDate(1, 0, 0)}, noon),
				tx.PutInlinePolicy(ctx, store.HeldByUser(p.ID), store.InlinePolicy{Name: "Own", Document: []byte(`{"n":1}`)}),
				tx.SetBoundary(ctx, p.ID, "Deploy"),
				tx.SetTag(ctx, store.OfUser(p.ID), store.Tag{Key: "team", Value: "web"}),
				tx.SetTag(ctx, store.OfStack(stack), store.Tag{Key: "stage", Value: "live"}),
			)
		})
	}
	mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error {
		used, err := tx.UseJoinToken(ctx, "hash0", instanceID(5), "public")
		if err == nil && !used {
			err = errors.New("the token is not there")
		}
		return errors.Join(err, insertGroup(ctx, tx), tx.InsertInstance(ctx, store.Instance{
			ID: instanceID(5), Stack: stack, PublicKey: "public", RegisteredBy: arn(0), Facts: store.Facts{Hostname: "host-5"},
		}))
	})
	err := s.Observe(t.Context(), func(o store.Observation) error {
		head, err := o.AuditHead(t.Context())
		_, errPut := o.PutBundle(t.Context(), store.Bundle{Stack: stack, Epoch: 3, Serial: 1, Note: []byte("signed"), Log: head, IssuedAt: noon})
		return errors.Join(err, errPut,
			o.PutReceipt(t.Context(), store.Receipt{Instance: instanceID(5), Epoch: 3, Serial: 1, ReceivedAt: noon, Body: []byte("{}")}, store.Facts{Hostname: "host-5"}, 9))
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// insertGroup makes the group ops, with policies and with u0 and u1 in it.
func insertGroup(ctx context.Context, tx *store.Tx) error {
	ops := store.HeldByGroup("ops")
	return errors.Join(
		tx.PutManagedPolicy(ctx, "Deploy", []byte(`{"n":2}`)),
		tx.InsertGroup(ctx, "ops"),
		tx.AddMember(ctx, "ops", userID(0)),
		tx.AddMember(ctx, "ops", userID(1)),
		tx.AttachPolicy(ctx, ops, "Deploy"),
		tx.PutInlinePolicy(ctx, ops, store.InlinePolicy{Name: "Night", Document: []byte(`{"n":3}`)}),
	)
}

// dump is all that a database says: the schema and every row, a line each.
func dump(t *testing.T, path string) map[string][]string {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err) // SQLite would make it
	}
	db := must(sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path}).String()))
	defer db.Close()
	all := map[string][]string{"sqlite_schema": rows(t, db, `SELECT type, name, tbl_name, sql FROM sqlite_schema`)}
	for _, table := range rows(t, db, `SELECT name FROM sqlite_schema WHERE type = 'table'`) {
		all[table] = rows(t, db, "SELECT * FROM "+table)
	}
	return all
}

func rows(t *testing.T, db *sql.DB, query string) (lines []string) {
	t.Helper()
	found, err := db.Query(query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer found.Close()
	for found.Next() {
		cells := make([]any, len(must(found.Columns())))
		for i := range cells {
			cells[i] = new(sql.NullString)
		}
		if err := found.Scan(cells...); err != nil {
			t.Fatal(err)
		}
		var line []string
		for _, c := range cells {
			text := "NULL"
			if s := c.(*sql.NullString); s.Valid {
				text = s.String
			}
			line = append(line, text)
		}
		lines = append(lines, strings.Join(line, "|"))
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	return lines
}

// files lists a folder.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	for _, e := range must(os.ReadDir(dir)) {
		names = append(names, e.Name())
	}
	return names
}

func mustBackup(t *testing.T, database, file string) store.Contents {
	t.Helper()
	c, err := store.Backup{Database: database}.To(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestBackup holds R133.
func TestBackup(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "latchkey.db")
	s := newControlPlane(t, path) // open, as in a server
	file := filepath.Join(t.TempDir(), "a ?b#c%20*.db")
	got := mustBackup(t, path, file)
	want := store.Contents{ControlPlane: uuid(77), Epoch: 3, Stacks: 1, Users: 2}
	mustRead(t, s, func(ctx context.Context, v store.View) (err error) {
		want.Log, err = v.AuditHead(ctx)
		return err
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(dump(t, path), dump(t, file)); diff != "" {
		t.Error(diff)
	}
	if left := files(t, filepath.Dir(file)); len(left) != 1 {
		t.Errorf("folder holds %q", left)
	}
	insertUser(t, s, 9) // the server goes on
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mustBackup(t, path, file+"2")
	if diff := cmp.Diff(dump(t, path), dump(t, file+"2")); diff != "" {
		t.Errorf("of a stopped server: %s", diff)
	}
	if left := files(t, dir); !slices.Equal(left, []string{"latchkey.db"}) {
		t.Errorf("data directory holds %q", left)
	}
}

// A backup made while another process writes is the state of one instant between its
// start and its end: every change up to one row of the log, and no other (requirement
// R133).
func TestBackup_ConcurrentWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "latchkey.db")
	s := newControlPlane(t, path)
	metaBefore := len(dump(t, path)["meta"])
	size := func() (head store.LogHead) {
		mustRead(t, s, func(ctx context.Context, v store.View) (err error) {
			head, err = v.AuditHead(ctx)
			return err
		})
		return head
	}
	first := size()
	child := exec.Command(must(os.Executable()))
	child.Env = append(os.Environ(), childEnv+"="+path)
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = child.Process.Kill()
		_ = child.Wait() // killed
	})
	for size().Size < first.Size+10 && t.Context().Err() == nil {
	}
	grown := false
	for n := range 6 {
		file := filepath.Join(t.TempDir(), fmt.Sprint(n))
		before := size()
		c := mustBackup(t, path, file)
		after := size()
		grown = grown || after.Size > before.Size
		if c.Log.Size < before.Size || c.Log.Size > after.Size {
			t.Errorf("log has %d rows, and %d to %d at the time", c.Log.Size, before.Size, after.Size)
		}
		then := dump(t, file)
		if changes := len(then["meta"]) - metaBefore; int64(changes) != c.Log.Size-first.Size {
			t.Errorf("%d changes with %d audit rows", changes, c.Log.Size-first.Size)
		}
		mustRead(t, s, func(ctx context.Context, v store.View) error {
			entries, err := v.Audit(ctx, first.Size, int(c.Log.Size-first.Size))
			for _, e := range entries {
				if _, found := slices.BinarySearch(then["meta"], e.Action+"|x"); !found {
					t.Errorf("change %s has an audit row and is not there", e.Action)
				}
			}
			return err
		})
	}
	if !grown {
		t.Error("nothing was written during any backup")
	}
}

func TestBackup_Refuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "latchkey.db")
	s := newControlPlane(t, path)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name string
		ctx  context.Context
		// make prepares and returns what to back up and where to.
		make func(t *testing.T, dir string) (database, file string)
		want error
	}{
		{"file-there", t.Context(), func(t *testing.T, dir string) (string, string) {
			return path, put(t, dir+"/b", "precious")
		}, fs.ErrExist},
		{"folder-there", t.Context(), func(t *testing.T, dir string) (string, string) { return path, dir }, fs.ErrExist},
		{"dangling-link-there", t.Context(), func(t *testing.T, dir string) (string, string) {
			return path, link(t, dir+"/none", dir+"/b")
		}, fs.ErrExist},
		{"no-folder", t.Context(), func(t *testing.T, dir string) (string, string) { return path, dir + "/none/b" }, fs.ErrNotExist},
		{"no-database", t.Context(), func(t *testing.T, dir string) (string, string) { return dir + "/none", dir + "/b" }, fs.ErrNotExist},
		{"not-a-database", t.Context(), func(t *testing.T, dir string) (string, string) {
			return put(t, dir+"/x", strings.Repeat("no database ", 1000)), dir + "/b"
		}, store.ErrCorrupt},
		{"empty-database", t.Context(), func(t *testing.T, dir string) (string, string) { return put(t, dir+"/x", ""), dir + "/b" }, store.ErrForeign},
		{"never-served", t.Context(), func(t *testing.T, dir string) (string, string) {
			mustOpen(t, dir+"/x")
			return dir + "/x", dir + "/b"
		}, store.ErrForeign},
		{"newer", t.Context(), func(t *testing.T, dir string) (string, string) {
			newControlPlane(t, dir+"/x")
			change(t, dir+"/x", newerSchema)
			return dir + "/x", dir + "/b"
		}, store.ErrNewerSchema},
		{"tampered-log", t.Context(), func(t *testing.T, dir string) (string, string) {
			newControlPlane(t, dir+"/x")
			change(t, dir+"/x", untie+`UPDATE audit SET entry = replace(entry, 'tester', 'nobody') WHERE seq = 3`)
			return dir + "/x", dir + "/b"
		}, store.ErrCorrupt},
		{"interrupted", cancelled, func(t *testing.T, dir string) (string, string) { return path, dir + "/b" }, context.Canceled},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			database, file := tt.make(t, dir)
			before := files(t, dir)
			_, err := store.Backup{Database: database}.To(tt.ctx, file)
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if after := files(t, dir); !slices.Equal(before, after) {
				t.Errorf("left %q", after)
			}
		})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	sound, says := must(os.ReadFile(path)), dump(t, path)
	for at := 4096; at < len(sound); at += 3 * 4096 {
		damaged := append([]byte{}, sound...)
		copy(damaged[at:], strings.Repeat("\xff", 8))
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		// An index is made anew and so can be cured; a table cannot.
		_, err := store.Backup{Database: path}.To(t.Context(), path+".backup")
		if err != nil && !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("page %d: %v", at/4096+1, err)
		}
		if err == nil && !cmp.Equal(says, dump(t, path+".backup")) {
			t.Errorf("page %d: a backup that says something else", at/4096+1)
		}
		if left := files(t, dir); err != nil && len(left) != 1 {
			t.Errorf("page %d: left %q", at/4096+1, left)
		}
		if err := os.RemoveAll(path + ".backup"); err != nil {
			t.Fatal(err)
		}
	}
}

const newerSchema = `INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)`

// untie takes away what keeps audit rows from being changed by mistake.
const untie = `DROP TRIGGER audit_keeps; DROP TRIGGER audit_stays;`

// change does to a database what this program never would.
func change(t *testing.T, path, statements string) {
	t.Helper()
	db := must(sql.Open("sqlite", path))
	mustExec(t, db, statements)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func link(t *testing.T, target, path string) string {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	return path
}
