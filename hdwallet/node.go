package hdwallet

import (
	"crypto/hmac"
	"crypto/sha512"
	"encoding/binary"
	"hash"
	"sync"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
)

// batchSize is how many keys share one modular inversion. An inversion costs
// about a third of a key's base multiplication, so beyond a few dozen its share
// vanishes; 256 keys need 40 KB.
const batchSize = 256

// node is a public key with its chain code, valid by construction and never
// written to again, so that any number of goroutines derive from it.
type node struct {
	point secp256k1.JacobianPoint // affine: Z is 1, coordinates normalised
	key   [33]byte
	chain [32]byte
}

func newNode(x *extendedKey) (*node, error) {
	pub, err := secp256k1.ParsePubKey(x.key[:])
	if err != nil {
		return nil, err
	}
	n := &node{key: x.key, chain: x.chain}
	pub.AsJacobian(&n.point)
	return n, nil
}

// child returns the node of a non-hardened index and the scalar by which its
// private key exceeds this node's.
func (n *node) child(index uint32) (*node, secp256k1.ModNScalar, bool) {
	w := newWork(n)
	var point secp256k1.JacobianPoint
	var tweak secp256k1.ModNScalar
	w.hash(index)
	if !addTweak(&n.point, (*[32]byte)(w.sum[:32]), &tweak, &point) {
		return nil, tweak, false
	}
	point.ToAffine()
	next := &node{point: point, chain: [32]byte(w.sum[32:])}
	copy(next.key[:], secp256k1.NewPublicKey(&point.X, &point.Y).SerializeCompressed())
	return next, tweak, true
}

// addTweak computes parent + il*G, the public child derivation of BIP-32. It is
// false in the two cases where the child does not exist: il is not below the
// group order, or the sum is the point at infinity. Each has a probability
// below 2^-127, and taking any key instead would make an address that nobody
// can spend from.
func addTweak(parent *secp256k1.JacobianPoint, il *[32]byte, tweak *secp256k1.ModNScalar, sum *secp256k1.JacobianPoint) bool {
	if tweak.SetBytes(il) != 0 {
		return false
	}
	secp256k1.ScalarBaseMultNonConst(tweak, sum)
	secp256k1.AddNonConst(sum, parent, sum)
	return !(sum.X.IsZero() && sum.Y.IsZero()) && !sum.Z.IsZero()
}

// work is what one goroutine needs to derive from one node. It is re-used, so
// that a key costs no allocation.
type work struct {
	mac    hash.Hash // keyed by the chain code; Reset keeps the key's state
	parent secp256k1.JacobianPoint
	msg    [37]byte // parent key, index
	sum    [64]byte
	tweak  secp256k1.ModNScalar
	points [batchSize]secp256k1.JacobianPoint
	prefix [batchSize]secp256k1.FieldVal
	out    [65]byte
}

func newWork(n *node) *work {
	w := &work{mac: hmac.New(sha512.New, n.chain[:]), parent: n.point}
	copy(w.msg[:33], n.key[:])
	return w
}

// hash sets sum to HMAC-SHA512(chain code, parent key || index).
func (w *work) hash(index uint32) {
	binary.BigEndian.PutUint32(w.msg[33:], index)
	w.mac.Reset()
	w.mac.Write(w.msg[:])
	w.mac.Sum(w.sum[:0])
}

// derive computes the affine points of n <= batchSize indexes. It returns how
// many it made: fewer than n where the key after them does not exist.
func (w *work) derive(from uint32, n int) int {
	for i := range n {
		w.hash(from + uint32(i))
		if !addTweak(&w.parent, (*[32]byte)(w.sum[:32]), &w.tweak, &w.points[i]) {
			n = i
			break
		}
		if i == 0 {
			w.prefix[0].Set(&w.points[0].Z)
		} else {
			w.prefix[i].Mul2(&w.prefix[i-1], &w.points[i].Z)
		}
	}
	if n > 0 {
		w.toAffine(n)
	}
	return n
}

// toAffine divides all Z out with a single inversion (Montgomery's trick):
// prefix holds the running products Z0, Z0·Z1, …; going backwards, the inverse
// of a product yields the inverse of its last factor and of the product before.
func (w *work) toAffine(n int) {
	var inverse, z1, z2 secp256k1.FieldVal
	inverse.Set(&w.prefix[n-1]).Inverse()
	for i := n - 1; i >= 0; i-- {
		p := &w.points[i]
		if i > 0 {
			z1.Mul2(&inverse, &w.prefix[i-1])
			inverse.Mul(&p.Z)
		} else {
			z1.Set(&inverse)
		}
		z2.SquareVal(&z1)
		p.X.Mul(&z2).Normalize()
		p.Y.Mul(z2.Mul(&z1)).Normalize()
	}
}

// encode writes the i-th point uncompressed into out.
func (w *work) encode(i int) []byte {
	w.out[0] = secp256k1.PubKeyFormatUncompressed
	w.points[i].X.PutBytesUnchecked(w.out[1:33])
	w.points[i].Y.PutBytesUnchecked(w.out[33:65])
	return w.out[:]
}

// branch is m/44'/coin'/0'/change.
type branch struct {
	*node
	change uint32
	// tweak added to the account's private key gives the branch's.
	tweak secp256k1.ModNScalar
	idle  sync.Pool
	kept  kept
}

func newBranch(account *node, change uint32) (*branch, bool) {
	n, tweak, ok := account.child(change)
	if !ok {
		return nil, false
	}
	b := &branch{node: n, change: change, tweak: tweak}
	b.idle.New = func() any { return newWork(n) }
	return b, true
}

// privateKey adds the branch's and the index's tweaks to the account's key.
func (b *branch) privateKey(account *secp256k1.ModNScalar, index uint32) (*secp256k1.PrivateKey, bool) {
	w := b.idle.Get().(*work)
	defer b.idle.Put(w)
	w.hash(index)
	var k secp256k1.ModNScalar
	if k.SetBytes((*[32]byte)(w.sum[:32])) != 0 {
		return nil, false
	}
	k.Add(&b.tweak).Add(account)
	defer k.Zero()
	if k.IsZero() {
		return nil, false
	}
	return secp256k1.NewPrivateKey(&k), true
}
