package authz

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"

	"golang.org/x/crypto/ssh"

	"latchkey/authz/name"
)

// Key is one sound SSH public key. Only ParseKey makes one; the zero value is no
// key. Two keys are the same key when they are equal.
type Key struct {
	typ  string
	blob string // base64 of the wire form, padded
}

// KeyPolicy is what is asked of keys beyond the form. The zero value asks the
// most.
type KeyPolicy struct {
	// MinRSABits is the smallest RSA modulus accepted; anything below 2048, so
	// also 0, means 2048.
	MinRSABits int
	// Sealed says that the key comes out of a bundle whose signature holds. The
	// searches for factors of an RSA modulus, which take milliseconds a key, were
	// made when the control plane accepted it and are left out: whoever could seal
	// a weak key could as well seal his own.
	Sealed bool
}

// MaxKeyText is the longest text ParseKey reads, in bytes, newline included. It
// is sshd's own limit of a line (requirement R7); an RSA key of 16384 bits takes
// about a third of it.
const MaxKeyText = 8 << 10

// Reasons for refusing a key. None of them, nor any error of ParseKey, holds a
// byte of what was typed.
var (
	ErrKeyEmpty         = name.Refuse("empty", "text holds no key of the form TYPE BASE64")
	ErrKeyTooLong       = name.Refuse("too_long", "key text is longer than 8 KiB")
	ErrKeyLines         = name.Refuse("multiple_lines", "key text is more than one line")
	ErrKeyControl       = name.Refuse("control_char", "key text holds a control character")
	ErrKeyNonASCII      = name.Refuse("non_ascii", "key text holds a character beyond ASCII")
	ErrKeyPrivate       = name.Refuse("private_key", "text holds a private key; only the public half is wanted")
	ErrKeyOptions       = name.Refuse("options_not_allowed", "options stand before the key")
	ErrKeyType          = name.Refuse("unknown_type", "key type is none of those accepted")
	ErrKeyTypeMismatch  = name.Refuse("type_mismatch", "type before the key is not the type inside it")
	ErrKeyNotCanonical  = name.Refuse("not_canonical", "key is not in its canonical encoding")
	ErrKeyLength        = name.Refuse("bad_length", "a part of the key is missing, left over or of the wrong length")
	ErrKeyBadPoint      = name.Refuse("bad_point", "key is not a point of its curve in uncompressed form")
	ErrKeyWeakPoint     = name.Refuse("weak_point", "key is a point of small order, which anybody can sign for")
	ErrKeyApplication   = name.Refuse("bad_application", "security key's application is not one word of printable ASCII")
	ErrKeyRSATooSmall   = name.Refuse("rsa_too_small", "RSA key has fewer bits than the policy asks for")
	ErrKeyRSATooLarge   = name.Refuse("rsa_too_large", "RSA key has more than 16384 bits")
	ErrKeyRSAExponent   = name.Refuse("rsa_bad_exponent", "RSA exponent is not an odd number from 65537 to 2^24")
	ErrKeyRSAModulus    = name.Refuse("rsa_weak_modulus", "RSA modulus can be factored")
	ErrKeyCompromised   = name.Refuse("known_compromised", "key's private half is published")
	ErrKeyParserStopped = name.Refuse("parser_stopped", "key stopped its parser")
)

// ParseKey reads one public key of the form TYPE BASE64 [COMMENT], with at most
// one newline after it, and refuses everything else with its own reason
// (requirements R1 to R10). What is kept is printed from what was parsed; the
// comment is dropped. It takes at most 50 ms, and a panic in it is a refusal.
func ParseKey(text string, policy KeyPolicy) (Key, error) {
	return guarded(func() (Key, error) { return parseKey(text, policy) })
}

// guarded turns a panic into a refusal (requirements R10, R169).
func guarded(parse func() (Key, error)) (key Key, err error) {
	defer func() {
		if recover() != nil {
			key, err = Key{}, ErrKeyParserStopped
		}
	}()
	return parse()
}

func parseKey(text string, policy KeyPolicy) (Key, error) {
	line, err := keyLine(text)
	if err != nil {
		return Key{}, err
	}
	typ, blob, err := keyWords(line)
	if err != nil {
		return Key{}, err
	}
	if err := checkBlob(typ, blob, policy); err != nil {
		return Key{}, err
	}
	parsed, err := ssh.ParsePublicKey(blob)
	if err != nil || parsed.Type() != typ || !bytes.Equal(parsed.Marshal(), blob) {
		return Key{}, ErrKeyNotCanonical
	}
	k := Key{typ, base64.StdEncoding.EncodeToString(blob)}
	if compromised(k) {
		return Key{}, ErrKeyCompromised
	}
	return k, nil
}

// Type returns the key type as sshd names it, "ssh-ed25519".
func (k Key) Type() string { return k.typ }

// String returns the key as TYPE BASE64, printed from what was parsed.
func (k Key) String() string {
	if k.IsZero() {
		return ""
	}
	return k.typ + " " + k.blob
}

// Fingerprint returns the key's SHA-256 fingerprint as ssh-keygen prints it, or
// "" for the zero value.
func (k Key) Fingerprint() string {
	raw, err := base64.StdEncoding.DecodeString(k.blob)
	if err != nil || k.IsZero() {
		return ""
	}
	sum := sha256.Sum256(raw)
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// IsZero reports whether k is no key.
func (k Key) IsZero() bool { return k.typ == "" }

// compromised reports whether the key's private half is in everybody's hands and
// the key would otherwise pass. The older published keys all have an exponent or
// a size that is refused anyway.
func compromised(k Key) bool {
	switch k.Fingerprint() {
	case "SHA256:WkvqjnyPAeC0cbPErYiGP9vqHdgL1MqqvPdIe3lvHgI": // the key in every Vagrant box
		return true
	}
	return false
}
