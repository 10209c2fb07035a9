package authz

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/hex"
	"math/big"
	"slices"
)

// CheckEd25519 refuses 32 bytes that are no sound Ed25519 public key (RFC 8032
// 5.1.3): another length, a y that is not below the field's prime, a point of
// small order, and what is no point of the curve.
//
// A key of small order is a universal key: sshd was seen to accept a constant
// signature, made without any private key, for the identity point (requirement
// R6). crypto/ed25519, OpenSSH and x/crypto/ssh all take such keys.
func CheckEd25519(point []byte) error {
	if len(point) != 32 {
		return ErrKeyLength
	}
	y := slices.Clone(point)
	slices.Reverse(y) // little-endian on the wire
	y[0] &= 0x7f      // the top bit is the sign of x
	p := prime25519()
	n := new(big.Int).SetBytes(y)
	switch {
	case n.Cmp(p) >= 0:
		return ErrKeyNotCanonical
	case smallOrder(hex.EncodeToString(y)):
		return ErrKeyWeakPoint
	case !onEdwards25519(n, p):
		return ErrKeyBadPoint
	}
	return nil
}

func prime25519() *big.Int {
	p := new(big.Int).Lsh(big.NewInt(1), 255)
	return p.Sub(p, big.NewInt(19))
}

// smallOrder reports whether y, in big-endian hex, belongs to one of the eight
// points whose order divides 8. Each y stands for both signs of x.
func smallOrder(y string) bool {
	switch y {
	case "0000000000000000000000000000000000000000000000000000000000000001", // the identity
		"7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffec", // order 2
		"0000000000000000000000000000000000000000000000000000000000000000", // order 4
		"05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826", // order 8
		"7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7": // order 8
		return true
	}
	return false
}

// onEdwards25519 reports whether the curve -x² + y² = 1 + dx²y² has a point with
// this y: whether x² = (y²-1)/(dy²+1) is a square modulo p. The Jacobi symbol of
// the product tells the same as that of the quotient.
func onEdwards25519(y, p *big.Int) bool {
	d, _ := new(big.Int).SetString("52036cee2b6ffe738cc740797779e89800700a4d4141d8ab75eb4dca135978a3", 16)
	one := big.NewInt(1)
	yy := new(big.Int).Mul(y, y)
	u := new(big.Int).Sub(yy, one)
	v := d.Mul(d, yy.Mod(yy, p))
	v.Add(v, one)
	u.Mul(u, v).Mod(u, p)
	return big.Jacobi(u, p) >= 0
}

// checkECDSA refuses a point that is not on the curve of the key's type, the
// point at infinity, and compressed points, which OpenSSH does not read either.
func checkECDSA(typ, curveName string, point []byte) error {
	curve, want := elliptic.P256(), "nistp256"
	switch typ {
	case typeP384:
		curve, want = elliptic.P384(), "nistp384"
	case typeP521:
		curve, want = elliptic.P521(), "nistp521"
	}
	if curveName != want {
		return ErrKeyBadPoint
	}
	if _, err := ecdsa.ParseUncompressedPublicKey(curve, point); err != nil {
		return ErrKeyBadPoint
	}
	return nil
}
