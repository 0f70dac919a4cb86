// Package bursartest is a payment gateway on a simulated chain, for the tests
// of hosts: a shop can create a payment, pay it, pay too little or too late,
// reorganise the chain and see what its own handlers make of it, in
// milliseconds and without a network.
//
//	kit := bursartest.New(t, bursartest.Options{Notify: []bursar.Notifier{shop}})
//	p := kit.Create("USDC", "25")
//	kit.Pay(p)
//	kit.Confirm()
//	kit.WaitEvent(bursar.PaymentConfirmed, p.ID)
//
// Everything happens in the caller's goroutine and on the chain's own clock:
// Mine makes blocks and lets the gateway do all that is due, AdvanceTime moves
// the clock. After every step the ledger is compared with the chain's balances.
package bursartest
