package bursar_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/store/memory"
	"github.com/bursar-go/bursar/storetest"
)

// crash is a flow in which one call of store or node goes wrong.
type crash struct {
	*flow
	inner bursar.Store
	armed bool
	// plan is what happens at a point of the store or the node, counted from 1
	// once the scenario has begun.
	plan   func(point int) storetest.Fault
	points int
	store  *storetest.FaultyStore
}

func newCrash(t *testing.T, plan func(int) storetest.Fault) *crash {
	t.Helper()
	c := &crash{plan: plan}
	c.flow = newFlow(t, bursartest.Options{Store: func(now func() time.Time) bursar.Store {
		c.inner = memory.NewWith(memory.Options{Now: now})
		c.store = storetest.Faulty(c.inner, c.reach)
		return c.store
	}})
	c.Store = c.inner // the test's own looks never fail
	return c
}

// reach is the plan of the store.
func (c *crash) reach(p storetest.Point) storetest.Fault {
	if !c.armed || !p.Commits() {
		return storetest.Pass
	}
	c.points++
	return c.plan(c.points)
}

// nodeFails makes the node's calls the points.
func (c *crash) nodeFails(kill bool) {
	c.Chain.Fail(func(call chaintest.Call) error {
		if !c.armed {
			return nil
		}
		c.points++
		if c.plan(c.points) == storetest.Pass {
			return nil
		}
		if kill {
			panic(fmt.Sprintf("killed in %s", call.Method))
		}
		return errNode
	})
	c.store = storetest.Faulty(c.inner, nil)
	c.restart()
}

// restart starts a new process on what is in the database.
func (c *crash) restart() {
	c.t.Helper()
	armed := c.armed
	c.armed = false
	cfg := c.cfg
	cfg.Store = c.store
	c.Gateway = c.another(cfg)
	c.armed = armed
}

// do repeats a call until it succeeds, in a new process where the old one died.
func (c *crash) do(call func() error) {
	c.t.Helper()
	var err error
	for range 6 {
		var died bool
		if err, died = c.try(call); err == nil {
			return
		}
		require.NotErrorIs(c.t, err, bursar.ErrInvariant)
		if died {
			c.store = storetest.Faulty(c.inner, nil)
			if c.Chain != nil && c.store != nil {
				c.restart()
			}
		}
	}
	require.NoError(c.t, err)
}

func (c *crash) try(call func() error) (err error, died bool) {
	defer func() {
		if v := recover(); v != nil {
			err, died = fmt.Errorf("panic: %v", v), true
		}
	}()
	err = call()
	return err, c.store.Crashed()
}

func (c *crash) mine(n int) {
	c.t.Helper()
	for range n {
		c.Chain.Mine(1)
		c.look()
	}
}

func (c *crash) look() {
	c.t.Helper()
	c.do(func() error { return c.Gateway.Step(c.ctx()) })
	c.CheckLedger()
}

func (c *crash) create(symbol, key string) (p bursar.Payment) {
	c.t.Helper()
	c.do(func() (err error) {
		p, err = c.Gateway.CreatePayment(c.ctx(), bursar.PaymentRequest{
			Asset: "local/" + symbol, Amount: decimal.NewFromInt(10), IdempotencyKey: key,
		})
		return err
	})
	return p
}

// crashStories are the scenarios; each begins on a fresh gateway.
func crashStories() map[string]func(c *crash) {
	return map[string]func(c *crash){
		"native coin": func(c *crash) {
			c.Pay(c.create("ETH", "1"))
			c.mine(20)
		},
		"token with gas": func(c *crash) {
			c.Pay(c.create("USDT", "1"))
			c.mine(25)
		},
		"shallow reorg": func(c *crash) {
			p := c.create("USDC", "1")
			c.Pay(p)
			c.mine(2)
			c.Chain.Reorg(2, chaintest.ReorgOptions{Delay: 1})
			c.look()
			c.PayAmount(p, "1")
			c.mine(20)
		},
		"sweep orphaned": func(c *crash) {
			c.Pay(c.create("ETH", "1"))
			c.mine(14)
			c.Chain.Reorg(9, chaintest.ReorgOptions{DropAll: true})
			c.look()
			c.mine(25)
		},
		"late and accepted": func(c *crash) {
			p := c.create("USDC", "1")
			c.PayLess(p, "4")
			c.mine(4)
			c.Chain.AdvanceTime(25 * time.Hour)
			c.mine(4)
			c.PayAmount(p, "1")
			c.mine(4)
			c.do(func() error { _, err := c.Gateway.AcceptPayment(c.ctx(), p.ID, "yes"); return err })
			c.mine(25)
		},
		"canceled and renewed": func(c *crash) {
			p := c.create("ETH", "1")
			c.do(func() error { _, err := c.Gateway.CancelPayment(c.ctx(), p.ID); return err })
			c.do(func() error { var err error; p, err = c.Gateway.RenewPayment(c.ctx(), p.ID); return err })
			c.Pay(p)
			c.mine(20)
		},
		"permanent address": func(c *crash) {
			var a bursar.Address
			c.do(func() (err error) {
				a, err = c.Gateway.CreateAddress(c.ctx(), bursar.AddressRequest{Chain: c.Chain.Info().ID, Customer: "ann"})
				return err
			})
			c.Chain.Pay("x", a.Address, c.ETH, units(c.t, c.ETH, "1"))
			c.mine(2)
			c.Chain.Pay("y", a.Address, c.USDC, units(c.t, c.USDC, "1"))
			c.mine(30)
		},
	}
}

// end is what all runs of a story must come to.
func (c *crash) end() map[string]string {
	c.t.Helper()
	c.armed = false
	c.Chain.Fail(nil)
	c.store = storetest.Faulty(c.inner, nil)
	c.restart()
	c.mine(10)
	c.Chain.AdvanceTime(2 * time.Minute)
	c.mine(30)
	c.noBrokenRules()
	c.allSwept()
	out := map[string]string{}
	page, err := c.Gateway.Payments(c.ctx(), bursar.PaymentFilter{}, bursar.MaxPage, "")
	require.NoError(c.t, err)
	for _, p := range page.Items {
		out[fmt.Sprintf("attempt %d", p.Attempt)] = fmt.Sprint(p.Status, p.Confirmed, p.Excess, p.Held, p.ConfirmationNo)
	}
	for _, a := range []string{"USDC", "USDT"} {
		asset := map[string]string{"USDC": string(c.USDC.ID), "USDT": string(c.USDT.ID)}[a]
		rows, err := c.Gateway.Ledger(context.Background(), "")
		require.NoError(c.t, err)
		for _, r := range rows {
			if string(r.Asset) == asset && (r.Account == bursar.AccountTreasuryF || r.Account == "customer:ann") {
				out[a+" "+string(r.Account)] = r.Sum.String()
			}
		}
	}
	for _, a := range c.incoming() {
		if a.To != c.Sponsor {
			require.EqualValues(c.t, min(1, c.Chain.Nonce(a.To)), min(1, len(c.payouts(bursar.PayoutSweep))))
		}
	}
	return out
}

func runCrash(t *testing.T, story func(*crash), node, kill bool, plan func(int) storetest.Fault) (map[string]string, int) {
	c := newCrash(t, plan)
	if node {
		c.nodeFails(kill)
	}
	c.armed = true
	story(c)
	return c.end(), c.points
}

// TestThreat_D1_D2_CrashPoints lets every story fail once at each of its
// commits and at each call of the node, in all ways, and asks for the same end.
// By default each point fails in one of the ways; BURSAR_CRASH_ALL tries all.
func TestThreat_D1_D2_CrashPoints(t *testing.T) {
	all := os.Getenv("BURSAR_CRASH_ALL") != ""
	ways := []storetest.Fault{
		storetest.FailBefore, storetest.LoseAfter, storetest.CrashBefore, storetest.CrashAfter,
		storetest.PanicBefore, storetest.PanicAfter, storetest.LoseBefore, storetest.ConflictOnce,
	}
	never := func(int) storetest.Fault { return storetest.Pass }
	for name, story := range crashStories() {
		t.Run(name, func(t *testing.T) {
			for _, node := range []bool{false, true} {
				want, points := runCrash(t, story, node, false, never)
				require.NotZero(t, points)
				stride, begin := 1, 1
				if !all {
					stride = max(1, points/10)
				}
				for at := begin; at <= points; at += stride {
					for w, way := range ways {
						if !all && w != (at/stride)%len(ways) {
							continue
						}
						once := func(point int) storetest.Fault {
							if point == at {
								return way
							}
							return storetest.Pass
						}
						t.Run(fmt.Sprintf("node=%v/%d/%d", node, at, way), func(t *testing.T) {
							got, _ := runCrash(t, story, node, w%2 == 1, once)
							require.Equal(t, want, got)
						})
					}
				}
			}
		})
	}
}
