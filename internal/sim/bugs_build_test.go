package sim_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// present says in a binary's environment which of the bugs in it is there, by its
// place in the list from 1 on.
const present = "BURSAR_PLANTED_BUG"

// garden holds all bugs for one binary: each function that some of them change begins
// with what it does with each. A build for each bug would take most of the time.
type garden struct {
	// texts are the files as they are, bodies the changed functions by file and place.
	texts  map[string]string
	bodies map[string]map[int][]body
}

// body is what a function would do with a bug.
type body struct {
	bug  int
	text string
}

// add takes a bug in. It may change what functions do, and nothing else.
func (g *garden) add(n int, files map[string]string) error {
	changed := map[string]map[int]body{}
	for file, text := range files {
		raw, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			return err
		}
		before, after := string(raw), text
		old, err := functions(before)
		if err != nil {
			return err
		}
		bad, err := functions(after)
		if err != nil {
			return err
		}
		if shell(before, old) != shell(after, bad) {
			return fmt.Errorf("%s: changes more than what functions do", file)
		}
		g.texts[file], changed[file] = before, map[int]body{}
		for i := range old {
			if text := part(after, bad[i].Body); text != part(before, old[i].Body) {
				changed[file][i] = body{n, text}
			}
		}
	}
	for file, all := range changed {
		if g.bodies[file] == nil {
			g.bodies[file] = map[int][]body{}
		}
		for i, b := range all {
			g.bodies[file][i] = append(g.bodies[file][i], b)
		}
	}
	return nil
}

// files are those that the build needs in place of what is there.
func (g *garden) files() (map[string]string, error) {
	out := map[string]string{}
	for file, bodies := range g.bodies {
		text := g.texts[file]
		all, err := functions(text)
		if err != nil {
			return nil, err
		}
		for i := len(all) - 1; i >= 0; i-- {
			at := offset(all[i].Body.Lbrace) + 1
			text = text[:at] + branches(text, all[i], bodies[i]) + text[at:]
		}
		out[file] = text
		_, name, _ := strings.Cut("\n"+text, "\npackage ")
		name, _, _ = strings.Cut(name, "\n")
		out[filepath.Join(filepath.Dir(file), "planted_bug.go")] = "package " + name +
			"\n\nimport (\n\t\"os\"\n\t\"strconv\"\n)\n\nvar plantedBug, _ = strconv.Atoi(os.Getenv(\"" + present + "\"))\n"
	}
	return out, nil
}

// branches are the ways that a function takes with its bugs. Each is a function of its
// own, so that labels and named results do not meet.
func branches(text string, f *ast.FuncDecl, bodies []body) string {
	var out strings.Builder
	for _, b := range bodies {
		if f.Type.Results == nil {
			fmt.Fprintf(&out, "\nif plantedBug == %d {\nfunc() %s()\nreturn\n}\n", b.bug, b.text)
			continue
		}
		fmt.Fprintf(&out, "\nif plantedBug == %d {\nreturn func() %s %s()\n}\n", b.bug, part(text, f.Type.Results), b.text)
	}
	return out.String()
}

// functions are those that a file declares.
func functions(text string) (out []*ast.FuncDecl, err error) {
	file, err := parser.ParseFile(token.NewFileSet(), "", text, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
			out = append(out, f)
		}
	}
	return out, nil
}

// shell is a file without what its functions do.
func shell(text string, all []*ast.FuncDecl) string {
	var out strings.Builder
	from := 0
	for _, f := range all {
		out.WriteString(text[from:offset(f.Body.Pos())])
		from = offset(f.Body.End())
	}
	out.WriteString(text[from:])
	return out.String()
}

func part(text string, n ast.Node) string { return text[offset(n.Pos()):offset(n.End())] }

// offset is for the only file of a set, which begins at 1.
func offset(p token.Pos) int { return int(p) - 1 }

// build makes the binary that has all bugs.
func build(t *testing.T, all []bug) (bin string) {
	t.Helper()
	g := garden{texts: map[string]string{}, bodies: map[string]map[int][]body{}}
	for i, b := range all {
		files, err := b.plant()
		require.NoError(t, err)
		require.NoError(t, g.add(i+1, files), b.name)
	}
	files, err := g.files()
	require.NoError(t, err)
	return compile(t, files)
}

// compile makes the simulation's tests with other files in place of some.
func compile(t *testing.T, files map[string]string) (bin string) {
	t.Helper()
	dir := t.TempDir()
	replace := map[string]string{}
	for file, text := range files {
		path, err := filepath.Abs(filepath.Join(root, file))
		require.NoError(t, err)
		replace[path] = filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		require.NoError(t, os.WriteFile(replace[path], []byte(text), 0o600))
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	require.NoError(t, err)
	list := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(list, overlay, 0o600))
	bin = filepath.Join(dir, "sim.test")
	began := time.Now()
	out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-overlay", list, "-ldflags=-s -w", "-o", bin, ".").CombinedOutput()
	require.NoError(t, err, "does not build: %s", out)
	t.Logf("built in %.1f s", time.Since(began).Seconds())
	return bin
}
