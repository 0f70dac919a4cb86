package bursar_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/chain/quorum"
)

// choir is a gateway whose client is a quorum of simulated providers.
type choir struct {
	*flow
	nodes []*chaintest.Client
	q     *quorum.Client
}

// newChoir makes a gateway on n providers of n operators, "a", "b", …
func newChoir(t *testing.T, n int, cfg quorum.Config, o bursartest.Options) *choir {
	t.Helper()
	c := &choir{}
	cfg.HedgeLeast, cfg.HedgeMost = time.Hour, time.Hour // nobody is slow here but by the machine's doing
	o.Client = func(first chain.Client) chain.Client {
		network := first.(*chaintest.Client).Network()
		for i := range n {
			c.nodes = append(c.nodes, network.Client())
			cfg.Providers = append(cfg.Providers, quorum.Provider{Name: string(rune('a' + i)), Client: c.nodes[i]})
		}
		var err error
		c.q, err = quorum.New(cfg)
		require.NoError(t, err)
		return c.q
	}
	c.flow = newFlow(t, o)
	return c
}

// invented is a deposit for a payment in the next block, as only a liar tells it.
func (c *choir) invented(p bursar.Payment) chaintest.Lies {
	return chaintest.Inventing(chain.Transfer{
		ID: chain.TransferID{Tx: "0x" + chain.TxID(p.ID), Ordinal: "t:" + string(p.Asset.Contract) + ":" + string(p.Address) + ":0"}, Asset: p.Asset.ID,
		From: c.Chain.Payer("mallory"), To: p.Address, Amount: p.Amount, Block: c.Chain.Head().Height + 1, Via: chain.ViaDirect,
	})
}

// aside are the providers that are put aside, with their faults.
func (c *choir) aside() map[string]quorum.Fault {
	out := map[string]quorum.Fault{}
	for _, p := range c.q.Providers() {
		if p.Aside {
			out[p.Name] = p.Fault
		}
	}
	return out
}

// TestThreat_C8_GatewayCreditsNothingInvented: a deposit that one of three
// providers makes up never reaches the ledger, whichever of them it is.
func TestThreat_C8_GatewayCreditsNothingInvented(t *testing.T) {
	for liar := range 3 {
		c := newChoir(t, 3, quorum.Config{Agree: 2}, bursartest.Options{Chain: tagged()})
		p := c.Create("USDC", "25")
		c.nodes[liar].Lie(c.invented(p))
		c.Settle()
		require.Equal(t, bursar.StatusPending, c.Payment(p).Status)
		require.Empty(t, c.Transactions(p))
		require.Zero(t, c.count(bursar.TransactionDetected, p.ID))
		if liar < 2 {
			require.Equal(t, map[string]quorum.Fault{string(rune('a' + liar)): quorum.FaultContradicted}, c.aside())
		}
		c.Pay(p)
		c.Settle()
		require.Equal(t, bursar.StatusSettled, c.Payment(p).Status, "two honest ones carry on, and sweep")
		c.noBrokenRules()
	}
}

// TestThreat_C8_AloneIsBelieved: what the agreement is for: a gateway that
// believes one provider credits what that one makes up.
func TestThreat_C8_AloneIsBelieved(t *testing.T) {
	c := newChoir(t, 3, quorum.Config{Agree: 1}, bursartest.Options{SkipLedger: true})
	p := c.Create("USDC", "25")
	c.nodes[0].Lie(c.invented(p))
	c.Confirm()
	require.Equal(t, bursar.StatusConfirmed, c.Payment(p).Status)
}

// TestThreat_C9_GatewayCreditsWhatIsHidden: a deposit that one of three providers
// hides is credited and swept.
func TestThreat_C9_GatewayCreditsWhatIsHidden(t *testing.T) {
	for liar := range 3 {
		c := newChoir(t, 3, quorum.Config{Agree: 2}, bursartest.Options{Chain: tagged()})
		p := c.Create("ETH", "2")
		c.nodes[liar].Lie(chaintest.Hiding(c.Pay(p)))
		c.Confirm()
		require.Equal(t, bursar.StatusConfirmed, c.Payment(p).Status)
		c.Settle()
		require.Equal(t, bursar.StatusSettled, c.Payment(p).Status)
		c.noBrokenRules()
	}
}

// TestThreat_C9_GatewaySamples: a gateway that believes its own node and has a
// spare look at some pages stops at a deposit that the node hides, and credits
// it once the node is mended.
func TestThreat_C9_GatewaySamples(t *testing.T) {
	c := newChoir(t, 2, quorum.Config{Sample: 2, Rand: rand.NewPCG(3, 4)}, bursartest.Options{})
	var p bursar.Payment
	for range 20 {
		p = c.Create("USDC", "25")
		c.nodes[0].Lie(chaintest.Hiding(c.Pay(p)))
		c.Chain.Mine(1)
		if c.tryStep() != nil {
			break
		}
	}
	require.True(t, c.q.View().Diverged)
	require.Empty(t, c.Transactions(p))
	for range 20 {
		c.Chain.Mine(1)
		var dispute *quorum.DivergenceError
		require.ErrorAs(t, c.tryStep(), &dispute, "it stays where it is")
	}
	c.nodes[0].Lie(chaintest.Lies{})
	require.NoError(t, c.tryStep())
	c.Confirm()
	require.Equal(t, bursar.StatusConfirmed, c.Payment(p).Status)
}

// TestThreat_A20_GatewayHaltsOnASplit: two providers that must agree and do not
// hold everything up: nothing is credited and nothing expires, until they do.
func TestThreat_A20_GatewayHaltsOnASplit(t *testing.T) {
	c := newChoir(t, 2, quorum.Config{Agree: 2}, bursartest.Options{})
	p, unpaid := c.Create("USDC", "25"), c.Create("USDC", "30")
	c.Pay(p)
	c.Mine(1)
	scanned := c.state().Tip()
	stuck := c.Chain.Rewind(1)
	c.nodes[1].Pin(stuck)
	c.Chain.AdvanceTime(48 * time.Hour)
	c.Chain.Mine(8)
	for range 3 {
		_ = c.tryStep()
	}
	require.Equal(t, scanned, c.state().Tip(), "no block that they do not share")
	require.NotEqual(t, bursar.StatusConfirmed, c.Payment(p).Status)
	require.Equal(t, bursar.StatusPending, c.Payment(unpaid).Status, "no verdict either")
	c.nodes[1].Pin("")
	c.Mine(3)
	require.Equal(t, bursar.StatusConfirmed, c.Payment(p).Status)
	require.Equal(t, bursar.StatusExpired, c.Payment(unpaid).Status)
	c.noBrokenRules()
}

// TestQuorumFailsOver: one provider after the other goes away, and no payment
// notices.
func TestQuorumFailsOver(t *testing.T) {
	c := newChoir(t, 3, quorum.Config{Agree: 1, Cooldown: time.Millisecond, MaxCooldown: time.Millisecond}, bursartest.Options{Chain: tagged()})
	for i := range 6 {
		p := c.Create([]string{"ETH", "USDC"}[i%2], "2")
		c.nodes[i%3].Fail(func(call chaintest.Call) error {
			if call.Method == chaintest.MethodSign {
				return nil // which asks no node
			}
			return errNode
		})
		c.Pay(p)
		c.Settle()
		require.Equal(t, bursar.StatusSettled, c.Payment(p).Status)
		c.nodes[i%3].Fail(nil)
	}
	c.noBrokenRules()
}

// TestQuorumFollowsReorgs: a branch that all providers leave is left.
func TestQuorumFollowsReorgs(t *testing.T) {
	for agree := 1; agree <= 3; agree++ {
		c := newChoir(t, 3, quorum.Config{Agree: agree}, bursartest.Options{})
		p := c.Create("ETH", "1")
		c.Pay(p)
		c.Mine(1)
		c.Reorg(1)
		require.Equal(t, bursar.StatusDetected, c.Payment(p).Status)
		c.Settle()
		require.Equal(t, bursar.StatusSettled, c.Payment(p).Status)
		c.noBrokenRules()
	}
}

// TestQuorumRandomLiar: whatever one of three tells, at random and changing all
// the time, the ledger has what the chain has, and no step fails.
func TestQuorumRandomLiar(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 7))
			c := newChoir(t, 3, quorum.Config{Agree: 2, Cooldown: time.Millisecond, MaxCooldown: time.Millisecond}, bursartest.Options{Chain: tagged()})
			liar := c.nodes[rnd.IntN(3)]
			for range 40 {
				switch p := c.Create([]string{"ETH", "USDC"}[rnd.IntN(2)], "2"); rnd.IntN(7) {
				case 0:
					liar.Lie(c.invented(p))
				case 1:
					liar.Lie(chaintest.Hiding(c.Pay(p)))
				case 2:
					c.Pay(p)
				case 3:
					liar.Lag(rnd.Uint64N(8))
				case 4:
					liar.Pin(c.Chain.Head().Hash)
				case 5:
					liar.Lie(chaintest.Lies{})
					liar.Lag(0)
					liar.Pin("")
				case 6:
					c.Chain.Reorg(1 + rnd.IntN(2))
				}
				c.Mine(1)
			}
			c.Settle()
			c.noBrokenRules()
		})
	}
}
