package main

import (
	"time"

	"github.com/ethereum/go-ethereum/core/types"

	"github.com/bursar-go/bursar"
)

// moment is when a customer pays.
type moment string

const (
	inTime   moment = "in time"
	reorged  moment = "in time, in a block that is replaced" // and sent again
	tooLate  moment = "after the deadline"
	notAtAll moment = "never"
)

// Times to live of the payments: long ones outlast the demo, short ones end
// when the demo lets time pass.
const (
	longTTL  = 24 * time.Hour
	shortTTL = 10 * time.Minute
)

// order is one thing that is bought, and what must become of its payment.
type order struct {
	name   string
	asset  string // symbol
	amount string // what is asked for
	pays   string // what the customer sends
	when   moment
	ttl    time.Duration
	want   outcome

	// Filled as the demo goes on.
	customer *account
	payment  bursar.Payment
	sent     *types.Transaction
	swept    []bursar.Payout
}

// outcome is what must hold of a payment at the end.
type outcome struct {
	status bursar.Status
	// received counts toward the payment; held came too late, or too little; the
	// excess is above what was asked for; swept reached the treasury, for a coin
	// before the fee that it paid by itself.
	received, held, excess, swept string
	// payment and transaction are the payment's events of each kind, in order.
	payment, transaction []bursar.Kind
}

// once are the transaction events of a payment that one transfer came for.
var once = [...]bursar.Kind{bursar.TransactionDetected, bursar.TransactionConfirmed}

// scenario returns the orders of the demo as far as a chain can show them.
func scenario(can abilities) (orders []*order, left []string) {
	settled := func(amount string) outcome {
		return outcome{
			status: bursar.StatusSettled, received: amount, held: "0", excess: "0", swept: amount,
			payment: []bursar.Kind{
				bursar.PaymentCreated, bursar.PaymentDetected, bursar.PaymentConfirmed, bursar.PaymentSettled,
			},
			transaction: once[:],
		}
	}
	orders = []*order{
		{name: "eth", asset: "ETH", amount: "0.5", pays: "0.5", when: inTime, ttl: longTTL, want: settled("0.5")},
		{name: "usdc", asset: "USDC", amount: "25", pays: "25", when: inTime, ttl: longTTL, want: settled("25")},
		{name: "usdt", asset: "USDT", amount: "40.25", pays: "40.25", when: inTime, ttl: longTTL, want: settled("40.25")},
		{name: "underpaid", asset: "USDC", amount: "100", pays: "60", when: inTime, ttl: shortTTL, want: outcome{
			status: bursar.StatusUnderpaid, received: "60", held: "0", excess: "0", swept: "60",
			payment: []bursar.Kind{
				bursar.PaymentCreated, bursar.PaymentDetected, bursar.PaymentPartial, bursar.PaymentUnderpaid,
			},
			transaction: once[:],
		}},
		{name: "overpaid", asset: "USDC", amount: "10", pays: "12.5", when: inTime, ttl: longTTL, want: outcome{
			status: bursar.StatusSettled, received: "12.5", held: "0", excess: "2.5", swept: "12.5",
			payment: []bursar.Kind{
				bursar.PaymentCreated, bursar.PaymentDetected, bursar.PaymentConfirmed, bursar.PaymentOverpaid, bursar.PaymentSettled,
			},
			transaction: once[:],
		}},
		{name: "never-paid", asset: "ETH", amount: "0.1", pays: "0", when: notAtAll, ttl: shortTTL, want: outcome{
			status: bursar.StatusExpired, received: "0", held: "0", excess: "0", swept: "0",
			payment: []bursar.Kind{bursar.PaymentCreated, bursar.PaymentExpired},
		}},
	}
	if can.time {
		orders = append(orders, &order{name: "late", asset: "USDT", amount: "15", pays: "15", when: tooLate, ttl: shortTTL, want: outcome{
			status: bursar.StatusExpired, received: "0", held: "15", excess: "0", swept: "15",
			payment:     []bursar.Kind{bursar.PaymentCreated, bursar.PaymentExpired, bursar.PaymentLate},
			transaction: once[:],
		}})
	} else {
		left = append(left, "the late payment: this node's clock cannot be moved, so its blocks would call the transfer punctual")
	}
	if can.reorg {
		orders = append(orders, &order{name: "reorg", asset: "USDC", amount: "33", pays: "33", when: reorged, ttl: longTTL, want: outcome{
			status: bursar.StatusSettled, received: "33", held: "0", excess: "0", swept: "33",
			payment: []bursar.Kind{
				bursar.PaymentCreated, bursar.PaymentDetected, bursar.PaymentReverted, bursar.PaymentDetected,
				bursar.PaymentConfirmed, bursar.PaymentSettled,
			},
			transaction: []bursar.Kind{
				bursar.TransactionDetected, bursar.TransactionOrphaned, bursar.TransactionDetected, bursar.TransactionConfirmed,
			},
		}})
	} else {
		left = append(left, "the reorg: blocks of a running node are left alone")
	}
	return orders, left
}
