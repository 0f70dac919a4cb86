package chain

// Address is an account of a chain in that chain's canonical text form: EIP-55
// mixed case for EVM chains. Codec.Parse makes one from what a person typed;
// two addresses of a chain are equal exactly when the strings are.
type Address string

// Asset is a coin or a token on one chain. It is matched by ID alone: a symbol
// is a label that anybody can copy.
type Asset struct {
	// ID is the CAIP-19 id. For a token its reference is the contract.
	ID AssetID `json:"id"`
	// Symbol is the ticker that people know, "ETH" or "USDC".
	Symbol string `json:"symbol"`
	// Decimals is how many decimals a unit has, 0 to 77. It is pinned here and
	// checked against the chain at start: USDT has 6 on Ethereum, 18 on BSC.
	Decimals uint8 `json:"decimals"`
	// Contract is the token's contract; empty for the chain's native coin.
	Contract Address `json:"contract,omitempty"`
	// Minimum is the smallest transfer, in base units, that is followed by
	// itself. Smaller ones still count toward an open payment. Zero: none.
	Minimum Amount `json:"minimum"`
	// SweepMinimum is the smallest holding, in base units, that is worth
	// sweeping. What stays below it counts as residue. Zero: everything.
	SweepMinimum Amount `json:"sweep_minimum"`
	// VerifyBalance has every arrival of a token compared with the balance of
	// the address: for tokens that may take a fee, rebase or lie. Where less
	// arrived than the token's events say, nothing is credited and the operator
	// is told. It needs a node with the state of the scanned blocks.
	VerifyBalance bool `json:"verify_balance,omitempty"`
	// CodeHash, where set, pins the token's code, also that behind a proxy, as
	// Token.CodeHash tells it. While the chain has another one, nothing of the
	// token is credited and the operator is told.
	CodeHash string `json:"code_hash,omitempty"`
	// MaxSweepFee is the most that one sweep of this asset may cost, in base
	// units of the native coin. Zero: the chain's cap alone counts.
	MaxSweepFee Amount `json:"max_sweep_fee"`
}

// Chain returns the chain the asset lives on.
func (a Asset) Chain() ID { return a.ID.Chain() }

// Native reports whether the asset is its chain's own coin.
func (a Asset) Native() bool { return a.Contract == "" }

// Parse reads a decimal number of this asset. See ParseAmount.
func (a Asset) Parse(text string) (Amount, error) { return ParseAmount(text, a.Decimals) }

// Format writes an amount of this asset without its symbol: "25.5".
func (a Asset) Format(n Amount) string { return n.Format(a.Decimals) }
