package config

import (
	"fmt"
	"math/bits"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/bursar-go/bursar"
)

// envTag marks values of the environment, which are text whatever the type. A
// file cannot use it: tags are refused there.
const envTag = "!env"

// decoder fills a File from YAML nodes. The library's own decoder is not used:
// it takes a float for an integer, stops at the first errors, and quotes values
// in them.
type decoder struct {
	*report
	folder string // what paths of secrets are relative to
}

// value decodes n into v. secret is the tag of the field around it.
func (d *decoder) value(path string, n *yaml.Node, v reflect.Value, secret string) {
	if path != "" {
		d.places[path] = placeOf(n)
	}
	if !d.plain(path, n) {
		return
	}
	switch {
	case v.Type() == reflect.TypeFor[Secret]():
		d.secret(path, n, v, secret)
	case v.Kind() == reflect.Pointer:
		made := reflect.New(v.Type().Elem())
		d.value(path, n, made.Elem(), secret)
		v.Set(made)
	case v.Kind() == reflect.Struct:
		d.mapping(path, n, func(at string, key, value *yaml.Node) { d.field(at, key, value, v) })
	case v.Kind() == reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		d.mapping(path, n, func(at string, key, value *yaml.Node) {
			item := reflect.New(v.Type().Elem()).Elem()
			d.value(at, value, item, secret)
			v.SetMapIndex(reflect.ValueOf(key.Value), item)
		})
	case v.Kind() == reflect.Slice:
		d.list(path, n, v)
	default:
		d.scalar(path, n, v)
	}
}

// plain refuses what makes YAML say something else than it shows.
func (d *decoder) plain(path string, n *yaml.Node) bool {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		d.add(path, bursar.CodeInvalid, "anchors and aliases are not allowed")
	case n.Style&yaml.TaggedStyle != 0:
		d.add(path, bursar.CodeInvalid, "tags are not allowed")
	default:
		return true
	}
	return false
}

// mapping calls yield for each pair of a mapping, once for each key.
func (d *decoder) mapping(path string, n *yaml.Node, yield func(at string, key, value *yaml.Node)) {
	if empty(n) && n.Tag != envTag {
		return // a section all of whose fields are commented out
	}
	if n.Kind != yaml.MappingNode {
		d.add(path, bursar.CodeInvalid, "want fields with names")
		return
	}
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := join(path, shown(key.Value))
		switch first, twice := lines[key.Value]; {
		case key.Kind != yaml.ScalarNode || key.ShortTag() == "!!merge":
			d.report.at(placeOf(key), at, bursar.CodeInvalid, "want a plain name")
		case twice:
			d.report.at(placeOf(key), at, bursar.CodeDuplicate, fmt.Sprintf("stands in line %d already", first))
		case d.plain(at, key):
			lines[key.Value] = key.Line
			yield(at, key, value)
		}
	}
}

func (d *decoder) field(at string, key, value *yaml.Node, of reflect.Value) {
	for i := range of.NumField() {
		f := of.Type().Field(i)
		if f.Tag.Get("yaml") == key.Value && key.Value != "" {
			d.value(at, value, of.Field(i), f.Tag.Get("secret"))
			return
		}
	}
	d.report.at(placeOf(key), at, bursar.CodeUnknown, "no such field")
}

func (d *decoder) list(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.SequenceNode {
		d.add(path, bursar.CodeInvalid, "want a list")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		d.value(fmt.Sprintf("%s[%d]", path, i), item, v.Index(i), "")
	}
}

// scalar decodes one value. What YAML takes for another type is refused with
// advice, and never converted.
func (d *decoder) scalar(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.ScalarNode {
		d.add(path, bursar.CodeInvalid, "want a single value")
		return
	}
	if empty(n) && n.Tag != envTag {
		d.add(path, bursar.CodeRequired, "empty: give a value, or leave the field out")
		return
	}
	tag := n.ShortTag()
	text := n.Tag == envTag || tag == "!!str"
	switch {
	case v.Type() == reflect.TypeFor[Units]():
		if tag == "!!float" {
			d.add(path, bursar.CodeInvalid, "a float is never exact: put the number in quotes")
			return
		}
		if !text && (tag != "!!int" || !wholeNumber(n.Value)) {
			d.add(path, bursar.CodeInvalid, "want a number in quotes")
			return
		}
		v.SetString(n.Value)
	case v.Type() == reflect.TypeFor[time.Duration]():
		d.duration(path, n.Value, text, v)
	case v.Kind() == reflect.String:
		if !text {
			d.add(path, bursar.CodeInvalid, "want text: put it in quotes")
			return
		}
		v.SetString(n.Value)
	case v.Kind() == reflect.Bool:
		if !text && tag != "!!bool" || n.Value != "true" && n.Value != "false" || n.Tag != envTag && tag == "!!str" {
			d.add(path, bursar.CodeInvalid, "want true or false")
			return
		}
		v.SetBool(n.Value == "true")
	default:
		d.integer(path, n, v)
	}
}

func (d *decoder) duration(path, value string, text bool, v reflect.Value) {
	span, err := time.ParseDuration(value)
	switch {
	case !text || err != nil:
		d.add(path, bursar.CodeInvalid, "want a duration with its unit, such as 24h, 90m or 30s")
	case span < 0:
		d.add(path, bursar.CodeOutOfRange, "negative")
	default:
		v.SetInt(int64(span))
	}
}

// integer takes decimal digits alone: 010 would be eight to some and ten to
// others, 1e3 a float.
func (d *decoder) integer(path string, n *yaml.Node, v reflect.Value) {
	if n.Tag != envTag && n.ShortTag() != "!!int" || !wholeNumber(n.Value) {
		d.add(path, bursar.CodeInvalid, "want a whole number in digits")
		return
	}
	if v.CanUint() {
		number, err := strconv.ParseUint(n.Value, 10, v.Type().Bits())
		if err != nil {
			d.add(path, bursar.CodeOutOfRange, "at most %d", uint64(1)<<(v.Type().Bits()-1)-1+uint64(1)<<(v.Type().Bits()-1))
			return
		}
		v.SetUint(number)
		return
	}
	number, err := strconv.ParseInt(n.Value, 10, min(v.Type().Bits(), bits.UintSize))
	if err != nil {
		d.add(path, bursar.CodeOutOfRange, "too large")
		return
	}
	v.SetInt(number)
}

func wholeNumber(text string) bool {
	return regexp.MustCompile(`^(0|[1-9][0-9]*)$`).MatchString(text)
}

// secret decodes a text that the file may name and, but for some, not hold.
func (d *decoder) secret(path string, n *yaml.Node, v reflect.Value, kind string) {
	switch {
	case n.Kind == yaml.MappingNode:
		d.secretFile(path, n, v)
	case n.Kind != yaml.ScalarNode || empty(n) && n.Tag != envTag:
		d.add(path, bursar.CodeInvalid, "want {file: …}")
	case n.Tag != envTag && kind == "":
		d.add(path, bursar.CodeInvalid, "a secret does not stand in this file: want {file: …} or the variable %s", variable(path))
	case n.Tag != envTag && n.ShortTag() != "!!str":
		d.add(path, bursar.CodeInvalid, "want text: put it in quotes")
	case n.Tag != envTag && kind == "dsn" && holdsPassword(n.Value):
		d.add(path, bursar.CodeInvalid, "it holds a password, which does not stand in this file: see password, {file: …} and the variable %s", variable(path))
	default:
		v.Set(reflect.ValueOf(NewSecret(n.Value)))
	}
}

func (d *decoder) secretFile(path string, n *yaml.Node, v reflect.Value) {
	var ref struct {
		File string `yaml:"file"`
	}
	before := len(d.errs)
	d.mapping(path, n, func(at string, key, value *yaml.Node) { d.field(at, key, value, reflect.ValueOf(&ref).Elem()) })
	switch {
	case len(d.errs) > before:
		return
	case ref.File == "":
		d.add(path, bursar.CodeRequired, "want {file: …}")
		return
	case !filepath.IsAbs(ref.File):
		ref.File = filepath.Join(d.folder, ref.File)
	}
	raw, err := read(ref.File, maxSecret)
	if err != nil {
		d.wrap(path, bursar.CodeInvalid, err, "its file cannot be read")
		return
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r")
	if text == "" {
		d.add(path, bursar.CodeRequired, "its file is empty")
		return
	}
	v.Set(reflect.ValueOf(NewSecret(text)))
}

// holdsPassword looks for a password in both forms of a connection string, and
// rather sees one too many.
func holdsPassword(dsn string) bool {
	return regexp.MustCompile(`(?i)password\s*=|://[^/@]*:[^/@]*@`).MatchString(dsn)
}

// placeOf tells where a node is from.
func placeOf(n *yaml.Node) place {
	if n.Tag == envTag && n.Line == 0 {
		return place{env: n.LineComment}
	}
	if n.Kind == yaml.MappingNode && n.Line == 0 && len(n.Content) > 1 {
		return placeOf(n.Content[1]) // made by the environment for what is in it
	}
	return place{line: n.Line}
}
