package chaintest

import (
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

// workSlack is how far, in percent, a client's word on the work may be from what an
// ordinary transaction takes.
const workSlack = 10

// worker is the client's capability.
func (s *suite) worker() chain.WorkEstimator {
	w, ok := chain.As[chain.WorkEstimator](s.Client)
	s.need(ok, "the client is no WorkEstimator")
	return w
}

// takes requires that a transaction took about what was told.
func (s *suite) takes(told chain.Work, used uint64, what string) {
	s.Helper()
	require.LessOrEqual(s, told.Now*100, used*(100+workSlack), "%s took %d, the client tells %d", what, used, told.Now)
	require.GreaterOrEqual(s, told.Now*100, used*(100-workSlack), "%s took %d, the client tells %d", what, used, told.Now)
}

// collection is one of a plain token or of coin.
func (s *suite) collection(way chain.CollectionWay, first, again int) chain.Collection {
	if way == chain.WayTransfer {
		return chain.Collection{Asset: s.info.Native, Way: way, First: first, Again: again}
	}
	return chain.Collection{Asset: s.Tokens[TokenPlain], Way: way, First: first, Again: again}
}

// checkWork: the same is told always, more addresses never take less, nothing takes
// nothing, and what the client does not do it tells no figure of.
func checkWork(s *suite) {
	w := s.worker()
	batches := 0
	if b, ok := chain.As[chain.Batcher](s.Client); ok {
		batches = b.Batching().MaxMoves
	}
	for _, way := range []chain.CollectionWay{chain.WayTransfer, chain.WayTopUp, chain.WayBatch} {
		one := w.Work(s.collection(way, 1, 0))
		require.Equal(s, one, w.Work(s.collection(way, 1, 0)), "%s: it does not change", way)
		require.Equal(s, one.Next == 0, one.Rules == "", "%s: a projection says of which rules", way)
		if way == chain.WayBatch {
			require.Equal(s, batches == 0, one.Now == 0, "batches are told of where there are any")
		}
		for _, none := range [][2]int{{0, 0}, {-1, 0}, {0, -3}} {
			require.Zero(s, w.Work(s.collection(way, none[0], none[1])), "%s of no address", way)
		}
		require.Equal(s, one, w.Work(s.collection(way, 1, -5)), "%s: below zero is zero", way)
		last := chain.Work{}
		for n := 1; n <= 5; n++ {
			for _, of := range []chain.Collection{s.collection(way, n, 0), s.collection(way, n, n)} {
				got := w.Work(of)
				require.LessOrEqual(s, last.Now, got.Now, "%s of %d and %d", way, of.First, of.Again)
				require.LessOrEqual(s, last.Next, got.Next, "%s of %d and %d, next", way, of.First, of.Again)
				require.Equal(s, one.Now > 0, got.Now > 0, way)
			}
			last = w.Work(s.collection(way, n, 0))
			require.LessOrEqual(s, w.Work(s.collection(way, 0, n)).Now, last.Now, "%s: who gave before takes no more", way)
		}
	}
	unknown := s.collection("by a messenger", 1, 1)
	for _, unknown.Asset = range []chain.Asset{s.info.Native, s.Tokens[TokenPlain]} {
		require.Zero(s, w.Work(unknown), "a way that is none")
	}
	unknown.Way, unknown.Asset = chain.WayTopUp, s.info.Native
	require.Zero(s, w.Work(unknown), "coin is topped up with nothing")
	unknown.Way, unknown.Asset = chain.WayTransfer, s.Tokens[TokenPlain]
	require.Zero(s, w.Work(unknown), "a token is no coin, and pays for nothing")
}

// checkWorkAlone: what is told of addresses that pay for themselves is what they pay.
func checkWorkAlone(s *suite) {
	w := s.worker()
	to, token := s.account("treasury").Address, s.Tokens[TokenPlain]
	s.PayToken(TokenPlain, to, units(1))
	s.PayNative(to, units(1))
	from := s.rich("from")
	s.PayToken(TokenPlain, from.Address, units(123_456_789))
	s.Mine(1)
	_, sent := s.send(intent(from, to, token, units(123_456_789)))
	_, coin := s.send(all(from, to, s.info.Native))
	s.takes(w.Work(s.collection(chain.WayTransfer, 1, 0)), coin.GasUsed, "a transfer of coin")
	// A top-up is a transfer of coin to an account, and of a token by it.
	s.takes(w.Work(s.collection(chain.WayTopUp, 0, 1)), coin.GasUsed+sent.GasUsed, "a top-up and a transfer")
	require.Equal(s, 3*w.Work(s.collection(chain.WayTopUp, 0, 1)).Now, w.Work(s.collection(chain.WayTopUp, 0, 3)).Now, "each by itself")
}

// checkBatchWork: what is told of batches is what they take.
func checkBatchWork(s *batchSuite) {
	w := s.worker()
	s.PayToken(TokenPlain, s.treasury, units(1))
	of := s.sources(4)
	everything := func(of []chain.Account) chain.Intent {
		in := s.collect(of...)
		for i := range in.Moves {
			in.Moves[i].Amount = units(deposit)
		}
		return in
	}
	first := s.lands(s.sign(s.prepare(everything(of))))
	s.takes(w.Work(s.collection(chain.WayBatch, 4, 0)), first.GasUsed, "a first batch of four")
	more := append(s.sources(2), of...)
	s.deposit(of...)
	again := s.lands(s.sign(s.prepare(everything(more))))
	s.takes(w.Work(s.collection(chain.WayBatch, 2, 4)), again.GasUsed, "a batch of two new ones and four")
	s.deposit(of[0])
	alone := s.lands(s.sign(s.prepare(everything(of[:1]))))
	s.takes(w.Work(s.collection(chain.WayBatch, 0, 1)), alone.GasUsed, "a batch of one")
}
