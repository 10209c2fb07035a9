package name

// RestrictedKey is the options of a key line of sshd's authorized_keys format (sshd(8))
// that let a key open a session, with a terminal or without, and nothing else: no
// forwarding of ports, sockets, the agent or X11, no tunnel, no ~/.ssh/rc (requirement
// R12). It is what the key file says and all that the login hook accepts of that kind.
//
// Each word is said beside restrict, which means less in an older sshd than in a newer
// one. There is no word against tunnels, which restrict let pass until 2026: a tunnel is
// bound to a device instead, the highest number that sshd reads, which nobody but root
// can make. That comes first, because an option may give back what one before it took.
const RestrictedKey = `tunnel="2147483645",restrict,no-agent-forwarding,no-port-forwarding,no-user-rc,no-X11-forwarding,pty`
