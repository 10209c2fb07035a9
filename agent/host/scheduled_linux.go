package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"latchkey/agent/plan"
	"latchkey/agent/safefile"
	"latchkey/authz"
)

// observeScheduled looks at what cron, at and logind would start for accounts of
// ours. What is not a plain file, or has a second name, they do not start.
func (h *Host) observeScheduled(owned plan.Ledger) map[authz.Username]plan.Scheduled {
	jobs, lingers := h.atJobs(), namesIn(h.Layout.LingerDir)
	spools := map[string]func(string) bool{}
	for _, spool := range h.Layout.CronSpools {
		spools[spool] = namesIn(spool)
	}
	all := map[authz.Username]plan.Scheduled{}
	for user, own := range owned.Accounts {
		name := user.String()
		s := plan.Scheduled{AtJobs: jobs[uint32(own.UID)], Linger: lingers(name) && exists(h.Layout.Linger(user))}
		for _, spool := range h.Layout.CronSpools {
			path := filepath.Join(spool, name)
			if !spools[spool](name) {
				continue
			}
			if _, found := spooled(path); found {
				s.Crontabs = append(s.Crontabs, path)
			}
		}
		if s.Linger || len(s.Crontabs)+len(s.AtJobs) > 0 {
			all[user] = s
		}
	}
	return all
}

// namesIn reads a folder once and says which names may be in it: every name where it
// could not be read. There may be very many accounts to look for.
func namesIn(folder string) func(string) bool {
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return func(string) bool { return true }
	}
	names := map[string]bool{}
	for _, e := range entries {
		names[e.Name()] = true
	}
	return func(name string) bool { return names[name] }
}

// atJobs lists at's jobs by owner: atd runs each as who owns the file, whatever
// its name. A folder that is not there holds none.
func (h *Host) atJobs() map[uint32][]string {
	jobs := map[uint32][]string{}
	for _, spool := range h.Layout.AtSpools {
		entries, _ := os.ReadDir(spool) // sorted; what could be read of it counts
		for _, e := range entries {
			path := filepath.Join(spool, e.Name())
			if owner, found := spooled(path); found {
				jobs[owner] = append(jobs[owner], path)
			}
		}
	}
	return jobs
}

// spooled looks at a file of a spool and says whose it is. One that can not be looked
// at is found, so that taking it away says why.
func spooled(path string) (owner uint32, found bool) {
	info, err := os.Lstat(path)
	if err != nil {
		return 0, !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR)
	}
	if !info.Mode().IsRegular() || info.Sys().(*syscall.Stat_t).Nlink != 1 {
		return 0, false
	}
	return ownerOf(info), true
}

// endLinger has logind forget that the account lingers, and takes away the file
// where logind does not.
func (h *Host) endLinger(ctx context.Context, s plan.Step) error {
	if err := notTaken(s); err != nil {
		return err
	}
	_, asked := h.run(ctx, "loginctl", "disable-linger", s.UID.String())
	h.point("linger.asked")
	if err := h.Files.Remove(h.Layout.Linger(s.User)); err != nil {
		return errors.Join(err, asked)
	}
	return nil
}

// takeJobs moves a crontab and at jobs out of where they would be run. cron's own
// tools would not do: they refuse a user whom cron.deny names, and his crontab
// runs all the same. Nobody gets them back who is granted again (requirement R31).
func (h *Host) takeJobs(s plan.Step) error {
	private := safefile.Attr{Mode: 0o700}
	// Without a place to keep them they are taken all the same: access ends first,
	// and the error says what is lost.
	lost := errors.Join(h.Files.Mkdir(h.Layout.RevokedDir, private), h.Files.Mkdir(s.Path, private))
	errs := []error{h.Files.Clean(s.Path)} // of a copy that was cut short
	for _, job := range s.Jobs {
		errs = append(errs, h.takeJob(s, job, lost))
	}
	return errors.Join(errs...)
}

func (h *Host) takeJob(s plan.Step, job string, lost error) error {
	name, err := h.jobName(s, job)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it ran, or was taken by whom it belonged to
	}
	if err != nil {
		return err
	}
	content, _, err := safefile.ReadSpooled(job, maxOurFile)
	if err == nil && lost == nil {
		err = h.keepJob(filepath.Join(s.Path, name), content)
	}
	err = errors.Join(lost, err)
	h.point("job.kept")
	if gone := h.Files.RemoveSpooled(job); gone != nil {
		return errors.Join(gone, err)
	}
	if err != nil {
		return fmt.Errorf("%s was removed and not kept: %w", job, err)
	}
	return nil
}

// jobName names a job after what it is, and makes sure that it is still the user's:
// a crontab by the name of the account, an at job by its owner.
func (h *Host) jobName(s plan.Step, job string) (string, error) {
	if slices.Contains(h.Layout.CronSpools, filepath.Dir(job)) && filepath.Base(job) == s.User.String() {
		return "crontab", notTaken(s)
	}
	info, err := os.Lstat(job)
	if err == nil && ownerOf(info) != uint32(s.UID) {
		err = fmt.Errorf("%s: %w", job, safefile.ErrChanged)
	}
	return "at-" + filepath.Base(job), err
}

// notTaken fails when the name of an account of ours is somebody else's by now. An
// account that is gone left its name to nobody.
func notTaken(s plan.Step) error {
	err := ours(s)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// keepJob writes a copy under the first name that is free, or that holds the same
// content: then an earlier run was ended before it had removed the job.
func (h *Host) keepJob(path string, content []byte) error {
	const most = 1000
	for i := range most {
		name := path
		if i > 0 {
			name += "." + strconv.Itoa(i)
		}
		if old, _, err := safefile.Read(name, maxOurFile); err == nil && string(old) != string(content) {
			continue
		}
		_, err := h.Files.Replace(name, content, safefile.Attr{Mode: 0o600}, nil)
		return err
	}
	return fmt.Errorf("%s: there are %d already", path, most)
}
