package authz

import (
	"encoding/binary"
	"math/big"
)

// The accepted key types (requirement R5). DSA, SSH-1, certificates and anything
// not listed are refused.
const (
	typeEd25519   = "ssh-ed25519"
	typeSKEd25519 = "sk-ssh-ed25519@openssh.com"
	typeP256      = "ecdsa-sha2-nistp256"
	typeP384      = "ecdsa-sha2-nistp384"
	typeP521      = "ecdsa-sha2-nistp521"
	typeSKP256    = "sk-ecdsa-sha2-nistp256@openssh.com"
	typeRSA       = "ssh-rsa"
)

// stringsOf returns of how many strings the wire form of a type consists, its
// name being the first (RFC 4253 6.6, RFC 5656 3.1, RFC 8709 4, OpenSSH's
// PROTOCOL.u2f), and 0 for a type that is not accepted.
func stringsOf(typ string) int {
	switch typ {
	case typeEd25519:
		return 2
	case typeSKEd25519, typeP256, typeP384, typeP521, typeRSA:
		return 3
	case typeSKP256:
		return 4
	}
	return 0
}

// checkBlob judges the wire form of a key that was declared to be of an accepted
// type: the type inside, the parts and their lengths, then what the parts hold.
func checkBlob(typ string, blob []byte, policy KeyPolicy) error {
	part, err := wireStrings(blob)
	switch {
	case len(part) == 0:
		return ErrKeyLength
	case string(part[0]) != typ:
		return ErrKeyTypeMismatch
	case err != nil:
		return err
	case len(part) != stringsOf(typ):
		return ErrKeyLength
	}
	if (typ == typeSKEd25519 || typ == typeSKP256) && !printable(part[len(part)-1]) {
		return ErrKeyApplication
	}
	switch typ {
	case typeEd25519, typeSKEd25519:
		return CheckEd25519(part[1])
	case typeP256, typeP384, typeP521, typeSKP256:
		return checkECDSA(typ, string(part[1]), part[2])
	case typeRSA:
		return checkRSAParts(part[1], part[2], policy)
	}
	return ErrKeyType
}

// printable reports whether b is one word of ASCII. OpenSSH reads an application as a C
// string and refuses one with a NUL in it.
func printable(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return len(b) > 0
}

// wireStrings takes a wire form apart into its length-prefixed strings (RFC 4251
// 5). When the bytes do not come out even it returns those before the fault and
// ErrKeyLength.
func wireStrings(blob []byte) ([][]byte, error) {
	var part [][]byte
	for len(blob) > 0 {
		if len(blob) < 4 {
			return part, ErrKeyLength
		}
		n := binary.BigEndian.Uint32(blob)
		blob = blob[4:]
		if uint64(n) > uint64(len(blob)) {
			return part, ErrKeyLength
		}
		part, blob = append(part, blob[:n]), blob[n:]
	}
	return part, nil
}

// mpint reads a number that is not negative (RFC 4251 5). That it is in its
// shortest form shows when the key is printed again.
func mpint(b []byte) (*big.Int, error) {
	if len(b) > 0 && b[0]&0x80 != 0 {
		return nil, ErrKeyNotCanonical
	}
	return new(big.Int).SetBytes(b), nil
}
