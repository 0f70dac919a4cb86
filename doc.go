// Package bursar accepts crypto payments inside a Go program: a library, not a
// server. The host gives it a store, clients of chains and its own handlers,
// and creates payments from its own code, with its own keys and its own
// database.
//
// # What it does
//
// CreatePayment returns an address that was never used before. The gateway
// follows each chain block by block, credits exactly what arrives there,
// undoes what a reorg takes back, tells the host in signed, sequenced events,
// and sweeps final money to the treasury.
//
//	gw, err := bursar.New(bursar.Config{
//		Store:  memory.New(),
//		Wallet: wallet,
//		Chains: []bursar.Chain{{Client: eth, Assets: []chain.Asset{usdc}, Treasury: "0x…"}},
//		Notify: []bursar.Notifier{bursar.NotifyFunc("orders", onEvent)},
//	})
//	err = gw.Start(ctx)
//	defer gw.Stop(context.Background())
//	p, err := gw.CreatePayment(ctx, bursar.PaymentRequest{
//		Asset: "ethereum/USDC", Amount: decimal.RequireFromString("25.00"), IdempotencyKey: order.ID,
//	})
//
// # Who holds the keys
//
// The host. Addresses come from an HD wallet (BIP-32, BIP-44) of its own. The
// process that watches needs an xpub only; whatever signs stands behind
// chain.Signer and has its own copy of the treasury's address. Money moves to
// the treasury, to our own addresses for gas, or to an approved payout, and the
// signer checks that by itself.
//
// # Guarantees
//
// Given a durable store, exclusive keys and an honest node: no qualifying
// transfer to an issued address is lost or credited twice; only the exact
// configured asset counts; reorgs are undone in the open; two customers never
// share an address; a payout is never paid twice; every event is delivered at
// least once, in sequence per subject. The gateway fails closed and says why.
//
// Not promised: exactly-once webhooks, that confirmed is final, survival of a
// leaked key.
//
// # Where truth lives
//
// The chain is the authority for what happened, the store for what was decided,
// the outbox for what was said; memory is a cache. One business step is one
// store transaction (see Store and Batch): observations, payment, ledger
// entries, events and cursor commit together, and side effects follow the
// commit that records the intent. So a crash at any point leaves a step done or
// not begun.
//
// # The host's own transaction
//
// A payment can be part of what the host writes: CreatePaymentTx and
// RenewPaymentTx do inside a transaction of the host's database what their
// namesakes do in one of their own, so that the order and its payment are there
// together or not at all. NotifyTx makes a notifier whose handler runs in the very
// transaction that marks the delivery as done: what it writes there happens once
// for each event. Inside a handler only the verbs whose names end in Tx are legal.
// The packages below store/ say how a transaction of theirs is handed over.
//
// # Lifecycle
//
// New starts nothing. Start proves health: a wrong answer of a node or store is
// an error, an unreachable chain starts degraded. Stop may be called at any
// time, any number of times. With Config.Manual nothing runs by itself and the
// host calls Step. Two gateways in one process share nothing.
//
// The state machines are tables (see docs/state_machine.md); the packages
// beside this one are each useful alone: chain (words and port), scanner,
// sweeper, hdwallet, webhook. bursartest is a gateway on a simulated chain for
// the host's own tests.
package bursar
