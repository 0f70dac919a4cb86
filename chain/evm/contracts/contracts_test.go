package contracts

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func addr(b byte) (a Address) {
	for i := range a {
		a[i] = b
	}
	return a
}

func params() Params { return Params{Treasury: addr(0x11), Owner: addr(0x22), Sponsor: addr(0x33)} }

func made(t *testing.T) *Sweeper {
	s, err := New(params())
	require.NoError(t, err)
	return s
}

// Whoever changes the code changes the address of every installation: that is
// never by accident.
func TestAddressIsPinned(t *testing.T) {
	s := made(t)
	require.Equal(t, "afb104e1a4adc9a567580cf4656bbcf4f73629ee", hex.EncodeToString(unarray(s.Address())))
	require.Equal(t, "5c6683bcc9198b01bea236069029ae600ba757e2", hex.EncodeToString(unarray(s.Forwarder(Salt{1, 2, 3, 4, 5, 6, 7, 8}))))
	sum := s.CodeHash()
	require.Equal(t, "51a5da667cc6670ec9fded80ba9b0832f4c73461d64667a2a12ef25f6c723983", hex.EncodeToString(sum[:]))
}

func unarray(a Address) []byte { return a[:] }

func TestThreat_F2_ParamsThatLoseMoney(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Params)
		field  string
	}{
		"no treasury":              {func(p *Params) { p.Treasury = Address{} }, "Params.Treasury"},
		"no owner":                 {func(p *Params) { p.Owner = Address{} }, "Params.Owner"},
		"treasury is ecrecover":    {func(p *Params) { p.Treasury = Address{19: 1} }, "Params.Treasury"},
		"treasury is P256VERIFY":   {func(p *Params) { p.Treasury = Address{18: 1} }, "Params.Treasury"},
		"owner is ecrecover":       {func(p *Params) { p.Owner = Address{19: 1} }, "Params.Owner"},
		"sponsor is ecrecover":     {func(p *Params) { p.Sponsor = Address{19: 1} }, "Params.Sponsor"},
		"treasury is the deployer": {func(p *Params) { p.Treasury = deployer() }, "Params.Treasury"},
		"sponsor is the treasury":  {func(p *Params) { p.Sponsor = p.Treasury }, "Params.Sponsor"},
		"sponsor is the owner":     {func(p *Params) { p.Sponsor = p.Owner }, "Params.Sponsor"},
	} {
		p := params()
		c.change(&p)
		_, err := New(p)
		var bad *FieldError
		require.ErrorAs(t, err, &bad, name)
		require.Equal(t, c.field, bad.Field, name)
	}
	p := params()
	p.Owner, p.Sponsor = p.Treasury, Address{}
	_, err := New(p)
	require.NoError(t, err, "the treasury may be the owner, and nobody the sponsor")
}

// Each address replaces its own placeholders and nothing else, and all of them
// are operands of PUSH20.
func TestTemplate(t *testing.T) {
	raw := template()
	counts := map[string]int{treasuryMark: 2, ownerMark: 2, sponsorMark: 5}
	for mark, n := range counts {
		is := unhex(mark)
		require.Equal(t, n, bytes.Count(raw, is), mark)
		require.Equal(t, n, bytes.Count(raw, append([]byte{0x73}, is...)), mark)
	}
	s := made(t)
	require.Len(t, s.init, len(raw))
	differ := 0
	for i := range raw {
		if raw[i] != s.init[i] {
			differ++
		}
	}
	require.Equal(t, 9*20, differ)
	// PUSH2 size DUP1 PUSH2 offset PUSH0 CODECOPY PUSH0 RETURN INVALID
	require.Equal(t, len(s.Code()), int(binary.BigEndian.Uint16(raw[1:])))
	require.Equal(t, constructorSize, int(binary.BigEndian.Uint16(raw[5:])))
	// An address that looks like another's placeholder is nobody's business but its
	// owner's, and must come out as it went in.
	s, err := New(Params{Treasury: Address(unhex(ownerMark)), Owner: Address(unhex(treasuryMark))})
	require.NoError(t, err)
	require.Equal(t, 2, bytes.Count(s.init, unhex(ownerMark)))
	at := bytes.Index(raw, unhex(treasuryMark))
	require.Equal(t, unhex(ownerMark), s.init[at:at+20])
	at = bytes.Index(raw, unhex(ownerMark))
	require.Equal(t, unhex(treasuryMark), s.init[at:at+20])
}

// Addresses differ when any of the three does.
func TestAddressDependsOnEachParameter(t *testing.T) {
	seen := map[Address]bool{made(t).Address(): true}
	for _, change := range []func(*Params){
		func(p *Params) { p.Treasury = addr(0x44) }, func(p *Params) { p.Owner = addr(0x44) },
		func(p *Params) { p.Sponsor = addr(0x44) }, func(p *Params) { p.Sponsor = Address{} },
	} {
		p := params()
		change(&p)
		s, err := New(p)
		require.NoError(t, err)
		require.False(t, seen[s.Address()])
		seen[s.Address()] = true
	}
}

// Vectors of EIP-1014.
func TestCreate2(t *testing.T) {
	for _, c := range []struct{ from, salt, init, want string }{
		{"0000000000000000000000000000000000000000", "0000000000000000000000000000000000000000000000000000000000000000", "00", "4d1a2e2bb4f88f0250f26ffff098b0b30b26bf38"},
		{"deadbeef00000000000000000000000000000000", "0000000000000000000000000000000000000000000000000000000000000000", "00", "b928f69bb1d91cd65274e3c79d8986362984fda3"},
		{"00000000000000000000000000000000deadbeef", "00000000000000000000000000000000000000000000000000000000cafebabe", "deadbeef", "60f3f640a8508fc6a86d45df051962668e1e8ac7"},
		{"0000000000000000000000000000000000000000", "0000000000000000000000000000000000000000000000000000000000000000", "", "e33c0c7f7df4809055c3eba6c09cfe4baf1bd9e0"},
	} {
		got := create2(Address(unhex(c.from)), Hash(unhex(c.salt)), keccak(unhex(c.init)))
		require.Equal(t, c.want, hex.EncodeToString(got[:]))
	}
}

// The constants of the code are those of the signatures.
func TestSelectors(t *testing.T) {
	selector := func(signature string) uint32 {
		sum := keccak([]byte(signature))
		return binary.BigEndian.Uint32(sum[:])
	}
	require.EqualValues(t, selector("sweep(address,uint256)"), selectorSweep)
	require.EqualValues(t, selector("execute(address,uint256,bytes)"), selectorExecute)
	require.Equal(t, selector("sweepBatch()"), ops[OpSweep].selector)
	require.Equal(t, selector("flushBatch()"), ops[OpFlush].selector)
	require.Equal(t, selector("deployBatch()"), ops[OpDeploy].selector)
	code := made(t).Code()
	topic := UnsweptTopic()
	require.Contains(t, string(code), string(topic[:]))
	for _, signature := range []string{"sweep(address,uint256)", "execute(address,uint256,bytes)", "sweepBatch()", "flushBatch()", "deployBatch()", "deploy(bytes32,address,uint256)", "transfer(address,uint256)", "balanceOf(address)"} {
		require.Contains(t, string(code), string(binary.BigEndian.AppendUint32([]byte{0x63}, selector(signature))), signature)
	}
}

// What is embedded is what the sources compile to.
func TestArtefacts(t *testing.T) {
	t.Parallel() // the compiler takes seconds
	tools, err := filepath.Abs("../../../.tools/solc/node_modules")
	require.NoError(t, err)
	node, err := exec.LookPath("node")
	if _, gone := os.Stat(filepath.Join(tools, "solc")); err != nil || gone != nil {
		if os.Getenv("BURSAR_REQUIRE_ALL") == "1" {
			t.Fatal("no compiler: scripts/tools.sh solc")
		}
		t.Skip("no compiler: scripts/tools.sh solc")
	}
	out := t.TempDir()
	cmd := exec.CommandContext(t.Context(), node, "src/compile.js", out)
	cmd.Env = append(os.Environ(), "NODE_PATH="+tools)
	said, err := cmd.CombinedOutput()
	require.NoError(t, err, string(said))
	for made, kept := range map[string]string{"sweeper.hex": "sweeper.hex", "tokens.txt": "../evmtest/sweeptokens/tokens.txt"} {
		want, err := os.ReadFile(filepath.Join(out, made))
		require.NoError(t, err)
		have, err := os.ReadFile(kept)
		require.NoError(t, err)
		require.Equal(t, string(want), string(have), "scripts/contracts.sh writes %s", kept)
	}
}
