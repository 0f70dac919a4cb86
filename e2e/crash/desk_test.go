//go:build unix

package crash

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// job is what the world asks a host to do. Key names it: whoever gets the same
// one does the same.
type job struct {
	// Kind is "create", "create tx", "cancel", or empty: ask again.
	Kind string
	Key  string
	// Asset and Amount are those of a payment to be made.
	Asset, Amount string
	// Payment is the one to be canceled.
	Payment string
}

// done is what a host confirms.
type done struct {
	Job      job
	Payment  string
	Address  string
	Status   string
	Canceled bool
	Created  int64 // in microseconds
	Expires  int64
	// Trouble is a broken promise that the host noticed by itself.
	Trouble string
}

// told is an event as it reached a host.
type told struct {
	ID, Kind, Subject string
	Seq               int64
}

// desk is a host's way to the world.
type desk struct {
	url, instance string
	http          *http.Client
}

// post sends a value and reads the answer into out, where that is not nil.
func (d *desk) post(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Instance", d.instance)
	answer, err := d.http.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 200)) // what there is of it
		return fmt.Errorf("%s: %s: %s", path, answer.Status, text)
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(answer.Body).Decode(out)
}
