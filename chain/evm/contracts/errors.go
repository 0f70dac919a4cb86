package contracts

import "fmt"

// FieldError reports input that no code or call is made of.
type FieldError struct {
	// Field is the path of the field: "Params.Treasury", "Batch.Entries[3].Amount".
	Field string
	// Reason says what is wrong with it.
	Reason string
}

// Error names the field and the reason.
func (e *FieldError) Error() string { return "contracts: " + e.Field + ": " + e.Reason }

func fieldErr(field, format string, args ...any) *FieldError {
	return &FieldError{Field: field, Reason: fmt.Sprintf(format, args...)}
}

// DecodeError reports bytes that are not what they were read as.
type DecodeError struct {
	// What is what was expected: "batch", "unswept".
	What string
	// Reason says what is wrong.
	Reason string
}

// Error tells what was expected and why it is not there.
func (e *DecodeError) Error() string { return "contracts: no " + e.What + ": " + e.Reason }
