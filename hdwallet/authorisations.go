package hdwallet

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/bursar-go/bursar/chain"
)

// maxLine is the longest line of authorisations that can be right.
const maxLine = 512

// Authorisations are those that WriteAuthorisations made: by which deposit addresses of
// combined wallets delegate to the contract of their chain, without their keys. Every
// one in it was verified to be by the key of its index, for the contract and the chain
// that the codecs know; a file that was changed, or is for another installation, is
// refused when it is read.
//
// It grows by Read and never changes otherwise. It takes 65 bytes for each, has no
// secrets, and is safe for concurrent use. Make one with NewAuthorisations.
type Authorisations struct {
	// bound is what is signed on each chain; accounts are those of the wallets, by the
	// id that keys are named by.
	bound    map[chain.ID]block
	chains   map[chain.ID]*chainPolicy
	accounts map[string]*Account

	reading sync.Mutex // one Read at a time
	mu      sync.RWMutex
	spans   map[spanKey][]span // those of a key in the order of their indexes
	n       int
}

// spanKey is whose authorisations for which chain a span has.
type spanKey struct {
	chain  chain.ID
	wallet string // of the deposits' account
}

// span are authorisations of indexes that follow each other, in pieces of
// authorisationsAtOnce, the last one of what is left.
type span struct {
	from   uint32
	count  int
	pieces [][]byte
}

func (s *span) overlaps(from uint32, count int) bool {
	return uint64(from) < uint64(s.from)+uint64(s.count) && uint64(s.from) < uint64(from)+uint64(count)
}

// at is the signature of an index; nil where the span does not have it.
func (s *span) at(index uint32) []byte {
	i := int64(index) - int64(s.from)
	if i < 0 || i >= int64(s.count) {
		return nil
	}
	piece := s.pieces[i/authorisationsAtOnce]
	i %= authorisationsAtOnce
	return piece[i*signatureLength : (i+1)*signatureLength]
}

// NewAuthorisations returns an empty set for combined wallets (Combine): another one is
// refused, because its sponsor's key tells those of its deposits. codecs are the chains';
// those without a contract are passed over. Errors are *ConfigError.
func NewAuthorisations(codecs map[chain.ID]chain.Codec, wallets ...*Wallet) (*Authorisations, error) {
	a := &Authorisations{
		bound: make(map[chain.ID]block), chains: make(map[chain.ID]*chainPolicy), accounts: make(map[string]*Account), spans: make(map[spanKey][]span),
	}
	for _, id := range sortedKeys(codecs) {
		known, err := compileChain(id, codecs[id])
		if err != nil {
			return nil, err
		}
		a.chains[id] = known
		b := block{chain: id}
		switch err := b.bind(codecs[id]); {
		case err == nil:
			a.bound[id] = b
		case !errors.Is(err, chain.ErrUnsupported):
			return nil, &ConfigError{Field: fmt.Sprintf("codecs[%s]", id), Reason: err.Error()}
		}
	}
	if len(wallets) == 0 {
		return nil, &ConfigError{Field: "wallets", Reason: "want at least one"}
	}
	for i, w := range wallets {
		field := fmt.Sprintf("wallets[%d]", i)
		if w == nil || w.own == nil {
			return nil, &ConfigError{Field: field, Reason: "want a combined wallet: where own accounts and deposits are of one, the key of the sponsor and the xpub tell those of the deposits"}
		}
		for _, id := range sortedKeys(a.chains) {
			account, err := w.Account(a.chains[id].coinType)
			if err != nil {
				return nil, &ConfigError{Field: field, Reason: err.Error()}
			}
			a.accounts[account.id] = account
		}
	}
	return a, nil
}

// Len is how many authorisations there are.
func (a *Authorisations) Len() int {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.n
}

// Has reports whether there is an authorisation of that key on a chain.
func (a *Authorisations) Has(id chain.ID, key chain.KeyRef) bool {
	account, index, ok := a.deposit(key)
	return ok && a.find(spanKey{id, account.deposits}, index) != nil
}

// deposit is the account of a key and its index, where it is a deposit's of the wallets.
func (a *Authorisations) deposit(key chain.KeyRef) (account *Account, index uint32, ok bool) {
	account = a.accounts[key.Wallet]
	coinType, change, index, ok := parsePath(key.Path)
	return account, index, ok && change == 0 && account != nil && coinType == account.coinType
}

func (a *Authorisations) find(k spanKey, index uint32) []byte {
	a.mu.RLock()
	defer a.mu.RUnlock()
	i, found := slices.BinarySearchFunc(a.spans[k], index, func(s span, index uint32) int { return cmp.Compare(s.from, index) })
	if !found {
		i--
	}
	if i < 0 {
		return nil
	}
	return a.spans[k][i].at(index)
}

// Read adds what WriteAuthorisations wrote, one or several of it behind each other, and
// returns how many that were: all or none of it. Each is verified, by all processors, at
// about 0.2 ms of one. Nothing is taken on trust, so that it does not matter who kept r.
//
// What is wrong is an *AuthorisationError: another chain, contract or wallet than these,
// a signature that is not by the key of its index or has a high s, an index that is
// there already, something cut off or more than MaxAuthorisations. Errors of r are
// wrapped; where ctx ends, the error is ctx's.
func (a *Authorisations) Read(ctx context.Context, r io.Reader) (n int, err error) {
	a.reading.Lock()
	defer a.reading.Unlock()
	in := &authorisationReader{set: a, lines: bufio.NewReaderSize(r, maxLine), new: make(map[spanKey][]span)}
	for {
		more, err := in.block(ctx)
		if err != nil {
			return 0, err
		}
		if !more {
			break
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for k, spans := range in.new {
		all := append(slices.Clone(a.spans[k]), spans...)
		slices.SortFunc(all, func(x, y span) int { return cmp.Compare(x.from, y.from) })
		a.spans[k] = all
	}
	a.n += in.n
	return in.n, nil
}

// authorisationReader is one Read.
type authorisationReader struct {
	set   *Authorisations
	lines *bufio.Reader
	line  int
	new   map[spanKey][]span
	n     int
}

func (in *authorisationReader) bad(index int64, format string, args ...any) error {
	return &AuthorisationError{Line: in.line, Index: index, Reason: fmt.Sprintf(format, args...)}
}

// next is a line without its end; io.EOF behind the last one.
func (in *authorisationReader) next() (string, error) {
	in.line++
	line, err := in.lines.ReadSlice('\n')
	switch {
	case err == nil:
		return string(line[:len(line)-1]), nil
	case errors.Is(err, bufio.ErrBufferFull):
		return "", in.bad(-1, "longer than any line is")
	case errors.Is(err, io.EOF) && len(line) == 0:
		return "", io.EOF
	case errors.Is(err, io.EOF):
		return "", in.bad(-1, "cut off: the last line has no end")
	}
	return "", fmt.Errorf("hdwallet: reading authorisations: %w", err)
}

// block reads one block; false where there is none any more.
func (in *authorisationReader) block(ctx context.Context) (more bool, err error) {
	line, err := in.next()
	switch {
	case errors.Is(err, io.EOF) && in.line > 1:
		return false, nil
	case errors.Is(err, io.EOF):
		return false, in.bad(-1, "empty")
	case err != nil:
		return false, err
	}
	b, account, err := in.head(line)
	if err != nil {
		return false, err
	}
	s := span{from: b.from, count: b.count}
	for done := 0; done < b.count; {
		if err := ctx.Err(); err != nil {
			return false, fmt.Errorf("hdwallet: reading authorisations: %w", err)
		}
		first := in.line + 1
		list, err := in.signatures(b.from+uint32(done), min(authorisationsAtOnce*runtime.GOMAXPROCS(0), b.count-done))
		if err != nil {
			return false, err
		}
		if at, reason := b.verifyAll(account, b.from+uint32(done), list); reason != "" {
			return false, &AuthorisationError{Line: first + int(at-b.from) - done, Index: int64(at), Reason: reason}
		}
		for piece := range slices.Chunk(list, authorisationsAtOnce) {
			s.pieces = append(s.pieces, slices.Concat(piece...))
		}
		done += len(list)
	}
	switch line, err = in.next(); {
	case errors.Is(err, io.EOF):
		return false, in.bad(-1, "cut off: the line %q is missing", authorisationsEnd)
	case err != nil:
		return false, err
	case line != authorisationsEnd:
		return false, in.bad(-1, "want %q after %d authorisations", authorisationsEnd, b.count)
	}
	k := spanKey{b.chain, b.wallet}
	in.new[k] = append(in.new[k], s)
	in.n += b.count
	return true, nil
}

// signatures reads n lines.
func (in *authorisationReader) signatures(from uint32, n int) ([][]byte, error) {
	out, text := make([][]byte, n), authorisationText()
	for i := range out {
		index := int64(from) + int64(i)
		line, err := in.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil, in.bad(index, "cut off: there is nothing more")
		case err != nil:
			return nil, err
		}
		if out[i], err = text.DecodeString(line); err != nil {
			return nil, in.bad(index, "not a signature in base64")
		}
	}
	return out, nil
}

// verifyAll is verify by all processors; of several wrong ones it tells the first.
func (b *block) verifyAll(account *Account, from uint32, signatures [][]byte) (at uint32, reason string) {
	type finding struct {
		at     uint32
		reason string
	}
	pieces := slices.Collect(slices.Chunk(signatures, authorisationsAtOnce))
	found := make([]finding, len(pieces))
	var all sync.WaitGroup
	for i, piece := range pieces {
		all.Go(func() {
			found[i].at, found[i].reason = b.verify(account, from+uint32(i*authorisationsAtOnce), piece)
		})
	}
	all.Wait()
	for _, f := range found {
		if f.reason != "" {
			return f.at, f.reason
		}
	}
	return 0, ""
}

// head reads the first line of a block, and refuses one that is not for this set.
func (in *authorisationReader) head(line string) (b block, account *Account, err error) {
	fail := func(format string, args ...any) (block, *Account, error) {
		return block{}, nil, in.bad(-1, format, args...)
	}
	words := strings.Split(line, " ")
	if len(words) != 8 || words[0] != authorisationsName {
		return fail("not the beginning of authorisations")
	}
	if words[1] != "v1" {
		return fail("written by another version")
	}
	var values [6]string
	for i, name := range []string{"chain", "contract", "wallet", "nonce", "from", "count"} {
		value, ok := strings.CutPrefix(words[2+i], name+"=")
		if !ok {
			return fail("want %s where there is %q", name, words[2+i])
		}
		values[i] = value
	}
	id := chain.ID(values[0])
	b, known := in.set.bound[id]
	switch {
	case in.set.chains[id] == nil:
		return fail("for chain %q, which is not configured", values[0])
	case !known:
		return fail("for chain %s, of which no contract is configured", id)
	case b.contract != chain.Address(values[1]):
		return fail("for the contract %q, that of %s is %s", values[1], id, b.contract)
	case values[3] != "0":
		return fail("for nonce %q, want 0", values[3])
	}
	b.wallet = values[2]
	for _, name := range sortedKeys(in.set.accounts) {
		if it := in.set.accounts[name]; it.deposits == b.wallet && it.coinType == in.set.chains[id].coinType {
			account = it
		}
	}
	if account == nil {
		return fail("of the wallet %q, whose deposits are none of these", b.wallet)
	}
	from, err1 := strconv.ParseUint(values[4], 10, 31)
	count, err2 := strconv.ParseUint(values[5], 10, 31)
	if b.from, b.count = uint32(from), int(count); err1 != nil || err2 != nil || count == 0 || from+count > hardened || b.header() != line {
		return fail("want a range of indexes below 2^31")
	}
	if in.set.Len()+in.n+b.count > MaxAuthorisations {
		return fail("with these there would be more than %d", MaxAuthorisations)
	}
	k := spanKey{id, b.wallet}
	in.set.mu.RLock()
	defer in.set.mu.RUnlock()
	for _, s := range slices.Concat(in.set.spans[k], in.new[k]) {
		if s.overlaps(b.from, b.count) {
			return b, nil, in.bad(int64(max(s.from, b.from)), "is there twice")
		}
	}
	return b, account, nil
}
