package authz

import "math/big"

// Bounds of an RSA key. The largest is what ssh-keygen makes; the exponent's is
// what x/crypto/ssh reads.
const (
	minRSABits      = 2048
	maxRSABits      = 16384
	minRSAExponent  = 65537
	maxExponentBits = 24
)

// Bounds of the searches for factors, so that no key takes longer than 50 ms
// (requirement R10).
const (
	// smallFactor bounds the primes that a modulus is divided by: 3512 of them.
	smallFactor = 1 << 15
	// fermatSteps finds primes that share their upper half, as of the broken
	// generators of CVE-2022-26320, with a wide margin.
	fermatSteps = 100
	// primalityBits is the largest modulus tested for being prime. One
	// exponentiation takes 20 ms at this size and eight times that at twice the
	// size. Above it a prime modulus goes unseen; a generator's mistake is not the
	// reason for such a key, and a malicious owner can always publish a good one's
	// private half.
	primalityBits = 4096
)

// checkRSAParts judges the two numbers of an RSA key, sizes first, so that an
// oversized number costs nothing.
func checkRSAParts(exponent, modulus []byte, policy KeyPolicy) error {
	e, err := mpint(exponent)
	if err != nil {
		return err
	}
	n, err := mpint(modulus)
	if err != nil {
		return err
	}
	switch bits := n.BitLen(); {
	case bits > maxRSABits:
		return ErrKeyRSATooLarge
	case bits < max(minRSABits, policy.MinRSABits):
		return ErrKeyRSATooSmall
	case e.BitLen() > maxExponentBits || e.Int64() < minRSAExponent || e.Bit(0) == 0:
		return ErrKeyRSAExponent
	case n.Bit(0) == 0:
		return ErrKeyRSAModulus
	case !policy.Sealed && factorable(n):
		return ErrKeyRSAModulus
	}
	return nil
}

// factorable reports whether an odd modulus gives up its factors to a short
// search (requirement R6): small primes, a square, primes close to each other,
// or no factors at all, in which case the private exponent is plain to see.
func factorable(n *big.Int) bool {
	return hasSmallFactor(n) || hasCloseFactors(n) || n.BitLen() <= primalityBits && passesAsPrime(n)
}

func hasSmallFactor(n *big.Int) bool {
	one := big.NewInt(1)
	r := new(big.Int).Rem(primorial(smallFactor), n)
	return r.GCD(nil, nil, n, r).Cmp(one) != 0
}

// primorial returns the product of the odd primes below limit. It takes half a
// millisecond, which spares a variable.
func primorial(limit int) *big.Int {
	composite := make([]bool, limit)
	product, word := big.NewInt(1), uint64(1)
	for i := 3; i < limit; i += 2 {
		if composite[i] {
			continue
		}
		for j := i * i; j < limit; j += 2 * i {
			composite[j] = true
		}
		if word *= uint64(i); word >= 1<<48 { // the next prime may not fit
			product.Mul(product, new(big.Int).SetUint64(word))
			word = 1
		}
	}
	return product.Mul(product, new(big.Int).SetUint64(word))
}

// hasCloseFactors searches as Fermat did for a and b with n = a² - b² = (a+b)(a-b),
// beginning with the root of n. b = 0 is a square.
func hasCloseFactors(n *big.Int) bool {
	a := new(big.Int).Sqrt(n)
	rest := new(big.Int).Mul(a, a)
	if rest.Cmp(n) == 0 {
		return true
	}
	one := big.NewInt(1)
	for range fermatSteps {
		a.Add(a, one)
		if square(rest.Mul(a, a).Sub(rest, n)) {
			return true
		}
	}
	return false
}

// square reports whether n, not negative, is a square. Squares leave 12 of the 64
// remainders modulo 64, which settles most numbers without a root.
func square(n *big.Int) bool {
	const remainders = 1<<0 | 1<<1 | 1<<4 | 1<<9 | 1<<16 | 1<<17 | 1<<25 | 1<<33 | 1<<36 | 1<<41 | 1<<49 | 1<<57
	if remainders>>(new(big.Int).And(n, big.NewInt(63)).Uint64())&1 == 0 {
		return false
	}
	root := new(big.Int).Sqrt(n)
	return root.Mul(root, root).Cmp(n) == 0
}

// passesAsPrime is Fermat's test to the base 2: every prime passes. That a product of
// two primes of an honest generator passes has never been seen, and would be no
// loss; so one round is enough.
func passesAsPrime(n *big.Int) bool {
	one := big.NewInt(1)
	exponent := new(big.Int).Sub(n, one)
	return new(big.Int).Exp(big.NewInt(2), exponent, n).Cmp(one) == 0
}
