package tokens

import (
	"encoding/hex"
	"math/big"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"
)

func TestSelectors(t *testing.T) {
	var a, b Address
	one := big.NewInt(1)
	for signature, call := range map[string][]byte{
		"mint(address,uint256)": Mint(a, one), "transfer(address,uint256)": Transfer(a, one), "approve(address,uint256)": Approve(a, one),
		"transferFrom(address,address,uint256)": TransferFrom(a, b, one), "split(address,address,uint256[])": Split(a, b, one), "forward(address)": Forward(a),
		"rebase(uint256)": Rebase(50), "freeze(address,bool)": Freeze(a, true), "pause(bool)": Pause(false), "upgradeTo(address)": UpgradeTo(a),
		"pay(address,address,uint256)": HookPay(a, b, one),
	} {
		require.Equal(t, hex.EncodeToString(crypto.Keccak256([]byte(signature))[:4]), hex.EncodeToString(call[:4]), signature)
	}
}

func TestEncoding(t *testing.T) {
	a, b := Address{19: 0xaa}, Address{0: 0xbb}
	word := func(tail string) string { return strings.Repeat("0", 64-len(tail)) + tail }
	require.Equal(t, word("aa")+word("bb"+strings.Repeat("0", 38))+word("60")+word("2")+word("7")+word("ff"),
		hex.EncodeToString(Split(a, b, big.NewInt(7), big.NewInt(255))[4:]))
	tail := func(code, bare []byte) string { return hex.EncodeToString(code[len(bare):]) }
	usdc := hex.EncodeToString([]byte("USDC")) + strings.Repeat("0", 56)
	require.Equal(t, word("40")+word("6")+word("4")+usdc, tail(Plain("USDC", 6), code(plain)))
	require.Equal(t, word("60")+word("12")+word("aa")+word("4")+usdc, tail(Spoofer("USDC", 18, a), code(spoofer)))
	require.Equal(t, word("60")+word("6")+word("aa")+word("4")+usdc, tail(Proxy("USDC", 6, a), code(proxy)))
	require.Equal(t, word("aa")+word("1"), hex.EncodeToString(Freeze(a, true)[4:]))
	require.Equal(t, word("0"), hex.EncodeToString(Pause(false)[4:]))
	require.Panics(t, func() { Mint(a, big.NewInt(-1)) })
}

// Every contract of the source has its init code here and the other way round.
func TestFilesMatchTheSource(t *testing.T) {
	source, err := os.ReadFile("tokens.sol")
	require.NoError(t, err)
	files := map[string]string{"plain": plain, "noreturn": noReturn, "returnsfalse": returnsFalse, "fourtopics": fourTopics, "longdata": longData,
		"spoofer": spoofer, "splitter": splitter, "forwarder": forwarder, "rejecter": rejecter,
		"fee": fee, "rebasing": rebasing, "freezable": freezable, "phantom": phantom, "proxy": proxy, "hooked": hooked, "hookpayer": hookPayer}
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^contract (\w+)`).FindAllStringSubmatch(string(source), -1) {
		names = append(names, strings.ToLower(m[1]))
	}
	require.Len(t, names, len(files))
	for _, name := range names {
		require.NotEmpty(t, code(files[name]), name)
	}
}
