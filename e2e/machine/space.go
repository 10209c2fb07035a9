package machine

// Enter runs main inside namespaces of its own and returns its exit code, for
// TestMain and for main functions:
//
//	func TestMain(m *testing.M) { os.Exit(machine.Enter(m.Run)) }
//
// It starts this very program again, with the same arguments and streams, as a
// child in new mount, network, process, host-name and semaphore namespaces; only
// there main runs. Inside, 10.99.0.1 is on loopback, /run is empty (so nothing
// can talk to the host's systemd), and /tmp and all other files are the same as
// outside. When main ends, or any of the processes is killed, everything inside
// is killed with it, and a process that stands apart removes what namespaces do
// not: control groups and the run's own folder. Interrupt, terminate, hang-up and
// quit are passed on to main, once; main cannot read from the terminal.
//
// Without root main runs in place, and CanBoot says so. Where namespaces are
// refused to root, main also runs in place, but what Chroot starts still ends
// with it.
//
// Call it before anything else: what the program did before happens in every
// process.
func Enter(main func() int) int { return enter(main) }
