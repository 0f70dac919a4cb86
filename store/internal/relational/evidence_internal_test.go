package relational

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
)

// D2: what one row tells of a batch that nobody answered for.
func TestThreat_D2_WhatARowTells(t *testing.T) {
	never, third, fleeting := Probe{}, Probe{wants: 3}, Probe{wants: 3, fleeting: true}
	for _, c := range []struct {
		name    string
		probe   Probe
		version int64
		same    bool
		want    Evidence
	}{
		{"an event that is there", never, 0, true, Present},
		{"another event in its place", never, 0, false, Absent},
		{"the version and the content", third, 3, true, Alike},
		{"the version of somebody else", third, 3, false, Absent},
		{"not yet that version", third, 2, true, Absent},
		{"written again since", third, 4, false, Unclear},
		{"written again to the same", third, 4, true, Unclear},
		{"a row that may be removed, and is there", fleeting, 3, true, Alike},
	} {
		require.Equal(t, c.want, c.probe.Found(c.version, c.same), c.name)
	}
	require.Equal(t, Absent, never.Missing())
	require.Equal(t, Absent, third.Missing())
	require.Equal(t, Unclear, fleeting.Missing(), "retention may have taken it")
}

// D2: a batch happened as a whole or not at all.
func TestThreat_D2_WhatAllRowsTell(t *testing.T) {
	for _, c := range []struct {
		all  []Evidence
		want Evidence
	}{
		{nil, Unclear},
		{[]Evidence{Unclear}, Unclear},
		{[]Evidence{Alike}, Unclear},
		{[]Evidence{Alike, Alike}, Unclear},
		{[]Evidence{Alike, Present}, Present},
		{[]Evidence{Alike, Unclear}, Unclear},
		{[]Evidence{Present, Unclear}, Present},
		{[]Evidence{Unclear, Present}, Present},
		{[]Evidence{Alike, Absent}, Absent},
		{[]Evidence{Present, Absent}, Absent},
		{[]Evidence{Absent, Present}, Absent},
	} {
		require.Equal(t, c.want, Weigh(c.all), "%v", c.all)
	}
}

// Every row of a batch can be asked for, with the version that the batch writes.
func TestThreat_D2_EveryRowHasAProbe(t *testing.T) {
	s := New(plain())
	ops, err := s.Ops(&bursar.Batch{
		Payments: []bursar.Payment{{ID: "p", Version: 4}}, Transactions: []bursar.Transaction{{ID: "t"}}, Addresses: []bursar.Address{{ID: "a"}},
		Payouts: []bursar.Payout{{ID: "o"}}, Attempts: []bursar.Attempt{{ID: "try"}}, Deliveries: []bursar.Delivery{{EventID: "e", Endpoint: "n"}},
		Chains: []bursar.ChainState{{Chain: "c"}}, Events: []bursar.Event{{ID: "e", Subject: "s", Seq: 1}},
	})
	require.NoError(t, err)
	wants := map[string]int64{}
	for _, op := range ops {
		if op.Probe != nil {
			p := op.Probe()
			require.Equal(t, op.Row[0], p.Args[len(p.Args)-len(op.Row)], "the key comes last")
			wants[op.Table] = p.wants
			require.Equal(t, op.Table == "deliveries", p.fleeting)
		}
	}
	require.Equal(t, map[string]int64{"payments": 5, "transactions": 1, "addresses": 1, "payouts": 1, "attempts": 1, "deliveries": 1, "chains": 1, "events": 0}, wants)
}
