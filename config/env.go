package config

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/bursar-go/bursar"
)

// prefix begins the names of our variables.
const prefix = "BURSAR_"

// variable is the name of the variable of a field.
func variable(path string) string { return prefix + envName(path) }

// envName is a name as variables write it.
func envName(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z' || r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, name)
}

// override writes the variables into the tree, to be decoded with it. They are
// taken in the order of their names, so that the outcome depends on what is set
// and not on how it is listed.
func override(r *report, root *yaml.Node, env []string) {
	env = slices.Clone(env)
	slices.SortStableFunc(env, func(a, b string) int { return cmp.Compare(nameOf(a), nameOf(b)) })
	for i, pair := range env {
		name, value, _ := strings.Cut(pair, "=")
		rest, ours := strings.CutPrefix(name, prefix)
		switch {
		case !ours:
		case i+1 < len(env) && nameOf(env[i+1]) == name:
			r.at(place{env: name}, "", bursar.CodeDuplicate, "is set twice")
		case value == "":
			r.at(place{env: name}, "", bursar.CodeRequired, "is set and empty: give it a value, or unset it")
		default:
			if reason := (&variableValue{name, value}).set(root, reflect.TypeFor[File](), rest, ""); reason != "" {
				code := bursar.CodeUnknown
				if reason != noField {
					code = bursar.CodeInvalid
				}
				r.at(place{env: name}, "", code, reason)
			}
		}
	}
}

func nameOf(pair string) string {
	name, _, _ := strings.Cut(pair, "=")
	return name
}

// fileSuffix behind the name of a secret's variable: the value is a path.
const fileSuffix = "FILE"

const noField = "no field has this variable"

// variableValue is one variable on its way into the tree.
type variableValue struct{ name, value string }

func (v *variableValue) scalar(text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: envTag, Value: text, LineComment: v.name}
}

// set puts the value where the rest of the variable's name leads to from n, a
// node of type t. It returns why it could not, or "".
func (v *variableValue) set(n *yaml.Node, t reflect.Type, rest, options string) string {
	switch {
	case t == reflect.TypeFor[Secret]():
		return v.setSecret(n, rest)
	case t.Kind() == reflect.Pointer:
		return v.set(n, t.Elem(), rest, options)
	case t.Kind() == reflect.Struct:
		return v.setField(n, t, rest)
	case t.Kind() == reflect.Map:
		return v.setEntry(n, t, rest, options)
	case rest != "":
		return noField
	case t.Kind() == reflect.Slice:
		*n = yaml.Node{Kind: yaml.SequenceNode}
		for item := range strings.SplitSeq(v.value, ",") {
			n.Content = append(n.Content, v.scalar(strings.TrimSpace(item)))
		}
	default:
		*n = *v.scalar(v.value)
	}
	return ""
}

func (v *variableValue) setSecret(n *yaml.Node, rest string) string {
	if rest != "" && rest != fileSuffix {
		return noField
	}
	if n.Tag == envTag || n.Kind == yaml.MappingNode && placeOf(n).env != "" {
		return "the secret is set by " + placeOf(n).env + " too"
	}
	if rest == "" {
		*n = *v.scalar(v.value)
		return ""
	}
	*n = yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{{Kind: yaml.ScalarNode, Tag: "!!str", Value: "file"}, v.scalar(v.value)}}
	return ""
}

// setField follows the field whose name the rest begins with. One field's name
// can begin with another's, so that all are tried, the longest first.
func (v *variableValue) setField(n *yaml.Node, t reflect.Type, rest string) string {
	var fields []reflect.StructField
	for i := range t.NumField() {
		if f := t.Field(i); f.Tag.Get("yaml") != "" {
			fields = append(fields, f)
		}
	}
	slices.SortStableFunc(fields, func(a, b reflect.StructField) int { return len(b.Tag.Get("yaml")) - len(a.Tag.Get("yaml")) })
	for _, f := range fields {
		name := f.Tag.Get("yaml")
		tail, ok := after(rest, envName(name))
		if !ok {
			continue
		}
		if reason := v.setKey(n, name, f.Type, tail, f.Tag.Get("env")); reason != noField {
			return reason
		}
	}
	return noField
}

// setEntry follows an entry of a map: one that is there, or a new one.
func (v *variableValue) setEntry(n *yaml.Node, t reflect.Type, rest, options string) string {
	keys := keysOf(n)
	slices.SortStableFunc(keys, func(a, b string) int { return len(b) - len(a) })
	for i, key := range keys {
		tail, ok := after(rest, envName(key))
		if !ok {
			continue
		}
		if j := slices.IndexFunc(keys[i+1:], func(k string) bool { return envName(k) == envName(key) }); j >= 0 {
			return fmt.Sprintf("it could mean %s and %s", shown(key), shown(keys[i+1+j]))
		}
		if reason := v.setKey(n, key, t.Elem(), tail, ""); reason != noField {
			return reason
		}
	}
	key, tail, _ := strings.Cut(rest, "_")
	if t.Elem() == reflect.TypeFor[Secret]() {
		// Nothing but _FILE can follow: the rest is the name, of a header.
		key, tail = rest, ""
		if name, ok := strings.CutSuffix(rest, "_"+fileSuffix); ok {
			key, tail = name, fileSuffix
		}
		key = strings.ReplaceAll(key, "_", "-")
	}
	if options != "upper" {
		key = strings.ToLower(key)
	}
	if key == "" {
		return noField
	}
	return v.setKey(n, key, t.Elem(), tail, "")
}

// setKey sets something inside the value of a key, which is added where it is
// not there. A failure leaves the mapping as it was.
func (v *variableValue) setKey(n *yaml.Node, key string, t reflect.Type, rest, options string) string {
	if n.Kind != 0 && n.Kind != yaml.MappingNode && !empty(n) {
		return "the file has no fields there"
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return v.set(n.Content[i+1], t, rest, options)
		}
	}
	value := &yaml.Node{}
	reason := v.set(value, t, rest, options)
	if reason == "" {
		if n.Kind != yaml.MappingNode {
			*n = yaml.Node{Kind: yaml.MappingNode, Line: n.Line}
		}
		n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key, LineComment: v.name}, value)
	}
	return reason
}

func keysOf(n *yaml.Node) (out []string) {
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			out = append(out, n.Content[i].Value)
		}
	}
	return out
}

// after cuts a name and the _ behind it from the beginning of rest.
func after(rest, name string) (tail string, ok bool) {
	if rest == name {
		return "", true
	}
	return strings.CutPrefix(rest, name+"_")
}
