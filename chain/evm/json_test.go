package evm

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

// scan runs f over all of text and returns the error.
func scan(text string, f func(*scanner)) *DecodeError {
	s := scanner{data: []byte(text)}
	f(&s)
	s.end()
	return s.err
}

// grammarCases are texts and whether they are JSON.
var grammarCases = map[string]bool{
	`null`: true, `true`: true, `false`: true, `0`: true, `-0`: true, `-1.5e+10`: true, `1E5`: true, `"x"`: true, `""`: true,
	`"\"\\\/\b\f\n\r\tA"`: true, `[]`: true, `{}`: true, `[1,2]`: true, ` { "a" : [ { } ] } `: true, "\"\xff\"": true,
	`{"a":1,"a":2}`: true, `"0123456789abcdef\u00e9"`: true, "\"\x7f\"": true, `"` + strings.Repeat("é", 30) + `"`: true,
	``: false, ` `: false, `nul`: false, `nulll`: false, `01`: false, `-`: false, `1.`: false, `.5`: false, `1e`: false, `1e+`: false, `+1`: false,
	`"`: false, `"abc`: false, `"\x"`: false, `"\u12g4"`: false, `"\u12"`: false, `"\`: false, "\"\n\"": false, "\"0123456\x1f\"": false,
	`[`: false, `[1`: false, `[1,`: false, `[1,]`: false, `[,1]`: false, `[1 2]`: false, `]`: false, `{`: false, `{"a"}`: false, `{"a":}`: false,
	`{"a":1,}`: false, `{,}`: false, `{a:1}`: false, `{1:1}`: false, `{"a" 1}`: false, `{"a":1]`: false, `[1}`: false, `1 2`: false, "\x00": false,
	`{"a":1 "b":2}`: false, `'x'`: false, "\ufeff1": false, `//1`: false, `tru e`: false,
}

func TestScannerGrammar(t *testing.T) {
	for text, valid := range grammarCases {
		require.Equal(t, json.Valid([]byte(text)), valid, "the table: %q", text)
		require.Equal(t, valid, scan(text, (*scanner).skip) == nil, "%q", text)
	}
}

func TestScannerStopsAtEachPlace(t *testing.T) {
	// The word-wise search must find each stopper at each place in and behind a
	// word, and nothing else, whatever stands before it.
	for length := range 40 {
		for at := range length {
			for b := range 256 {
				data := []byte(strings.Repeat("\x80", length))
				data[at] = byte(b)
				want := length
				if b < 0x20 || b == '"' || b == '\\' {
					want = at
				}
				s := scanner{data: data}
				require.Equal(t, want, s.stop(0), "byte %#x at %d of %d", b, at, length)
			}
		}
	}
}

func TestThreat_C5_DepthIsLimited(t *testing.T) {
	for _, pair := range []string{"[]", `{"a":}`} {
		nest := func(n int) string {
			open, closing := pair[:len(pair)-1], pair[len(pair)-1:]
			return strings.Repeat(open, n) + "1" + strings.Repeat(closing, n)
		}
		require.Nil(t, scan(nest(maxDepth), (*scanner).skip))
		require.NotNil(t, scan(nest(maxDepth+1), (*scanner).skip))
		require.NotNil(t, scan(nest(1_000_000), (*scanner).skip))
	}
}

func TestThreat_C5_Quantities(t *testing.T) {
	full := "0x" + strings.Repeat("f", 64)
	for text, want := range map[string]string{
		`"0x0"`: "0", `"0x1"`: "1", `"0xff"`: "255", `"0xFf"`: "255", `"0x100"`: "256", `"0xde0b6b3a7640000"`: "1000000000000000000",
		`"` + full + `"`: new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1)).String(),
	} {
		var got chain.Amount
		require.Nil(t, scan(text, func(s *scanner) { got = s.amount() }), text)
		require.Equal(t, want, got.String())
	}
	for name, text := range map[string]string{
		"leading zero": `"0x01"`, "two zeros": `"0x00"`, "empty": `""`, "only prefix": `"0x"`, "no prefix": `"12"`, "upper prefix": `"0X1"`,
		"number": `1`, "null": `null`, "no hex": `"0xg"`, "space": `"0x 1"`, "minus": `"-0x1"`, "plus": `"0x+1"`, "over 256 bits": `"0x1` + full[2:] + `"`,
		"escape": `"0x\u0031"`, "quote missing": `"0x1`, "object": `{}`, "underscore": `"0x1_0"`,
	} {
		require.NotNil(t, scan(text, func(s *scanner) { s.amount() }), name)
		require.NotNil(t, scan(text, func(s *scanner) { s.uint64() }), name)
	}
	var n uint64
	require.Nil(t, scan(`"0xffffffffffffffff"`, func(s *scanner) { n = s.uint64() }))
	require.Equal(t, ^uint64(0), n)
	require.NotNil(t, scan(`"0x10000000000000000"`, func(s *scanner) { s.uint64() }))
}

func TestThreat_C5_FixedData(t *testing.T) {
	digits := "0123456789abcdefABCDEF0123456789abcdef01"
	var got [20]byte
	require.Nil(t, scan(`"0x`+digits+`"`, func(s *scanner) { s.fixed(got[:]) }))
	want, err := hex.DecodeString(digits)
	require.NoError(t, err)
	require.Equal(t, want, got[:])
	for name, text := range map[string]string{
		"short": `"0x` + digits[1:] + `"`, "long": `"0x` + digits + `0"`, "longer": `"0x` + digits + `00"`, "upper prefix": `"0X` + digits + `"`, "no prefix": `"` + digits + `00"`,
		"no hex": `"0x` + digits[1:] + `g"`, "null": `null`, "number": `12`, "cut": `"0x` + digits, "quote inside": `"0x` + digits[2:] + `""`, "empty": `""`,
	} {
		require.NotNil(t, scan(text, func(s *scanner) { s.fixed(got[:]) }), name)
	}
}

func TestThreat_C5_Bytes(t *testing.T) {
	for text, want := range map[string]int{`"0x"`: 0, `"0x00"`: 1, `"0x` + strings.Repeat("ab", 3) + `"`: 3, `"0x` + strings.Repeat("ab", 100) + `"`: 100} {
		var dst [4]byte
		var n int
		require.Nil(t, scan(text, func(s *scanner) { n = s.bytes(dst[:]) }), text)
		require.Equal(t, want, n)
		for i := range dst[:min(n, 4)] {
			require.Equal(t, text[3+2*i:5+2*i], fmt.Sprintf("%02x", dst[i]))
		}
		var all []byte
		require.Nil(t, scan(text, intoBytes(&all)))
		require.Equal(t, text[3:len(text)-1], hex.EncodeToString(all))
	}
	for _, text := range []string{`"0x0"`, `"0xzz"`, `"0x000000000000000000zz"`, `"00"`, `""`, `null`, `5`, `"0X00"`, `[]`} {
		require.NotNil(t, scan(text, func(s *scanner) { s.bytes(make([]byte, 4)) }), text)
	}
}

// members is a JSON object with members that can be changed before encoding.
type members []string

func (m members) with(name, value string) string {
	var out []string
	for i := 0; i < len(m); i += 2 {
		v := m[i+1]
		if m[i] == name {
			if value == "" {
				continue
			}
			v = value
		}
		out = append(out, fmt.Sprintf("%q:%s", m[i], v))
	}
	return "{" + strings.Join(out, ",") + "}"
}

func quoted(s string) string { return `"` + s + `"` }

var (
	someHash    = quoted("0x" + strings.Repeat("12", 32))
	someAddress = quoted("0x" + strings.Repeat("34", 20))

	txMembers = members{"blockHash", someHash, "blockNumber", `"0x5"`, "from", someAddress, "hash", someHash, "input", `"0x"`, "nonce", `"0x9"`,
		"to", someAddress, "transactionIndex", `"0x0"`, "value", `"0x64"`, "accessList", `[{"address":"0x1","storageKeys":[]}]`}
	blockMembers = members{"number", `"0x5"`, "hash", someHash, "parentHash", someHash, "timestamp", `"0x7"`, "extra", `{"a":[1,{"b":null}]}`,
		"transactions", "[" + txMembers.with("", "") + "]", "uncles", "[]"}
	logMembers = members{"address", someAddress, "topics", "[" + quoted(transferTopic) + "," + someHash + "]", "data", `"0xabcd"`, "blockHash", someHash,
		"transactionHash", someHash, "transactionIndex", `"0x1"`, "logIndex", `"0x2"`, "removed", "false", "blockTimestamp", `"0x0"`}
	receiptMembers = members{"transactionHash", someHash, "blockHash", someHash, "blockNumber", `"0x5"`, "transactionIndex", `"0x1"`, "from", someAddress,
		"status", `"0x1"`, "gasUsed", `"0x5208"`, "effectiveGasPrice", `"0x7"`, "logs", "[" + logMembers.with("", "") + "]",
		"l1Fee", `"0x3"`, "blobGasUsed", `"0x2"`, "blobGasPrice", `"0x5"`, "contractAddress", "null", "root", "null"}
)

func decodeBlock(text string) (b block, err *DecodeError) {
	err = scan(text, func(s *scanner) { s.block(&b) })
	return b, err
}

func decodeTxObject(text string) (tx transactionObject, err *DecodeError) {
	err = scan(text, func(s *scanner) { s.transaction(&tx) })
	return tx, err
}

func decodeLogs(text string) (logs []logObject, listed bool, err *DecodeError) {
	err = scan(text, func(s *scanner) { logs, listed = s.logs(nil, nil) })
	return logs, listed, err
}

// allListed is a table with the address of the test objects.
func allListed() *tokenTable {
	raw := [20]byte{}
	unhex(raw[:], []byte(strings.Repeat("34", 20)))
	return &tokenTable{ids: map[[20]byte]listedToken{raw: {}}, contracts: [][20]byte{raw}}
}

func decodeReceipt(text string) (r receipt, err *DecodeError) {
	err = scan(text, func(s *scanner) { s.receipt(&r, allListed()) })
	return r, err
}

func TestDecodeObjects(t *testing.T) {
	b, err := decodeBlock(blockMembers.with("", ""))
	require.Nil(t, err)
	require.Equal(t, header{height: 5, seconds: 7, hash: b.hash, parent: b.hash, txs: 1}, b.header)
	require.Equal(t, someHash, quoted(hexHash(&b.hash)))
	tx := b.list[0]
	require.Equal(t, uint64(9), tx.nonce)
	require.Equal(t, byte(100), tx.value[31])
	require.True(t, tx.mined)
	require.False(t, tx.creates)
	require.Equal(t, someAddress, quoted(strings.ToLower(string(checksummed(tx.from)))))
	require.Equal(t, tx.from, tx.to)
	require.Equal(t, b.hash, tx.blockHash)
}

func TestDecodeOptionalFields(t *testing.T) {
	tx, err := decodeTxObject(txMembers.with("to", "null"))
	require.Nil(t, err)
	require.True(t, tx.creates)
	tx, err = decodeTxObject(strings.NewReplacer(`"blockHash":`+someHash, `"blockHash":null`, `"transactionIndex":"0x0"`, `"transactionIndex":null`).Replace(txMembers.with("", "")))
	require.Nil(t, err)
	require.False(t, tx.mined)
	b, err := decodeBlock("null")
	require.Nil(t, err)
	require.True(t, b.missing)
	_, listed, err := decodeLogs("null")
	require.Nil(t, err)
	require.False(t, listed, "null is no list")
	logs, listed, err := decodeLogs("[" + logMembers.with("removed", "true") + "]")
	require.Nil(t, err)
	require.True(t, listed)
	require.True(t, logs[0].removed)
	require.Equal(t, 2, logs[0].topicCount)
	require.Equal(t, 2, logs[0].dataLength)
	r, err := decodeReceipt(receiptMembers.with("", ""))
	require.Nil(t, err)
	fee, feeErr := r.fee()
	require.NoError(t, feeErr)
	require.Equal(t, chain.NewAmount(21000*7+2*5+3), fee)
	r, err = decodeReceipt(strings.Replace(receiptMembers.with("l1Fee", "null"), `"blobGasUsed":"0x2"`, `"blobGasUsed":null`, 1))
	require.Nil(t, err)
	fee, feeErr = r.fee()
	require.NoError(t, feeErr)
	require.Equal(t, chain.NewAmount(21000*7), fee)
	r, err = decodeReceipt(receiptMembers.with("contractAddress", someAddress))
	require.Nil(t, err)
	require.True(t, r.made)
	_, err = decodeReceipt(receiptMembers.with("effectiveGasPrice", `"0x`+strings.Repeat("f", 64)+`"`))
	require.Nil(t, err)
}

func TestReceiptFeeOverflow(t *testing.T) {
	for _, name := range []string{"effectiveGasPrice", "blobGasPrice", "l1Fee"} {
		r, err := decodeReceipt(receiptMembers.with(name, `"0x`+strings.Repeat("f", 64)+`"`))
		require.Nil(t, err)
		_, feeErr := r.fee()
		require.ErrorIs(t, feeErr, chain.ErrOverflow, name)
	}
}

// required lists the fields without which an object is refused, and a decoder.
func decoders() map[string]struct {
	m        members
	required []string
	decode   func(string) *DecodeError
} {
	type entry = struct {
		m        members
		required []string
		decode   func(string) *DecodeError
	}
	return map[string]entry{
		"block": {blockMembers, []string{"number", "hash", "parentHash", "timestamp", "transactions"},
			func(s string) *DecodeError { _, err := decodeBlock(s); return err }},
		"header": {blockMembers, []string{"number", "hash", "parentHash", "timestamp", "transactions"},
			func(s string) *DecodeError { return scan(s, func(s *scanner) { s.header(new(header)) }) }},
		"transaction": {txMembers, []string{"hash", "from", "value", "nonce", "transactionIndex"},
			func(s string) *DecodeError { _, err := decodeTxObject(s); return err }},
		"log": {logMembers, []string{"address", "topics", "data", "blockHash", "transactionHash", "transactionIndex", "logIndex"},
			func(s string) *DecodeError { _, _, err := decodeLogs("[" + s + "]"); return err }},
		"receipt": {receiptMembers, []string{"transactionHash", "blockHash", "blockNumber", "transactionIndex", "from", "status", "gasUsed", "effectiveGasPrice", "logs"},
			func(s string) *DecodeError { _, err := decodeReceipt(s); return err }},
	}
}

func TestThreat_C5_FieldsMissingNullTwiceOrOfWrongType(t *testing.T) {
	for name, d := range decoders() {
		require.Nil(t, d.decode(d.m.with("", "")), name)
		for _, field := range d.required {
			require.NotNil(t, d.decode(d.m.with(field, "")), "%s without %s", name, field)
			for _, value := range []string{"null", "5", "true", "{}", `"0x"`, `"x"`, `""`, `[null]`, `["0x"]`} {
				if name == "header" && value[0] == '[' || field == "data" && value == `"0x"` {
					continue // a header only counts its transactions; a log may have no data
				}
				require.NotNil(t, d.decode(d.m.with(field, value)), "%s with %s %s", name, field, value)
			}
			for i := 0; i < len(d.m); i += 2 {
				if d.m[i] == field {
					twice := append(members{field, d.m[i+1]}, d.m...)
					require.NotNil(t, d.decode(twice.with("", "")), "%s with %s twice", name, field)
					escaped := strings.Replace(d.m.with("", ""), quoted(field), fmt.Sprintf(`"\u%04x%s"`, field[0], field[1:]), 1)
					require.NotNil(t, d.decode(escaped), "%s with %s escaped", name, field)
				}
			}
		}
		text := d.m.with("", "")
		for cut := 1; cut < len(text); cut++ {
			require.NotNil(t, d.decode(text[:cut]), "%s cut at %d", name, cut)
		}
	}
}

func TestThreat_C5_StatusOtherThanZeroAndOne(t *testing.T) {
	for _, status := range []string{`"0x2"`, `"0x01"`, `1`, `"1"`, `true`, `"0xffffffffffffffffff"`} {
		_, err := decodeReceipt(receiptMembers.with("status", status))
		require.NotNil(t, err, status)
	}
}

func TestThreat_C5_TransactionOutOfPlace(t *testing.T) {
	for _, tx := range []string{txMembers.with("transactionIndex", `"0x1"`), txMembers.with("blockHash", "null"), txMembers.with("blockHash", "")} {
		_, err := decodeBlock(blockMembers.with("transactions", "["+tx+"]"))
		require.NotNil(t, err, tx)
	}
}

// FuzzScanner holds the scanner against encoding/json's own grammar.
func FuzzScanner(f *testing.F) {
	for text := range grammarCases {
		f.Add([]byte(text))
	}
	f.Add([]byte(blockMembers.with("", "")))
	f.Fuzz(func(t *testing.T, data []byte) {
		err := scan(string(data), (*scanner).skip)
		if err != nil && err.Reason == "nested too deep" {
			return
		}
		if valid := json.Valid(data); valid != (err == nil) {
			t.Fatalf("encoding/json says %v, the scanner %v", valid, err)
		}
		var text string
		s := scanner{data: data}
		if got := s.text(); s.err == nil && s.pos == len(data) {
			if json.Unmarshal(data, &text) != nil || text != got {
				t.Fatalf("text %q, want %q", got, text)
			}
		}
	})
}

// Reference decoders over encoding/json: slow, obvious, case-sensitive.

type anyObject map[string]json.RawMessage

func (o anyObject) hex(name string) []byte {
	var text string
	if json.Unmarshal(o[name], &text) != nil || !strings.HasPrefix(text, "0x") {
		return nil
	}
	raw, err := hex.DecodeString(text[2:])
	if err != nil {
		return nil
	}
	return raw
}

func (o anyObject) number(name string) *big.Int {
	var text string
	if json.Unmarshal(o[name], &text) != nil || !strings.HasPrefix(text, "0x") {
		return nil
	}
	n, ok := new(big.Int).SetString(text[2:], 16)
	if !ok {
		return nil
	}
	return n
}

func (o anyObject) null(name string) bool { return o[name] == nil || string(o[name]) == "null" }

func sameTx(t *testing.T, tx *transactionObject, o anyObject) {
	t.Helper()
	require.Equal(t, o.hex("hash"), tx.hash[:])
	require.Equal(t, o.hex("from"), tx.from[:])
	require.Equal(t, o.null("to"), tx.creates)
	if !tx.creates {
		require.Equal(t, o.hex("to"), tx.to[:])
	}
	require.Equal(t, o.number("value").FillBytes(make([]byte, 32)), tx.value[:])
	require.Equal(t, o.number("nonce").Uint64(), tx.nonce)
	require.Equal(t, !o.null("blockHash"), tx.mined)
}

func FuzzBlock(f *testing.F) {
	f.Add([]byte(blockMembers.with("", "")))
	f.Add([]byte(blockMembers.with("transactions", "[]")))
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := decodeBlock(string(data))
		if err != nil || b.missing {
			return
		}
		var o anyObject
		require.NoError(t, json.Unmarshal(data, &o))
		require.Equal(t, o.hex("hash"), b.hash[:])
		require.Equal(t, o.hex("parentHash"), b.parent[:])
		require.Equal(t, o.number("number").Uint64(), b.height)
		require.Equal(t, o.number("timestamp").Uint64(), b.seconds)
		var txs []anyObject
		require.NoError(t, json.Unmarshal(o["transactions"], &txs))
		require.Len(t, b.list, len(txs))
		require.Len(t, txs, b.txs)
		for i := range txs {
			sameTx(t, &b.list[i], txs[i])
			require.Equal(t, uint64(i), txs[i].number("transactionIndex").Uint64())
		}
		_ = b.ref()
	})
}

func FuzzLogs(f *testing.F) {
	f.Add([]byte("[" + logMembers.with("", "") + "," + logMembers.with("removed", "true") + "]"))
	f.Add([]byte("[]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		logs, listed, err := decodeLogs(string(data))
		if err != nil || !listed {
			return
		}
		var objects []anyObject
		require.NoError(t, json.Unmarshal(data, &objects))
		require.Len(t, logs, len(objects))
		for i, o := range objects {
			sameLog(t, &logs[i], o)
		}
	})
}

func sameLog(t *testing.T, l *logObject, o anyObject) {
	t.Helper()
	require.Equal(t, o.hex("address"), l.address[:])
	require.Equal(t, o.hex("blockHash"), l.blockHash[:])
	require.Equal(t, o.hex("transactionHash"), l.txHash[:])
	require.Equal(t, o.number("transactionIndex").Uint64(), l.txIndex)
	require.Equal(t, o.number("logIndex").Uint64(), l.logIndex)
	require.Equal(t, string(o["removed"]) == "true", l.removed)
	data := o.hex("data")
	require.Len(t, data, l.dataLength)
	require.Equal(t, data[:min(32, len(data))], l.data[:min(32, len(data))])
	var topics []json.RawMessage
	require.NoError(t, json.Unmarshal(o["topics"], &topics))
	require.Len(t, topics, l.topicCount)
	for i, raw := range topics[:min(3, len(topics))] {
		require.Equal(t, anyObject{"t": raw}.hex("t"), l.topics[i][:])
	}
	if l.isTransfer() {
		require.Len(t, topics, 3)
		require.Len(t, data, 32)
	}
}

func FuzzReceipt(f *testing.F) {
	f.Add([]byte(receiptMembers.with("", "")))
	f.Add([]byte(receiptMembers.with("status", `"0x0"`)))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decodeReceipt(string(data))
		if err != nil || r.missing {
			return
		}
		var o anyObject
		require.NoError(t, json.Unmarshal(data, &o))
		require.Equal(t, o.hex("transactionHash"), r.txHash[:])
		require.Equal(t, o.hex("blockHash"), r.blockHash[:])
		require.Equal(t, o.hex("from"), r.from[:])
		require.Equal(t, o.number("status").Sign() == 1, r.ok)
		require.Equal(t, o.number("gasUsed").Uint64(), r.gasUsed)
		require.Equal(t, o.number("effectiveGasPrice").String(), r.price.String())
		if !o.null("l1Fee") {
			require.Equal(t, o.number("l1Fee").String(), r.l1Fee.String())
		}
		_, _ = r.fee()
		_ = r.checkLogs()
	})
}

func FuzzResponse(f *testing.F) {
	f.Add([]byte(`[{"jsonrpc":"2.0","id":7,"result":"0x1"},{"id":8,"error":{"code":-32000,"message":"no","data":[1]}}]`))
	f.Add([]byte(`{"error":{"code":1,"message":"m"},"id":null}`))
	f.Add([]byte(`[{"result":"0x5","id":8},{"result":"0x4","id":7}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var a, b uint64
		calls := []*call{newCall("a", intoUint64(&a)), newCall("b", intoUint64(&b))}
		r := response{scanner: scanner{data: data}, base: 7, calls: calls, secrets: newRedactor(Config{URL: "http://h/secret"})}
		if r.read() != nil {
			return
		}
		for _, c := range calls {
			if !c.answered && c.err == nil {
				t.Fatal("a call without an answer and without an error")
			}
		}
		if !json.Valid(data) {
			t.Fatal("accepted what is no JSON")
		}
	})
}
