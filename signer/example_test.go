package signer_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/hdwallet"
	"github.com/bursar-go/bursar/signer"
)

// The keys are with the server, behind a policy; the gateway has an xpub and a client.
func ExampleNewClient() {
	secret, err := signer.NewSecret([]byte("32 random bytes from a safe place"))
	if err != nil {
		panic(err)
	}
	codecs := map[chain.ID]chain.Codec{"eip155:1": evm.Codec()}

	// On the machine with the keys.
	vault, err := hdwallet.FromMnemonic("test test test test test test test test test test test junk", "")
	if err != nil {
		panic(err)
	}
	policy, err := hdwallet.NewSigner(hdwallet.Policy{
		Codecs:   codecs,
		Treasury: map[chain.ID][]chain.Address{"eip155:1": {"0x70997970C51812dc3A010C7d01b50e0d17dc79C8"}},
	}, vault)
	if err != nil {
		panic(err)
	}
	server, err := signer.NewServer(signer.ServerConfig{
		Signer: policy, Secrets: map[string]signer.Secret{"shop": secret}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		panic(err)
	}
	listening := httptest.NewServer(server)
	defer listening.Close()

	// On the gateway's machine.
	xpub, err := vault.XPub(60)
	if err != nil {
		panic(err)
	}
	wallet, err := hdwallet.FromXPub(hdwallet.XPub{CoinType: 60, Key: xpub})
	if err != nil {
		panic(err)
	}
	client, err := signer.NewClient(signer.ClientConfig{URL: listening.URL, KeyID: "shop", Secret: secret, Codecs: codecs, Keys: wallet})
	if err != nil {
		panic(err)
	}
	status, err := client.Status(context.Background())
	fmt.Println(status.Halted, err)
	fmt.Println(client.Halt(context.Background(), "the shop was broken into"))
	fmt.Println(policy.Halted())
	// Output:
	// false <nil>
	// <nil>
	// the shop was broken into true
}

// custody is a signer of somebody else's, such as a custody service.
type custody struct{}

func (custody) Sign(context.Context, []chain.SignRequest) ([][]byte, error) {
	return [][]byte{make([]byte, 65)}, nil
}

// A signer that is not trusted gets checks around it. (A KMS that signs whatever digest
// it is shown wants a policy before it too: see hdwallet.NewExternalKey.)
func ExampleVerified() {
	key := chain.KeyRef{Wallet: "custody", Path: "sponsor"}
	keys := signer.KeyMap{key: {
		2, 0x79, 0xbe, 0x66, 0x7e, 0xf9, 0xdc, 0xbb, 0xac, 0x55, 0xa0, 0x62, 0x95, 0xce, 0x87, 0x0b, 0x07,
		0x02, 0x9b, 0xfc, 0xdb, 0x2d, 0xce, 0x28, 0xd9, 0x59, 0xf2, 0x81, 0x5b, 0x16, 0xf8, 0x17, 0x98,
	}}
	verified, err := signer.Verified(custody{}, map[chain.ID]chain.Codec{"eip155:1": evm.Codec()}, keys)
	if err != nil {
		panic(err)
	}
	payload := append([]byte{2, 0xdf, 1, 0x80, 1, 2, 0x82, 0x52, 0x08, 0x94}, append(make([]byte, 19), 1, 5, 0x80, 0xc0)...)
	_, err = verified.Sign(context.Background(), []chain.SignRequest{{
		Chain: "eip155:1", Purpose: chain.SignTransaction, Scheme: chain.ECDSA, Key: key, Payload: payload,
	}})
	fmt.Println(errors.Is(err, chain.ErrInvalidSignature), err)
	// Output:
	// true signer: signature 0 is refused: r is out of range
}
