package host

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"latchkey/agent/plan"
	"latchkey/authz"
)

// What is asked of the system for the folder of a key file (inotify(7)): what happens to
// names in it, to the content, owner and mode of what bears them, and to itself.
const homeMask = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_MODIFY | unix.IN_ATTRIB |
	unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR | unix.IN_EXCL_UNLINK

// goneMask is what says that the folder is not where it was.
const goneMask = unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_UNMOUNT | unix.IN_IGNORED

// WatchHomes watches the key files in homes. set says whose homes, all of them each time,
// and returns at once; it is for one goroutine. changed brings nil when one of the files may
// have changed, or watching has begun; an error, once for each reason, says why not all of
// them are watched. What is missed is for the agent's next look. It ends with the context.
//
// A folder is opened through no link, and given back as soon as it is watched, so that no
// file system is kept in use; one that hangs is waited for by nobody. The Host may be used
// by another goroutine meanwhile.
func (h *Host) WatchHomes(ctx context.Context) (set func(map[authz.Username]authz.UID), changed <-chan error, err error) {
	w, err := h.newHomeWatcher()
	if err != nil {
		return nil, nil, err
	}
	go w.run(ctx)
	return w.set, w.changed, nil
}

type homeWatcher struct {
	h       *Host
	inotify *os.File
	most    int
	want    chan map[authz.Username]authz.UID
	events  chan homeEvent
	changed chan error

	// What follows is run's alone.
	homes map[homeKey]*watchedHome
	at    map[int]*watchedHome // by the system's number
	late  map[homeKey]<-chan watchAnswer
	said  map[string]bool
}

type homeEvent struct {
	watch int
	mask  uint32
	name  string
}

// watchAnswer is what came of asking the system to watch a home.
type watchAnswer struct {
	watch int
	err   error
}

func (h *Host) newHomeWatcher() (*homeWatcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch homes: %w", err)
	}
	return &homeWatcher{
		h: h, inotify: os.NewFile(uintptr(fd), "inotify"), most: mostHomes,
		want: make(chan map[authz.Username]authz.UID, 1), events: make(chan homeEvent), changed: make(chan error, 1),
		homes: map[homeKey]*watchedHome{}, at: map[int]*watchedHome{}, late: map[homeKey]<-chan watchAnswer{}, said: map[string]bool{},
	}, nil
}

func (w *homeWatcher) set(homes map[authz.Username]authz.UID) {
	select {
	case <-w.want: // it was not looked at yet
	default:
	}
	w.want <- homes
}

func (w *homeWatcher) run(ctx context.Context) {
	read := make(chan struct{})
	go func() { defer close(read); w.read(ctx) }()
	defer func() { w.inotify.Close(); <-read }()
	for {
		select {
		case <-ctx.Done():
			return
		case homes := <-w.want:
			w.follow(ctx, homes)
		case e := <-w.events:
			w.heard(e)
		}
	}
}

// read takes apart what the system tells, until the watcher is closed.
func (w *homeWatcher) read(ctx context.Context) {
	buf := make([]byte, 64<<10)
	for {
		n, err := w.inotify.Read(buf)
		if err != nil {
			return
		}
		for rest := buf[:n]; len(rest) >= unix.SizeofInotifyEvent; {
			var e homeEvent
			e, rest = cutEvent(rest)
			select {
			case <-ctx.Done():
				return
			case w.events <- e:
			}
		}
	}
}

// cutEvent takes the first event off what the system tells: four numbers, of which the last
// is the length of the name that follows, zero bytes and all (inotify(7)).
func cutEvent(text []byte) (e homeEvent, rest []byte) {
	number := func(i int) uint32 { return binary.NativeEndian.Uint32(text[4*i:]) }
	end := min(unix.SizeofInotifyEvent+int(number(3)), len(text))
	name, _, _ := bytes.Cut(text[unix.SizeofInotifyEvent:end], []byte{0})
	return homeEvent{int(number(0)), number(1), string(name)}, text[end:]
}

// heard takes one event in. Events of other files beside ours concern nobody.
func (w *homeWatcher) heard(e homeEvent) {
	if e.mask&unix.IN_Q_OVERFLOW != 0 {
		w.tell() // some were lost
		return
	}
	home, known := w.at[e.watch]
	if !known {
		return
	}
	gone, now := e.mask&goneMask != 0, time.Now()
	wakes := gone || e.name == filepath.Base(plan.KeysInHome)
	home.heard(wakes, now)
	if gone || home.spent(now) {
		w.drop(home)
	}
	if wakes {
		w.tell()
	}
}

// tell wakes the agent, once until it has heard.
func (w *homeWatcher) tell() {
	select {
	case w.changed <- nil:
	default:
	}
}

// say tells why not all homes are watched, once.
func (w *homeWatcher) say(ctx context.Context, why error) {
	if w.said[why.Error()] {
		return
	}
	w.said[why.Error()] = true
	select {
	case <-ctx.Done():
	case w.changed <- why:
	}
}

// drop ends the watch of a home. The system may have ended it already.
func (w *homeWatcher) drop(home *watchedHome) {
	if home.watch != 0 {
		w.end(home.watch)
	}
	delete(w.at, home.watch)
	home.watch = 0
}

func (w *homeWatcher) end(watch int) {
	_ = w.control(func(fd int) error { // it is gone where it is not there
		_, err := unix.InotifyRmWatch(fd, uint32(watch))
		return err
	})
}

// control works with the descriptor of the watcher while it is open.
func (w *homeWatcher) control(use func(fd int) error) error {
	conn, err := w.inotify.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	err = conn.Control(func(fd uintptr) { result = use(int(fd)) })
	return errors.Join(err, result)
}

// Why not all homes are watched.
var (
	errManyHomes = errors.New("there are more homes than are watched: some are looked at at the interval alone")
	errNoWatches = errors.New("the system gives no more watches, see fs.inotify.max_user_watches: some homes are looked at at the interval alone")
)

// follow watches these homes and no other. What changed before one was watched is for a
// look that it causes.
func (w *homeWatcher) follow(ctx context.Context, homes map[authz.Username]authz.UID) {
	for key, home := range w.homes {
		if uid, still := homes[key.user]; !still || uid != key.uid {
			w.drop(home)
			delete(w.homes, key)
		}
	}
	w.forget(homes)
	begun := false
	for user, uid := range homes {
		key := homeKey{user, uid}
		home, known := w.homes[key]
		switch {
		case !known && len(w.homes) >= w.most:
			w.say(ctx, errManyHomes)
			continue
		case !known:
			home = &watchedHome{}
			w.homes[key] = home
		}
		if home.watch != 0 || home.spent(time.Now()) {
			continue
		}
		err := w.add(key, home)
		if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.ENOMEM) {
			w.say(ctx, errNoWatches)
			break
		}
		begun = begun || home.watch != 0
	}
	if begun {
		w.tell()
	}
}

// forget ends watches that began late, of homes that are not wanted any more.
func (w *homeWatcher) forget(homes map[authz.Username]authz.UID) {
	for key, answer := range w.late {
		if uid, still := homes[key.user]; still && uid == key.uid {
			continue
		}
		select {
		case a := <-answer:
			delete(w.late, key)
			if _, used := w.at[a.watch]; a.watch != 0 && !used {
				w.end(a.watch)
			}
		default:
		}
	}
}

// add watches the folder of the key file in a home. A home that does not answer, or is in
// no state for it, is tried again with the next set.
func (w *homeWatcher) add(key homeKey, home *watchedHome) error {
	answer, asked := w.late[key]
	if !asked {
		answer = ask(&w.h.stuck, "watch in "+w.h.Layout.Home(key.user), func() watchAnswer { return w.ask(key) })
	}
	a, err := within(answer, time.After(aMoment))
	if err != nil {
		if answer != nil {
			w.late[key] = answer
		}
		return err
	}
	delete(w.late, key)
	if _, used := w.at[a.watch]; a.err == nil && !used {
		home.watch = a.watch
		w.at[a.watch] = home
	}
	return a.err
}

func (w *homeWatcher) ask(key homeKey) (a watchAnswer) {
	a.err = w.h.homeOf(key.user, key.uid).Hold(filepath.Dir(plan.KeysInHome), func(path string) error {
		return w.control(func(fd int) (err error) {
			a.watch, err = unix.InotifyAddWatch(fd, path, homeMask)
			return err
		})
	})
	return a
}
