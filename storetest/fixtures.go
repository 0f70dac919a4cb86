package storetest

import (
	"fmt"
	"reflect"
	"time"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
)

// t0 is when the suite's rows begin. It lies in the past of every store, so
// that nothing depends on the store's clock.
var t0 = time.Date(2024, 2, 29, 23, 59, 58, 123456000, time.UTC)

const (
	mainnet = chain.ID("eip155:1")
	base    = chain.ID("eip155:8453")
	ether   = chain.AssetID("eip155:1/slip44:60")
	usdcID  = chain.AssetID("eip155:1/erc20:0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48")
	baseETH = chain.AssetID("eip155:8453/slip44:60")
)

// knownChains are the chains of the suite; states are only read by id.
func knownChains() []chain.ID { return []chain.ID{mainnet, base, "eip155:137"} }

func asset(id chain.AssetID) chain.Asset {
	return chain.Asset{ID: id, Symbol: "TEST", Decimals: 6}
}

// with returns a row with edits.
func with[T any](row T, edits []func(*T)) T {
	for _, e := range edits {
		e(&row)
	}
	return row
}

// later returns t0 plus seconds.
func later(seconds int) time.Time { return t0.Add(time.Duration(seconds) * time.Second) }

func payment(id string, edits ...func(*bursar.Payment)) bursar.Payment {
	return with(bursar.Payment{
		ID: id, Status: bursar.StatusPending, Asset: asset(usdcID), Amount: chain.NewAmount(100),
		Required: chain.NewAmount(100), Address: chain.Address("0x" + id), AddressID: "addr_" + id,
		IdempotencyKey: "key_" + id, Attempt: 1, TTL: time.Hour, CreatedAt: t0, ExpiresAt: later(3600),
	}, edits)
}

func transaction(id string, edits ...func(*bursar.Transaction)) bursar.Transaction {
	return with(bursar.Transaction{
		ID: id, Chain: mainnet, Transfer: chain.TransferID{Tx: chain.TxID("0x" + id), Ordinal: "n"},
		Type: bursar.TypeIncoming, Status: bursar.TxPending, Asset: ether, Amount: chain.NewAmount(100),
		From: "0xfrom", To: "0xto", CreatedAt: t0,
	}, edits)
}

func address(id string, index uint32, edits ...func(*bursar.Address)) bursar.Address {
	return with(bursar.Address{
		ID: id, Address: chain.Address("0x" + id), Pool: "main/0", Index: index,
		Key: chain.KeyRef{Wallet: "main", Path: fmt.Sprintf("m/44'/60'/0'/0/%d", index)}, Role: bursar.RolePayment, CreatedAt: t0,
	}, edits)
}

func payout(id string, edits ...func(*bursar.Payout)) bursar.Payout {
	return with(bursar.Payout{
		ID: id, Key: "key_" + id, Kind: bursar.PayoutSweep, Status: bursar.PayoutPlanned, Chain: mainnet,
		Asset: asset(ether), From: chain.Account{Address: "0xfrom"}, To: "0xto", Amount: chain.NewAmount(100), CreatedAt: t0,
	}, edits)
}

func attempt(id, payout string, edits ...func(*bursar.Attempt)) bursar.Attempt {
	return with(bursar.Attempt{
		ID: id, PayoutID: payout, Group: 1, Chain: mainnet, TxID: chain.TxID("0x" + id), Raw: []byte{0xf8, 0, 1},
		Locks: []chain.Lock{chain.Lock("nonce:" + id)}, Open: true, CreatedAt: t0,
	}, edits)
}

func delivery(event, endpoint, subject string, seq int64, edits ...func(*bursar.Delivery)) bursar.Delivery {
	return with(bursar.Delivery{
		EventID: event, Endpoint: endpoint, Subject: subject, Seq: seq, Status: bursar.DeliveryPending, NextAt: t0, CreatedAt: t0,
	}, edits)
}

func event(id, subject string, seq int64, edits ...func(*bursar.Event)) bursar.Event {
	return with(bursar.Event{ID: id, Kind: bursar.PaymentDetected, Subject: subject, Seq: seq, Time: t0}, edits)
}

func entry(id string, edits ...func(*bursar.Entry)) bursar.Entry {
	return with(bursar.Entry{
		ID: id, Rule: "L1", Asset: ether, Debit: "U:h", Credit: "pending:p", Amount: chain.NewAmount(7),
		Subject: "p", Chain: mainnet, At: t0,
	}, edits)
}

// reversal undoes an entry.
func reversal(id string, of bursar.Entry, edits ...func(*bursar.Entry)) bursar.Entry {
	e := of
	e.ID, e.Reverses, e.Live = id, of.ID, ""
	e.Debit, e.Credit = of.Credit, of.Debit
	return with(e, edits)
}

func endpointRow(id string, revision int64, edits ...func(*bursar.EndpointRow)) bursar.EndpointRow {
	return with(bursar.EndpointRow{ID: id, Revision: revision, Status: bursar.EndpointEnabled, Sealed: []byte("sealed " + id), CreatedAt: t0, UpdatedAt: t0}, edits)
}

func chainState(id chain.ID, edits ...func(*bursar.ChainState)) bursar.ChainState {
	return with(bursar.ChainState{Chain: id, Head: chain.BlockRef{Height: 10, Hash: "0xa", Time: t0}, StartedAt: t0}, edits)
}

// full fills every field of a row with a value of its own, so that no column
// can be forgotten or swapped with another, a field added later included.
func full[T any](seed int, edits ...func(*T)) T {
	var row T
	n := seed * 1000
	fill(reflect.ValueOf(&row).Elem(), &n)
	return with(row, edits)
}

// formed returns a value for a type whose text has a form; empty: any will do.
func formed(t reflect.Type) string {
	return map[reflect.Type]string{
		reflect.TypeFor[chain.ID]():                 string(base),
		reflect.TypeFor[chain.AssetID]():            string(usdcID),
		reflect.TypeFor[bursar.Status]():            string(bursar.StatusUnderpaid),
		reflect.TypeFor[bursar.TransactionType]():   string(bursar.TypeInternal),
		reflect.TypeFor[bursar.TransactionStatus](): string(bursar.TxConfirmed),
		reflect.TypeFor[bursar.Role]():              string(bursar.RolePermanent),
		reflect.TypeFor[bursar.PayoutKind]():        string(bursar.PayoutRefund),
		reflect.TypeFor[bursar.PayoutStatus]():      string(bursar.PayoutConfirming),
		reflect.TypeFor[bursar.DeliveryStatus]():    string(bursar.DeliveryParked),
		reflect.TypeFor[bursar.Kind]():              string(bursar.PaymentOverpaid),
		reflect.TypeFor[chain.Purpose]():            string(chain.PurposeRefund),
		reflect.TypeFor[chain.Via]():                string(chain.ViaDelta),
	}[t]
}

func fill(v reflect.Value, n *int) {
	*n++
	switch v.Interface().(type) {
	case chain.Amount:
		v.Set(reflect.ValueOf(chain.NewAmount(uint64(*n))))
		return
	case time.Time:
		v.Set(reflect.ValueOf(t0.Add(time.Duration(*n) * time.Microsecond)))
		return
	case time.Duration:
		v.SetInt(int64(*n) * int64(time.Microsecond))
		return
	}
	switch v.Kind() {
	case reflect.String:
		text := formed(v.Type())
		if text == "" {
			text = fmt.Sprintf("text %d", *n)
		}
		v.SetString(text)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Uint64, reflect.Uint32, reflect.Uint8:
		v.SetUint(uint64(*n) % 251)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(v.Index(i), n)
		}
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"key": fmt.Sprintf("value %d", *n), "other key": ""}))
	default:
		panic(fmt.Sprintf("storetest: cannot fill a %s", v.Type()))
	}
}
