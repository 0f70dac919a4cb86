package config

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/bursar-go/bursar"
)

const (
	// maxFile and maxSecret bound what is read, in bytes.
	maxFile   = 1 << 20
	maxSecret = 64 << 10
)

// Load reads a configuration from a file and from an environment in the form of
// os.Environ, and validates all of it but what only the node or the store can
// tell. An empty path means the environment alone; a nil env means the file
// alone. The error joins an *Error for each thing that is wrong.
func Load(path string, env []string) (*File, error) {
	r := newReport(path, map[string]place{})
	root := &yaml.Node{Kind: yaml.MappingNode}
	if path != "" {
		text, err := read(path, maxFile)
		if err != nil {
			r.wrap("", bursar.CodeInvalid, err, "cannot be read")
			return nil, r.err()
		}
		if root = parse(r, text); root == nil {
			return nil, r.err()
		}
	}
	override(r, root, env)
	f := &File{name: path, places: r.places}
	d := &decoder{report: r, folder: filepath.Dir(path)}
	d.value("", root, reflect.ValueOf(f).Elem(), "")
	f.assemble(r, stub{})
	if err := r.err(); err != nil {
		return nil, err
	}
	return f, nil
}

// stub stands in for the store while a configuration is checked: bursar.New
// asks that there is one, and nothing of it.
type stub struct{ bursar.Store }

// read reads a file that is not larger than it may be. The error leaves the
// path out: a secret is sometimes taken for the path of its file.
func read(path string, most int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, pathless(err)
	}
	defer func() { _ = file.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(file, most+1))
	switch {
	case err != nil:
		return nil, pathless(err)
	case int64(len(text)) > most:
		return nil, errors.New("too large a file")
	}
	return text, nil
}

func pathless(err error) error {
	var at *os.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// parse reads one YAML document that is a mapping, or nothing.
func parse(r *report, text []byte) *yaml.Node {
	in := yaml.NewDecoder(bytes.NewReader(text))
	var doc, second yaml.Node
	switch err := in.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return &yaml.Node{Kind: yaml.MappingNode}
	case err != nil:
		r.syntax(err)
		return nil
	}
	if err := in.Decode(&second); err == nil {
		r.at(place{line: second.Line}, "", bursar.CodeInvalid, "a second document")
		return nil
	} else if !errors.Is(err, io.EOF) {
		r.syntax(err)
		return nil
	}
	root := &doc
	if doc.Kind == yaml.DocumentNode && len(doc.Content) == 1 {
		root = doc.Content[0]
	}
	if empty(root) {
		return &yaml.Node{Kind: yaml.MappingNode}
	}
	if root.Kind != yaml.MappingNode {
		r.at(place{line: root.Line}, "", bursar.CodeInvalid, "want fields with names")
		return nil
	}
	return root
}

// syntax reports text that is no YAML. Of the parser's message the line is
// kept, and the rest only where it quotes nothing of the text.
func (r *report) syntax(err error) {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	var at place
	if found := regexp.MustCompile(`line (\d+)`).FindStringSubmatch(message); found != nil {
		at.line, _ = strconv.Atoi(found[1]) // digits by the expression; 0 says unknown
	}
	reason := "not valid YAML"
	if !strings.ContainsAny(message, "'`\"") {
		reason += ": " + message
	}
	r.at(at, "", bursar.CodeInvalid, reason)
}

// at reports something that is no field.
func (r *report) at(p place, field string, code bursar.Code, reason string) {
	r.errs = append(r.errs, &Error{File: r.file, Line: p.line, Env: p.env, Field: field, Code: code, Reason: reason})
}

// empty reports a key without a value, or a file of comments.
func empty(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }
