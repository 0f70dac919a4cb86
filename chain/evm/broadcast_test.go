package evm

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

func broadcast(t testing.TB, n *figures, s chain.Signed) error {
	return n.writer().broadcast(t.Context(), s)
}

func TestBroadcast(t *testing.T) {
	n := newNode(t)
	s := sent(t, n, payNative(1000))
	n.answers["eth_sendRawTransaction"] = string(s.ID)
	require.NoError(t, broadcast(t, n, s))
	require.Equal(t, []any{hexBytes(s.Raw)}, n.params["eth_sendRawTransaction"])
}

func TestBroadcastRefusesOtherHash(t *testing.T) {
	n := newNode(t)
	s := sent(t, n, payNative(1000))
	for _, answer := range []any{hexWord(1), "", nil} {
		n.answers["eth_sendRawTransaction"] = answer
		require.ErrorIs(t, broadcast(t, n, s), chain.ErrTransient)
	}
}

func TestBroadcastRefusesChangedBytes(t *testing.T) {
	n := newNode(t)
	for name, change := range map[string]func(*chain.Signed){
		"bytes":    func(s *chain.Signed) { s.Raw[20] ^= 1 },
		"no bytes": func(s *chain.Signed) { s.Raw = nil },
		"id":       func(s *chain.Signed) { s.ID = chain.TxID(hexWord(1)) },
		"chain":    func(s *chain.Signed) { s.Chain = "eip155:2" },
	} {
		s := sent(t, n, payNative(1000))
		change(&s)
		requireFormat(t, broadcast(t, n, s), "signed transaction")
		require.NotContains(t, n.asked, "eth_sendRawTransaction", name)
	}
}

// dialects are texts as nodes send them, by what they mean.
var dialects = map[string][]string{
	"known": {
		"already known", "known transaction: 4c1b…", "Known transaction", "ALREADY_EXISTS: already known", "AlreadyKnown",
		"Transaction with the same hash was already imported.", "transaction already imported", "TRANSACTION_ALREADY_KNOWN",
	},
	"spent": {
		"nonce too low", "nonce too low: next nonce 5, tx nonce 4", "nonce too low: address 0xf39F, tx: 4 state: 5", "Nonce too low",
		"NONCE_TOO_LOW", "OldNonce", "OldNonce, Current nonce: 5, nonce of rejected tx: 4",
		"Transaction nonce is too low. Try incrementing the nonce.", "failed with 50000000 gas: nonce too low",
	},
	"cheap": {
		"replacement transaction underpriced", "transaction underpriced", "transaction underpriced: tip needed 1, tip permitted 0",
		"transaction gas price below minimum: gas tip cap 0, minimum needed 1000000", "Replacement transaction underpriced",
		"max fee per gas less than block base fee: address 0xf39F, maxFeePerGas: 1, baseFee: 7", "ReplacementNotAllowed",
		"FeeTooLow, MaxFeePerGas too low.", "FeeTooLowToCompete", "Gas price below configured minimum gas price",
		"TRANSACTION_REPLACEMENT_UNDERPRICED", "could not replace existing tx", "fee cap less than block base fee",
		"Transaction gas price is too low. There is another transaction with same nonce in the queue.", "INTERNAL_ERROR: feecap too low",
		"max priority fee per gas below minimum",
	},
	"poor": {
		"insufficient funds for gas * price + value: balance 0, tx cost 1, overshot 1", "Insufficient funds for gas * price + value",
		"insufficient funds for transfer", "InsufficientFunds, Account balance: 0, cumulative cost: 1", "insufficient MaxFeePerGas for sender balance",
		"Upfront cost exceeds account balance", "UPFRONT_COST_EXCEEDS_BALANCE",
		"sender doesn't have enough funds to send tx. The upfront cost is: 1",
		"Insufficient funds. The account you tried to send transaction from does not have enough funds.",
		"gas price too low for: insufficient funds",
	},
	"unknown": {
		"unknown transaction type", "transaction type not supported", "nonce too high", "intrinsic gas too low", "invalid sender",
		"exceeds block gas limit", "txpool is full", "internal error", "Unknown Transaction", "rlp: expected input list", "",
	},
}

func TestBroadcastDialects(t *testing.T) {
	for meaning, texts := range dialects {
		for _, text := range texts {
			t.Run(meaning+"/"+text, func(t *testing.T) {
				n := newNode(t)
				s := sent(t, n, payNative(1000))
				cause := refused(-32000, text)
				n.broken["eth_sendRawTransaction"] = cause
				n.answers["eth_getTransactionByHash"], n.answers["eth_getTransactionReceipt"] = nil, nil
				err := broadcast(t, n, s)
				var poor *chain.InsufficientFundsError
				require.Equal(t, meaning == "known", err == nil)
				require.Equal(t, meaning == "spent", errors.Is(err, chain.ErrLockSpent))
				require.Equal(t, meaning == "cheap", errors.Is(err, chain.ErrUnderpriced))
				require.Equal(t, meaning == "poor", errors.As(err, &poor))
				if err != nil {
					require.ErrorIs(t, err, cause, "the node's own words are kept")
				}
			})
		}
	}
}

// No answer means an unknown outcome: not spent, not refused.
func TestThreat_C10_LostAnswerIsUnknown(t *testing.T) {
	n := newNode(t)
	s := sent(t, n, payNative(1000))
	n.broken["eth_sendRawTransaction"] = &TransportError{Host: "h", Cause: "timeout", err: chain.ErrTransient}
	err := broadcast(t, n, s)
	require.ErrorIs(t, err, chain.ErrTransient)
	require.NotErrorIs(t, err, chain.ErrLockSpent)
	require.ErrorContains(t, err, string(s.ID))
	// The same bytes again are fine whatever became of the first.
	n.broken["eth_sendRawTransaction"] = refused(-32000, "already known")
	require.NoError(t, broadcast(t, n, s))
}

func TestThreat_C11_NonceTooLowAfterOwnRetry(t *testing.T) {
	for name, c := range map[string]struct {
		tx, receipt any
		broken      string
		want        error
	}{
		"in the pool or a block":    {tx: map[string]any{"hash": "0x"}},
		"only its receipt is known": {receipt: map[string]any{"status": "0x1"}},
		"unknown":                   {want: chain.ErrLockSpent},
		"lookup fails":              {broken: "eth_getTransactionByHash", want: chain.ErrTransient},
		"second lookup fails":       {broken: "eth_getTransactionReceipt", want: chain.ErrTransient},
	} {
		n := newNode(t)
		s := sent(t, n, payNative(1000))
		n.broken["eth_sendRawTransaction"] = refused(-32000, "nonce too low")
		n.answers["eth_getTransactionByHash"], n.answers["eth_getTransactionReceipt"] = c.tx, c.receipt
		if c.broken != "" {
			n.broken[c.broken] = fmt.Errorf("down: %w", chain.ErrTransient)
		}
		err := broadcast(t, n, s)
		if c.want == nil {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorIs(t, err, c.want, name)
		require.Equal(t, c.want == chain.ErrLockSpent, errors.Is(err, chain.ErrLockSpent), name)
		require.Equal(t, []any{string(s.ID)}, n.params["eth_getTransactionByHash"], name)
	}
}

func TestThreat_C12_InsufficientFundsNamesFigures(t *testing.T) {
	n := newNode(t)
	s := sent(t, n, payNative(1000))
	n.broken["eth_sendRawTransaction"] = refused(-32000, "insufficient funds for gas * price + value")
	n.balance = "7"
	var poor *chain.InsufficientFundsError
	require.ErrorAs(t, broadcast(t, n, s), &poor)
	require.Equal(t, &chain.InsufficientFundsError{
		Account: alice, Asset: nativeAsset(1), Required: chain.NewAmount(21000*21*gwei + 1000), Available: chain.NewAmount(7),
	}, poor)
	n.broken["eth_getBalance"] = errors.New("down")
	require.ErrorAs(t, broadcast(t, n, s), &poor)
	require.True(t, poor.Available.IsZero())
}
