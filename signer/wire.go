package signer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// The paths of the protocol, below the URL of the server.
const (
	pathSign   = "/v1/sign"
	pathStatus = "/v1/status"
	pathHalt   = "/v1/halt"
)

// wireRequest is one message to sign. Bytes are base64 in JSON.
type wireRequest struct {
	Chain    chain.ID          `json:"chain"`
	Purpose  chain.SignPurpose `json:"purpose"`
	Scheme   chain.Scheme      `json:"scheme"`
	Key      chain.KeyRef      `json:"key"`
	Payload  []byte            `json:"payload"`
	Own      []wireOwn         `json:"own,omitempty"`
	Approval *chain.Approval   `json:"approval,omitempty"`
}

type wireOwn struct {
	Address chain.Address `json:"address"`
	Key     chain.KeyRef  `json:"key"`
}

type signBody struct {
	Requests []wireRequest `json:"requests"`
}

type signAnswer struct {
	Signatures [][]byte `json:"signatures"`
}

// Status is what a server tells of itself.
type Status struct {
	// Halted tells that everything is refused, Reason why.
	Halted bool   `json:"halted"`
	Reason string `json:"reason,omitempty"` // Reason is why.
}

type haltBody struct {
	Reason string `json:"reason"`
}

type errorAnswer struct {
	Error wireError `json:"error"`
}

// wireError is an error on its way. Code is a Code or one of the words below; Rule,
// Detail, Wallet and Path are those of a *chain.PolicyError, What, Text and Reason of a
// *chain.FormatError.
type wireError struct {
	Code       Code   `json:"code"`
	Rule       string `json:"rule,omitempty"`
	Detail     string `json:"detail,omitempty"`
	Wallet     string `json:"wallet,omitempty"`
	Path       string `json:"path,omitempty"`
	What       string `json:"what,omitempty"`
	Text       string `json:"text,omitempty"`
	Reason     string `json:"reason,omitempty"`
	RetryAfter int64  `json:"retry_after_ms,omitempty"`
}

// The codes of errors that are not a RemoteError's.
const (
	codePolicy    Code = "policy"
	codeRequest   Code = "request"
	codeSignature Code = "invalid_signature"
	codeScheme    Code = "unsupported"
)

// status is the HTTP status that goes with a code.
func (c Code) status() int {
	switch c {
	case codePolicy:
		return http.StatusForbidden
	case codeRequest:
		return http.StatusBadRequest
	case codeScheme:
		return http.StatusNotImplemented
	case codeSignature:
		return http.StatusBadGateway
	case CodeUnauthorized:
		return http.StatusUnauthorized
	case CodeReplayed:
		return http.StatusConflict
	case CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case CodeBusy:
		return http.StatusTooManyRequests
	}
	return http.StatusInternalServerError
}

// toWire says an error in the protocol's words. What has no type stays here: its text
// could be anything.
func toWire(err error) wireError {
	var (
		policy *chain.PolicyError
		format *chain.FormatError
		remote *RemoteError
	)
	switch {
	case errors.As(err, &policy):
		return wireError{Code: codePolicy, Rule: policy.Rule, Detail: policy.Detail, Wallet: policy.Key.Wallet, Path: policy.Key.Path}
	case errors.As(err, &format):
		return wireError{Code: codeRequest, What: format.What, Text: format.Text, Reason: format.Reason}
	case errors.Is(err, chain.ErrInvalidSignature):
		return wireError{Code: codeSignature, Reason: "the keys' side returned an invalid signature"}
	case errors.Is(err, chain.ErrUnsupported):
		return wireError{Code: codeScheme, Reason: "not supported"}
	case errors.As(err, &remote) && remote.Code != CodeUnreachable && remote.Code != CodeUntrusted:
		return wireError{Code: remote.Code, Reason: remote.Reason, RetryAfter: remote.RetryAfter.Milliseconds()}
	}
	return wireError{Code: CodeInternal, Reason: "the signer failed; its log says how"}
}

// maxRetryAfter bounds what a server can make a client wait.
const maxRetryAfter = time.Hour

// fromWire is the opposite of toWire.
func (w *wireError) fromWire() error {
	switch w.Code {
	case codePolicy:
		key := chain.KeyRef{Wallet: shorten(w.Wallet), Path: shorten(w.Path)}
		return &chain.PolicyError{Rule: shorten(w.Rule), Detail: shorten(w.Detail), Key: key}
	case codeRequest:
		return &chain.FormatError{What: shorten(w.What), Text: shorten(w.Text), Reason: shorten(w.Reason)}
	case codeSignature:
		return &SignatureError{-1, "the server itself refused what it got"}
	case codeScheme:
		return fmt.Errorf("signer: the server: %w", chain.ErrUnsupported)
	case CodeUnauthorized, CodeReplayed, CodeTooLarge, CodeBusy, CodeInternal:
		wait := time.Duration(min(max(w.RetryAfter, 0), maxRetryAfter.Milliseconds())) * time.Millisecond
		return &RemoteError{Code: w.Code, Reason: shorten(w.Reason), RetryAfter: wait}
	}
	return &RemoteError{Code: CodeUntrusted, Reason: fmt.Sprintf("an error with the unknown code %.40q", string(w.Code))}
}

// shorten bounds a text from elsewhere.
func shorten(text string) string {
	const most = 500
	if len(text) > most {
		return text[:most]
	}
	return text
}

// decode reads one JSON value and nothing else. A server is strict: what it does not
// know could restrict what it was asked for.
func decode(body []byte, strict bool, into any) error {
	in := json.NewDecoder(bytes.NewReader(body))
	if strict {
		in.DisallowUnknownFields()
	}
	if err := in.Decode(into); err != nil {
		return &chain.FormatError{What: "body", Reason: "not the JSON that is wanted"}
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return &chain.FormatError{What: "body", Reason: "more than one JSON value"}
	}
	return nil
}

func toWireRequests(requests []chain.SignRequest) signBody {
	b := signBody{Requests: make([]wireRequest, 0, len(requests))}
	for i := range requests {
		r := &requests[i]
		w := wireRequest{Chain: r.Chain, Purpose: r.Purpose, Scheme: r.Scheme, Key: r.Key, Payload: r.Payload, Approval: r.Approval}
		for _, o := range r.Own {
			w.Own = append(w.Own, wireOwn{o.Address, o.Key})
		}
		b.Requests = append(b.Requests, w)
	}
	return b
}

// decodeSign reads the body of a call to sign.
func decodeSign(body []byte, most int) ([]chain.SignRequest, error) {
	var b signBody
	if err := decode(body, true, &b); err != nil {
		return nil, err
	}
	switch {
	case len(b.Requests) == 0:
		return nil, &chain.FormatError{What: "requests", Reason: "want at least one"}
	case len(b.Requests) > most:
		return nil, &RemoteError{Code: CodeTooLarge, Reason: fmt.Sprintf("%d requests, at most %d are taken at a time", len(b.Requests), most)}
	}
	out := make([]chain.SignRequest, 0, len(b.Requests))
	for i := range b.Requests {
		w := &b.Requests[i]
		r := chain.SignRequest{Chain: w.Chain, Purpose: w.Purpose, Scheme: w.Scheme, Key: w.Key, Payload: w.Payload, Approval: w.Approval}
		for _, o := range w.Own {
			r.Own = append(r.Own, chain.OwnTarget{Address: o.Address, Key: o.Key})
		}
		out = append(out, r)
	}
	return out, nil
}
