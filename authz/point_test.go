package authz_test

import (
	"encoding/hex"
	"math/big"
	"slices"
	"testing"

	"latchkey/authz"
)

// TestCheckEd25519_Torsion computes the eight points of small order from the curve's
// equation, by arithmetic of its own, and finds all of them refused with either sign
// (requirement R6 in part, T-K21, T-K22 and T-K23).
func TestCheckEd25519_Torsion(t *testing.T) {
	c := newEdwards()
	point := c.orderEight(t)
	multiple, seen := c.identity(), map[string]bool{}
	for range 8 {
		for _, sign := range []byte{0, 0x80} {
			raw := c.encode(multiple)
			raw[31] ^= sign
			seen[hex.EncodeToString(raw)] = true
			if err := authz.CheckEd25519(raw); err != error(authz.ErrKeyWeakPoint) {
				t.Errorf("point %x: got %v, want %v", raw, err, authz.ErrKeyWeakPoint)
			}
		}
		multiple = c.add(multiple, point)
	}
	if len(seen) != 10 || multiple != c.identity() {
		t.Errorf("the subgroup of order 8 has %d encodings; its generator's eighth multiple is %v", len(seen), multiple)
	}
}

// TestCheckEd25519_OnCurve compares with the curve's equation for many y.
func TestCheckEd25519_OnCurve(t *testing.T) {
	c := newEdwards()
	on := 0
	for y := int64(2); y < 300; y++ {
		raw := make([]byte, 32)
		raw[0], raw[1] = byte(y), byte(y>>8)
		_, exists := c.x(big.NewInt(y))
		err := authz.CheckEd25519(raw)
		if exists != (err == nil) || err != nil && err != error(authz.ErrKeyBadPoint) {
			t.Errorf("y = %d: got %v; the curve has such a point: %t", y, err, exists)
		}
		if exists {
			on++
		}
	}
	if on < 100 || on > 200 {
		t.Errorf("%d of 298 y are on the curve, about half should be", on)
	}
	if err := authz.CheckEd25519(nil); err != error(authz.ErrKeyLength) {
		t.Errorf("no bytes: got %v, want %v", err, authz.ErrKeyLength)
	}
}

// edwards is -x² + y² = 1 + dx²y² modulo p, slow and plain.
type edwards struct{ p, d *big.Int }

// affine is a point; comparable, so the numbers are decimal text.
type affine struct{ x, y string }

func newEdwards() edwards {
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	d := new(big.Int).ModInverse(big.NewInt(121666), p)
	d.Mul(d, big.NewInt(-121665)).Mod(d, p)
	return edwards{p, d}
}

func (c edwards) identity() affine { return affine{"0", "1"} }

// x solves the equation for x, when it has a solution.
func (c edwards) x(y *big.Int) (*big.Int, bool) {
	yy := new(big.Int).Mul(y, y)
	u := new(big.Int).Sub(yy, big.NewInt(1))
	v := new(big.Int).Mul(c.d, yy)
	v.Add(v, big.NewInt(1)).ModInverse(v, c.p)
	u.Mul(u, v).Mod(u, c.p)
	root := new(big.Int).ModSqrt(u, c.p)
	return root, root != nil
}

// add is the complete addition law of RFC 8032 5.1.4, in affine form.
func (c edwards) add(a, b affine) affine {
	ax, ay, bx, by := number(a.x), number(a.y), number(b.x), number(b.y)
	mul := func(u, v *big.Int) *big.Int { return new(big.Int).Mod(new(big.Int).Mul(u, v), c.p) }
	k := mul(c.d, mul(mul(ax, bx), mul(ay, by)))
	one := big.NewInt(1)
	x := new(big.Int).Add(mul(ax, by), mul(ay, bx))
	y := new(big.Int).Add(mul(ay, by), mul(ax, bx))
	x = mul(x, new(big.Int).ModInverse(new(big.Int).Add(one, k), c.p))
	minus := new(big.Int).Sub(one, k)
	y = mul(y, new(big.Int).ModInverse(minus.Mod(minus, c.p), c.p))
	return affine{x.String(), y.String()}
}

// orderEight multiplies points by the prime order of the main group until what
// is left has order 8.
func (c edwards) orderEight(t *testing.T) affine {
	t.Helper()
	l, _ := new(big.Int).SetString("27742317777372353535851937790883648493", 10)
	l.Add(l, new(big.Int).Lsh(big.NewInt(1), 252))
	for y := int64(2); y < 100; y++ {
		x, exists := c.x(big.NewInt(y))
		if !exists {
			continue
		}
		power, sum := affine{x.String(), big.NewInt(y).String()}, c.identity()
		for bit := range l.BitLen() {
			if l.Bit(bit) == 1 {
				sum = c.add(sum, power)
			}
			power = c.add(power, power)
		}
		twice := c.add(sum, sum)
		if c.add(twice, twice) != c.identity() {
			return sum
		}
	}
	t.Fatal("no point of order 8 was found")
	return affine{}
}

// encode is RFC 8032 5.1.2.
func (c edwards) encode(a affine) []byte {
	raw := number(a.y).FillBytes(make([]byte, 32))
	slices.Reverse(raw)
	raw[31] |= byte(number(a.x).Bit(0)) << 7
	return raw
}

func number(s string) *big.Int {
	n, _ := new(big.Int).SetString(s, 10)
	return n
}
