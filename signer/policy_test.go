package signer_test

import (
	"bytes"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

// TestThreat_F1_TheServersSideChecksTheDestination whatever the client asks for.
func TestThreat_F1_TheServersSideChecksTheDestination(t *testing.T) {
	d := newDesk(t)
	claim := d.request(0, 1, stranger, 5)
	claim.Own = []chain.OwnTarget{{Address: stranger, Key: d.key(1)}} // that of another address
	_, err := d.client.Sign(t.Context(), []chain.SignRequest{d.request(0, 1, treasury, 5), claim})
	refused(t, err, "own")
	claim.Own[0].Key = d.key(2) // a true one survives the wire
	_, err = d.client.Sign(t.Context(), []chain.SignRequest{claim})
	require.NoError(t, err)
	unapproved := d.request(0, 1, "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359", 5)
	unapproved.Approval = &chain.Approval{Payout: "po_1", Asset: "eip155:31337/slip44:60", To: "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359", Amount: chain.NewAmount(5), NotAfter: d.clock().AddDate(50, 0, 0), Signature: make([]byte, 64)}
	_, err = d.client.Sign(t.Context(), []chain.SignRequest{unapproved})
	require.Contains(t, refused(t, err, "approval").Detail, "no approver's signature")
}

// TestThreat_F15_LegacyWithoutAChainIsRefused on both sides of the wire: it would be
// valid on every chain.
func TestThreat_F15_LegacyWithoutAChainIsRefused(t *testing.T) {
	d := newDesk(t)
	to := common.HexToAddress(string(treasury))
	for name, fields := range map[string][]any{
		"no chain id":   {uint64(1), uint64(2), uint64(21000), to, uint64(5), []byte{}},
		"chain zero":    {uint64(1), uint64(2), uint64(21000), to, uint64(5), []byte{}, uint64(0), uint64(0), uint64(0)},
		"another chain": {uint64(1), uint64(2), uint64(21000), to, uint64(5), []byte{}, uint64(1), uint64(0), uint64(0)},
	} {
		var payload bytes.Buffer
		require.NoError(t, rlp.Encode(&payload, fields))
		request := d.request(0, 1, treasury, 5)
		request.Payload = payload.Bytes()
		_, err := d.client.Sign(t.Context(), []chain.SignRequest{request})
		require.Error(t, err, name)
		_, err = d.config.Signer.Sign(t.Context(), []chain.SignRequest{request})
		refused(t, err, "payload")
	}
}

// TestManyInOneCall: a whole batch of authorisations fits the bounds.
func TestManyInOneCall(t *testing.T) {
	d := newDesk(t)
	requests := make([]chain.SignRequest, 493)
	for i := range requests {
		requests[i] = d.request(uint32(i), 1, treasury, 5)
		requests[i].Own = []chain.OwnTarget{{Address: stranger, Key: d.key(2)}}
	}
	got, err := d.client.Sign(t.Context(), requests)
	require.NoError(t, err)
	require.Len(t, got, 493)
}
