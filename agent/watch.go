package agent

import (
	"context"
	"fmt"
	"log/slog"
	"path"
	"time"

	"github.com/fsnotify/fsnotify"

	"latchkey/agent/plan"
)

const (
	// quiet is how long nothing may happen before the agent is woken, and mostQuiet
	// how long it is kept waiting for that: a tool that rewrites files changes several.
	quiet     = 100 * time.Millisecond
	mostQuiet = time.Second
	// rewatch is how often folders that were not there are tried again, though nothing
	// was seen to happen. It wakes an idle machine, so it is rare.
	rewatch = 5 * time.Minute
)

// Watch wakes whoever reads the channel when something managed may have changed:
// our files, the account files, sudo's and sshd's configuration. It watches folders,
// since a file that another is renamed over is lost to a watch on itself. A folder
// that is not there, or comes back after it was removed, is watched from the next
// event in another of them, as that of its making in the folder above, and at most
// five minutes later. What is missed is seen at the agent's next interval: watching
// is for speed alone. It ends with the context.
//
// homes tells of the files in homes, which are watched by other means: nil when one may
// have changed, or why not all of them are watched. A nil channel tells of none.
func Watch(ctx context.Context, l plan.Layout, homes <-chan error, log *slog.Logger) (<-chan struct{}, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch files: %w", err)
	}
	wake := make(chan struct{}, 1)
	watcher := watcher{w: w, layout: l, homes: homes, log: log, wake: wake, said: map[string]bool{}}
	watcher.add()
	go watcher.run(ctx)
	return wake, nil
}

type watcher struct {
	w      *fsnotify.Watcher
	layout plan.Layout
	homes  <-chan error
	log    *slog.Logger
	wake   chan<- struct{}
	said   map[string]bool // folders that are told to be missing
}

func (w watcher) run(ctx context.Context) {
	defer w.w.Close()
	again := time.NewTicker(rewatch)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
			w.add()
		case err := <-w.w.Errors:
			// Events may be lost, so everything may have changed.
			w.log.Warn("changes of files may have been missed", "reason", err)
			w.tell()
		case err := <-w.homes:
			w.home(err)
			w.settle(ctx)
			w.tell()
		case e := <-w.w.Events:
			if w.layout.Managed(e.Name) {
				w.settle(ctx)
				w.add()
				w.tell()
			}
		}
	}
}

// settle waits until nothing has happened for a while, or for long enough.
func (w watcher) settle(ctx context.Context) {
	end := time.After(mostQuiet)
	for {
		select {
		case <-ctx.Done():
			return
		case <-end:
			return
		case <-time.After(quiet):
			return
		case <-w.w.Events:
		case err := <-w.homes:
			w.home(err)
		}
	}
}

// home takes in what is told of homes.
func (w watcher) home(err error) {
	if err != nil {
		w.log.Warn("changes of keys in homes may be seen later", "reason", err)
	}
}

// tell wakes the agent, once until it has looked.
func (w watcher) tell() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// add watches every folder; one that is watched already stays so.
func (w watcher) add() {
	for _, folder := range w.layout.WatchedFolders() {
		err := w.w.Add(folder)
		if err != nil && !w.said[folder] {
			w.log.Debug("folder is not watched yet", "folder", path.Base(folder), "reason", err)
		}
		w.said[folder] = err != nil
	}
}
