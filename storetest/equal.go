package storetest

import (
	"fmt"
	"math/big"
	"reflect"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// differ returns where two values of the same type differ, or "". Times are
// equal when they are the same instant; empty lists and maps equal nil ones,
// because databases do not tell them apart.
func differ(want, got any) string {
	return differAt("", reflect.ValueOf(want), reflect.ValueOf(got))
}

func differAt(path string, want, got reflect.Value) string {
	here := func() string { return fmt.Sprintf("%s: want %v, got %v", path, want, got) }
	switch w := want.Interface().(type) {
	case time.Time:
		if !w.Equal(got.Interface().(time.Time)) {
			return here()
		}
		return ""
	case chain.Amount:
		if w != got.Interface().(chain.Amount) {
			return here()
		}
		return ""
	case *big.Int:
		if g := got.Interface().(*big.Int); g == nil || w.Cmp(g) != 0 {
			return here()
		}
		return ""
	}
	switch want.Kind() {
	case reflect.Struct:
		for i := range want.NumField() {
			if d := differAt(path+"."+want.Type().Field(i).Name, want.Field(i), got.Field(i)); d != "" {
				return d
			}
		}
	case reflect.Slice:
		if want.Len() != got.Len() {
			return fmt.Sprintf("%s: want %d rows, got %d: want %v, got %v", path, want.Len(), got.Len(), want, got)
		}
		for i := range want.Len() {
			if d := differAt(fmt.Sprintf("%s[%d]", path, i), want.Index(i), got.Index(i)); d != "" {
				return d
			}
		}
	case reflect.Map:
		if want.Len() != got.Len() {
			return here()
		}
		for _, k := range want.MapKeys() {
			g := got.MapIndex(k)
			if !g.IsValid() {
				return fmt.Sprintf("%s[%v]: missing", path, k)
			}
			if d := differAt(fmt.Sprintf("%s[%v]", path, k), want.MapIndex(k), g); d != "" {
				return d
			}
		}
	case reflect.Pointer:
		if want.IsNil() || got.IsNil() {
			if want.IsNil() != got.IsNil() {
				return here()
			}
			return ""
		}
		return differAt(path, want.Elem(), got.Elem())
	default:
		if want.Interface() != got.Interface() {
			return here()
		}
	}
	return ""
}
