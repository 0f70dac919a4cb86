package config_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/config"
)

var update = flag.Bool("update", false, "write docs/configuration.md")

// TestDocumentation compares docs/configuration.md with the comments of the
// fields, and demands of each that it says what happens without it.
func TestDocumentation(t *testing.T) {
	const path = "../docs/configuration.md"
	want := reference(t)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(want), 0o600))
	}
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, want, string(got), "run go test -C config -run TestDocumentation -update")
}

const intro = `# Configuration file

Package config reads this file; programs that configure in Go find the same fields in ` + "`bursar.Config`" + `. A complete example is
[config/example.yaml](../config/example.yaml). This page is made from the comments of config/file.go.

Unknown or repeated keys, values of another type, floats for amounts, empty values, anchors and tags are errors, all told at once with their lines.
Durations carry their unit (` + "`24h`, `90m`, `30s`" + `); amounts are whole numbers or numbers in quotes (` + "`\"0.5\"`" + `).
Each field can be set by the environment, in capitals with ` + "`_`" + ` for dots; ` + "`<NAME>`" + ` is the name of the entry. A *secret* never stands in the file: it is
` + "`{file: path}`" + ` there, or the variable, or the variable with ` + "`_FILE`" + ` behind it. What is marked *hidden* may stand in the file and is never shown.
`

// reference writes the page.
func reference(t *testing.T) string {
	t.Helper()
	tree, err := parser.ParseFile(token.NewFileSet(), "file.go", nil, parser.ParseComments)
	require.NoError(t, err)
	docs := map[string]string{}
	ast.Inspect(tree, func(n ast.Node) bool {
		if s, ok := n.(*ast.TypeSpec); ok {
			if fields, ok := s.Type.(*ast.StructType); ok {
				for _, f := range fields.Fields.List {
					for _, name := range f.Names {
						docs[s.Name.Name+"."+name.Name] = f.Doc.Text()
					}
				}
			}
		}
		return true
	})
	var b strings.Builder
	b.WriteString(intro)
	section(t, &b, docs, reflect.TypeFor[config.File](), "")
	return b.String()
}

// section writes a table of a struct's fields, and then those of the structs in
// it. A struct that was written already is referred to by its field's comment.
func section(t *testing.T, b *strings.Builder, docs map[string]string, of reflect.Type, path string) {
	title := strings.TrimSuffix(path, ".")
	if title == "" {
		title = "top level"
	}
	fmt.Fprintf(b, "\n## %s\n\n| field | variable | type | meaning |\n|---|---|---|---|\n", title)
	type nested struct {
		of   reflect.Type
		path string
	}
	var inner []nested
	for i := range of.NumField() {
		f := of.Field(i)
		if !f.IsExported() {
			continue
		}
		name := f.Tag.Get("yaml")
		require.NotEmpty(t, name, "%s.%s", of.Name(), f.Name)
		text := docs[of.Name()+"."+f.Name]
		require.NotEmpty(t, text, "%s.%s has no comment", of.Name(), f.Name)
		at, kind, section := path+name, kindOf(f), false
		if item := element(f.Type); item.Kind() == reflect.Struct && item != reflect.TypeFor[config.Secret]() {
			section = true
			if f.Type.Kind() == reflect.Map {
				at += ".<name>"
			}
			if item == of || name != "retired" {
				inner = append(inner, nested{item, at + "."})
			} else {
				text += " Fields as in wallet."
			}
		} else {
			require.Regexp(t, "Default:|Required", text, "%s.%s says nothing of its absence", of.Name(), f.Name)
			if f.Type.Kind() == reflect.Map {
				at += ".<name>"
			}
		}
		env := "`" + variable(at) + "`"
		if section {
			env = "" // its fields have them
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", name, env, kind, plain(text, f.Name, name))
	}
	for _, n := range inner {
		section(t, b, docs, n.of, n.path)
	}
}

func element(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Map || t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		return t.Elem()
	}
	return t
}

func variable(path string) string {
	return "BURSAR_" + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// kindOf names a field's type for people.
func kindOf(f reflect.StructField) string {
	kind := ""
	switch item := element(f.Type); {
	case item == reflect.TypeFor[config.Secret]():
		kind = "*secret*"
		if f.Tag.Get("secret") != "" {
			kind = "text, *hidden*"
		}
	case item == reflect.TypeFor[config.Units]():
		kind = "amount"
	case item.String() == "time.Duration":
		kind = "duration"
	case item.Kind() == reflect.Struct:
		kind = "section"
	case item.Kind() == reflect.Bool:
		kind = "true, false"
	case item.Kind() == reflect.String:
		kind = "text"
	default:
		kind = "number"
	}
	switch f.Type.Kind() {
	case reflect.Map:
		return kind + " by name"
	case reflect.Slice:
		return "list of " + kind
	}
	return kind
}

// plain makes one line of a comment, in the file's words.
func plain(text, goName, name string) string {
	p := new(comment.Parser).Parse(text)
	line := strings.Join(strings.Fields(string((&comment.Printer{TextWidth: -1}).Text(p))), " ")
	line = strings.Replace(line, goName, "`"+name+"`", 1)
	return strings.ReplaceAll(regexp.MustCompile(`\bFile\.Level\b`).ReplaceAllString(line, "`File.Level`"), "|", `\|`)
}
