// Command embed is the smallest host of a gateway: one HTTP endpoint that makes
// payments in one token, and a function that hears what becomes of them.
//
//	RPC_URL=http://127.0.0.1:8545 CHAIN=31337 TOKEN=0x… TREASURY=0x… MNEMONIC="…" go run ./examples/embed
//	curl -d amount=25.00 -d order=1234 http://127.0.0.1:8080/payments
//
// CHAIN is the number of a development chain; for a real one take a preset such
// as evm.Ethereum(), and a mnemonic of your own. DB is the SQLite file that
// everything is kept in, bursar.db unless it says another: with the same file,
// chain and mnemonic the next start goes on where this one ended.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"time"

	"github.com/shopspring/decimal"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/hdwallet"
	"github.com/bursar-go/bursar/store/sqlite"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := serve(ctx)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

func serve(ctx context.Context) (err error) {
	store, err := sqlite.Open(ctx, cmp.Or(os.Getenv("DB"), "bursar.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }() // after the gateway has stopped
	gw, err := newGateway(os.Getenv, store, func(_ context.Context, e bursar.Event) error {
		log.Printf("%s %s #%d: %s of %s %s confirmed", e.Kind, e.Subject, e.Seq, e.Data.Confirmed, e.Data.Amount, e.Data.TokenID)
		return nil // an error would have it told again
	})
	if err != nil {
		return err
	}
	if err := gw.Start(ctx); err != nil {
		return err
	}
	server := &http.Server{Addr: "127.0.0.1:8080", Handler: handler(gw), ReadTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() }) // ListenAndServe returns then
	if err = server.ListenAndServe(); errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return errors.Join(err, gw.Stop(context.WithoutCancel(ctx)))
}

// newGateway makes a gateway for one token from settings.
func newGateway(get func(string) string, store bursar.Store, onEvent func(context.Context, bursar.Event) error) (*bursar.Gateway, error) {
	number, err := strconv.ParseUint(get("CHAIN"), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("CHAIN: %w", err)
	}
	preset := evm.Local(number)
	token, err := evm.Token(preset.Info.ID, get("TOKEN"), "USDC", 6)
	if err != nil {
		return nil, fmt.Errorf("TOKEN: %w", err)
	}
	client, err := evm.New(evm.Config{Preset: preset, URL: get("RPC_URL")})
	if err != nil {
		return nil, fmt.Errorf("RPC_URL: %w", err)
	}
	wallet, err := hdwallet.FromMnemonic(get("MNEMONIC"), "")
	if err != nil {
		return nil, fmt.Errorf("MNEMONIC: %w", err)
	}
	return bursar.New(bursar.Config{
		Store:  store,
		Wallet: wallet,
		Chains: []bursar.Chain{{Client: client, Assets: []chain.Asset{token}, Treasury: chain.Address(get("TREASURY"))}},
		Notify: []bursar.Notifier{bursar.NotifyFunc("log", onEvent)},
	})
}

// handler makes a payment for POST /payments with amount and order.
func handler(gw *bursar.Gateway) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /payments", func(w http.ResponseWriter, r *http.Request) {
		amount, err := decimal.NewFromString(r.FormValue("amount"))
		if err != nil {
			http.Error(w, "amount: want a number such as 25.00", http.StatusBadRequest)
			return
		}
		p, err := gw.CreatePayment(r.Context(), bursar.PaymentRequest{
			Asset: "local/USDC", Amount: amount, IdempotencyKey: r.FormValue("order"),
		})
		var field *bursar.FieldError
		switch {
		case errors.As(err, &field):
			http.Error(w, field.Error(), http.StatusBadRequest)
		case errors.Is(err, bursar.ErrIdempotencyConflict):
			http.Error(w, err.Error(), http.StatusConflict)
		case err != nil:
			http.Error(w, "try again later", http.StatusServiceUnavailable)
		default:
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusCreated)
			_ = json.NewEncoder(w).Encode(map[string]any{"id": p.ID, "address": p.Address, "uri": p.URI, "expires_at": p.ExpiresAt})
		}
	})
	return mux
}
