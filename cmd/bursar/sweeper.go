package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/config"
)

func sweeperCommand() *command {
	return &command{
		name: "sweeper", short: "tells whether the contract of the sweeps is deployed, and how to",
		long: `Tells the contract that a chain's sweeper section makes: its address, the three
addresses that are part of it, and the hash of its code; and asks each node whether it
is there. Where it is not, it prints the transaction that deploys it, for any wallet to
send, and the most that it costs now. It signs and sends nothing and needs no store: a
gateway starts once the contract is there, and this works before.

The wallet that sends the transaction must be none of the gateway's own accounts, the
sponsor included: what a key of the gateway signs and the gateway did not is told as
alert.key_compromised, and takes a nonce that a payout may have. Whoever sends it, the
contract and its address are the same.

Exits with 1 where not every node has the contract.`,
		prepare: func(fs *flag.FlagSet) func(context.Context, *call) error {
			name := fs.String("chain", "", "a chain's `NAME` in the configuration, or its id; default: all with a sweeper section")
			return func(ctx context.Context, c *call) error { return c.sweeper(ctx, *name) }
		},
	}
}

// nodeState is what a node has at the contract's address.
type nodeState string

const (
	stateDeployed nodeState = "deployed"
	stateMissing  nodeState = "missing"
	stateOther    nodeState = "other_code"
	stateUnknown  nodeState = "unknown" // it did not tell, or is on another chain
)

// nodeLine is what one node says.
type nodeLine struct {
	Name   string    `json:"name,omitempty"`
	State  nodeState `json:"state"`
	Detail string    `json:"detail,omitempty"`
}

// deployment is the transaction that deploys a contract, without value.
type deployment struct {
	To      string `json:"to"`
	Data    string `json:"data"`
	MaxCost string `json:"max_cost,omitempty"` // of coin, with its symbol
}

// installation is a chain's contract as JSON.
type installation struct {
	Name     string     `json:"name"`
	Chain    chain.ID   `json:"chain"`
	Contract string     `json:"contract"`
	Treasury string     `json:"treasury"`
	Owner    string     `json:"owner"`
	Sponsor  string     `json:"sponsor"`
	CodeHash string     `json:"code_hash"`
	Deployed bool       `json:"deployed"` // as all nodes say
	Nodes    []nodeLine `json:"nodes"`
	// Deployment is there where it would do what it is for.
	Deployment *deployment `json:"deployment,omitempty"`
	Note       string      `json:"note,omitempty"`
}

func (c *call) sweeper(ctx context.Context, name string) error {
	f, err := c.load()
	if err != nil {
		return err
	}
	list, err := f.Installations()
	if err != nil {
		return err
	}
	var (
		out  []installation
		text strings.Builder
		all  = true
	)
	for _, it := range list {
		if name != "" && name != it.Name && name != string(it.Chain) {
			continue
		}
		found, err := inspect(ctx, it)
		if err != nil {
			return err
		}
		all = all && found.Deployed
		out = append(out, found)
		text.WriteString(found.String())
	}
	switch {
	case len(out) == 0 && name != "":
		return fmt.Errorf("chains.%s.sweeper is not configured", name)
	case len(out) == 0:
		return errors.New("no chain of the configuration has a sweeper section")
	}
	if err := c.print(out, text.String()); err != nil {
		return err
	}
	if !all {
		return errFound
	}
	return nil
}

// inspect asks every node for a contract.
func inspect(ctx context.Context, it config.Installation) (installation, error) {
	p := it.Contract.Params()
	out := installation{Name: it.Name, Chain: it.Chain, CodeHash: fmt.Sprintf("0x%x", it.Contract.CodeHash()), Deployed: true}
	for _, f := range []struct {
		field *string
		raw   [20]byte
	}{{&out.Contract, it.Contract.Address()}, {&out.Treasury, p.Treasury}, {&out.Owner, p.Owner}, {&out.Sponsor, p.Sponsor}} {
		at, err := evm.Codec().Format(f.raw[:])
		if err != nil {
			return installation{}, err
		}
		*f.field = string(at)
	}
	var lacking *evm.Client
	settled := false
	for _, n := range it.Nodes {
		line := ask(ctx, n)
		out.Nodes = append(out.Nodes, line)
		switch line.State {
		case stateDeployed:
			settled = true
			continue
		case stateOther:
			settled = true
		case stateMissing:
			if lacking == nil {
				lacking = n.Client
			}
		}
		out.Deployed = false
	}
	// Where one node has the contract, or other code, sending it again only costs.
	if lacking != nil && !settled {
		out.propose(ctx, it, lacking)
	}
	return out, ctx.Err()
}

// ask has a node say what it has. Identify looks at the chain's id first: the contract
// is at the same address on every chain, so that a node of another one may have it.
func ask(ctx context.Context, n config.Node) nodeLine {
	_, err := n.Client.Identify(ctx)
	var code *evm.SweeperCodeError
	switch {
	case err == nil:
		return nodeLine{Name: n.Name, State: stateDeployed}
	case !errors.As(err, &code):
		return nodeLine{Name: n.Name, State: stateUnknown, Detail: err.Error()}
	case code.Got == "":
		return nodeLine{Name: n.Name, State: stateMissing}
	}
	return nodeLine{Name: n.Name, State: stateOther, Detail: fmt.Sprintf("want code with the hash %s, there is code with the hash %s", code.Want, code.Got)}
}

// propose adds the deployment, and what it costs. The draft is the sponsor's, whose
// address is known; it is not signed, and gone with this process.
func (i *installation) propose(ctx context.Context, it config.Installation, client *evm.Client) {
	draft, err := client.DeploySweeper(ctx, chain.Account{Address: chain.Address(i.Sponsor)})
	if errors.Is(err, chain.ErrNoContract) {
		i.Note = "it cannot be deployed yet: " + err.Error()
		return
	}
	to, data := it.Contract.Deployment()
	i.Deployment = &deployment{To: fmt.Sprintf("0x%x", to), Data: fmt.Sprintf("0x%x", data)}
	if err != nil {
		i.Note = "the deployment could not be tried: " + err.Error()
		return
	}
	coin := client.Info().Native
	i.Deployment.MaxCost = draft.Fee.Format(coin.Decimals) + " " + coin.Symbol
}

// String tells it to people.
func (i installation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s)\n  contract   %s\n  treasury   %s\n  owner      %s\n  sponsor    %s\n  code hash  %s\n",
		i.Name, i.Chain, i.Contract, i.Treasury, i.Owner, i.Sponsor, i.CodeHash)
	for _, n := range i.Nodes {
		who := ""
		if n.Name != "" {
			who = n.Name + ": "
		}
		says := map[nodeState]string{
			stateDeployed: "deployed", stateMissing: "not deployed", stateOther: "other code is there: ", stateUnknown: "not known: ",
		}[n.State]
		fmt.Fprintf(&b, "  %s%s%s\n", who, says, n.Detail)
	}
	if d := i.Deployment; d != nil {
		b.WriteString("to deploy it, send this without value from any account that is none of the gateway's own:\n")
		fmt.Fprintf(&b, "  to    %s\n  data  %s\n", d.To, d.Data)
		if d.MaxCost != "" {
			fmt.Fprintf(&b, "  costs at most %s now\n", d.MaxCost)
		}
	}
	if i.Note != "" {
		fmt.Fprintf(&b, "%s\n", i.Note)
	}
	return b.String()
}
