package layering_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/internal/layering"
)

// root is where the module is, seen from this test.
var root = filepath.Join("..", "..")

// goList runs go list in a folder.
func goList(t *testing.T, dir string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-e"}, args...)...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	return out
}

// packages returns every package of the module and of those nested in it.
func packages(t *testing.T) (out []layering.Package) {
	t.Helper()
	modules, err := filepath.Glob(filepath.Join(root, "*", "go.mod"))
	require.NoError(t, err)
	deeper, err := filepath.Glob(filepath.Join(root, "*", "*", "go.mod"))
	require.NoError(t, err)
	modules = slices.DeleteFunc(append(modules, deeper...), func(mod string) bool { return strings.Contains(mod, ".tools") })
	for _, mod := range append(modules, filepath.Join(root, "go.mod")) {
		in := json.NewDecoder(bytes.NewReader(goList(t, filepath.Dir(mod), "-find", "-json", "./...")))
		for {
			var p layering.Package
			err := in.Decode(&p)
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			out = append(out, p)
		}
	}
	for _, rel := range []string{"", "chain", "scanner", "internal/layering", "metrics", "notify/kafka"} {
		require.True(t, slices.ContainsFunc(out, func(p layering.Package) bool { return p.ImportPath == ours(rel) }), "go list found %q", rel)
	}
	return out
}

// parse returns a package's files.
func parse(t *testing.T, p layering.Package) (*token.FileSet, []layering.File) {
	t.Helper()
	fset := token.NewFileSet()
	var files []layering.File
	for _, list := range [][]string{p.GoFiles, p.TestGoFiles, p.XTestGoFiles} {
		for _, name := range list {
			tree, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments)
			require.NoError(t, err)
			files = append(files, layering.File{Name: name, Syntax: tree})
		}
	}
	return fset, files
}

// TestModule runs every rule over the whole module.
func TestModule(t *testing.T) {
	var found []layering.Violation
	for _, p := range packages(t) {
		found = append(found, layering.Imports(p)...)
		fset, files := parse(t, p)
		found = append(found, layering.Source(fset, p, files)...)
	}
	for _, rel := range []string{"", "/scanner", "/sweeper", "/hdwallet", "/signer", "/webhook", "/webhook/send", "/rates"} {
		path := layering.Module + rel
		if deps := strings.Fields(string(goList(t, root, "-f", "{{join .Deps \" \"}}", path))); len(deps) > 0 {
			found = append(found, layering.Reach(path, deps)...)
		}
	}
	left, unused := layering.Filter(found, layering.Exceptions())
	for _, v := range left {
		t.Error(v)
	}
	for _, e := range unused {
		t.Errorf("the exception for %q is not needed any more", e.Match)
	}
}
