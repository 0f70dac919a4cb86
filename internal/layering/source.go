package layering

import (
	"fmt"
	"go/ast"
	"go/token"
	"path/filepath"
	"strings"
)

// MaxLines is how long a file may be.
const MaxLines = 600

// File is one parsed file.
type File struct {
	// Name is the file's name as it is to be shown.
	Name string
	// Syntax is its tree, with comments.
	Syntax *ast.File
}

// test reports whether the file is for tests alone.
func (f File) test() bool { return strings.HasSuffix(f.Name, "_test.go") }

// Source returns what is wrong inside one package. Its files share fset.
func Source(fset *token.FileSet, p Package, files []File) []Violation {
	c := &checker{fset: fset, pkg: p, files: files}
	c.length()
	c.sleeps()
	if rel, _ := Rel(p.ImportPath); !ForTests(p.ImportPath) && !program(rel) {
		if rel != "metrics" { // what Prometheus takes is nothing else
			c.floats()
		}
		c.state()
		c.secrets()
	}
	c.documentation()
	return c.found
}

// checker collects violations of one package.
type checker struct {
	fset  *token.FileSet
	pkg   Package
	files []File
	found []Violation
}

func (c *checker) add(at ast.Node, what, rule string) {
	p := c.fset.Position(at.Pos())
	c.found = append(c.found, Violation{Where: fmt.Sprintf("%s/%s:%d", c.pkg.ImportPath, filepath.Base(p.Filename), p.Line), What: what, Rule: rule})
}

// length: a file that one cannot read in one go hides what it does.
func (c *checker) length() {
	for _, f := range c.files {
		if n := c.fset.File(f.Syntax.Pos()).LineCount(); n > MaxLines && !ast.IsGenerated(f.Syntax) {
			c.found = append(c.found, Violation{Where: c.pkg.ImportPath + "/" + filepath.Base(f.Name), What: fmt.Sprint(n, " lines:"), Rule: fmt.Sprintf("a file has at most %d", MaxLines)})
		}
	}
}

// sleeps: a sleep ignores its context, and a test that sleeps is slow, flaky or
// both. In a function that speaks of synctest the time is virtual.
func (c *checker) sleeps() {
	for _, f := range c.files {
		for _, decl := range f.Syntax.Decls {
			if f.test() && mentions(decl, "synctest") {
				continue
			}
			ast.Inspect(decl, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok && selects(call.Fun, "time", "Sleep") {
					c.add(n, "time.Sleep:", "wait for what happens, or for a context and a timer")
				}
				return true
			})
		}
	}
}

// mentions reports whether a package of that name is used in n.
func mentions(n ast.Node, pkg string) (found bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == pkg {
				found = true
			}
		}
		return !found
	})
	return found
}

// selects reports whether e is pkg.name.
func selects(e ast.Expr, pkg, name string) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != name {
		return false
	}
	x, ok := s.X.(*ast.Ident)
	return ok && x.Name == pkg
}

// floats: money, heights and times have types of their own, and none of them
// is a float. Signatures and types are looked at, not the bodies of functions.
func (c *checker) floats() {
	look := func(n ast.Node, what string) {
		ast.Inspect(n, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && (id.Name == "float32" || id.Name == "float64") {
				c.add(n, what+":", "no float in a signature or a type")
			}
			return true
		})
	}
	c.declarations(func(d ast.Decl) {
		switch d := d.(type) {
		case *ast.FuncDecl:
			look(d.Type, d.Name.Name)
		case *ast.GenDecl:
			for _, s := range d.Specs {
				if t, ok := s.(*ast.TypeSpec); ok {
					look(t.Type, t.Name.Name)
				}
			}
		}
	})
}

// declarations calls yield for each declaration outside of tests.
func (c *checker) declarations(yield func(ast.Decl)) {
	for _, f := range c.files {
		if f.test() {
			continue
		}
		for _, d := range f.Syntax.Decls {
			yield(d)
		}
	}
}

// documentation: what others can use says what it is for.
func (c *checker) documentation() {
	documented, code := false, false
	for _, f := range c.files {
		documented = documented || !f.test() && f.Syntax.Doc != nil
		code = code || !f.test()
	}
	if code && !documented {
		c.found = append(c.found, Violation{Where: c.pkg.ImportPath, Rule: "a package has a comment"})
	}
	if c.pkg.Name == "main" {
		return
	}
	c.declarations(func(d ast.Decl) {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Doc == nil && exported(d) && !selfEvident(d.Name.Name) {
				c.add(d, d.Name.Name, "is exported and not documented")
			}
		case *ast.GenDecl:
			c.documentedSpecs(d)
		}
	})
}

func (c *checker) documentedSpecs(d *ast.GenDecl) {
	for _, s := range d.Specs {
		switch s := s.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() && d.Doc == nil && s.Doc == nil {
				c.add(s, s.Name.Name, "is exported and not documented")
			}
		case *ast.ValueSpec:
			for _, name := range s.Names {
				if name.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
					c.add(s, name.Name, "is exported and not documented")
				}
			}
		}
	}
}

// exported reports whether others can call the function: a method needs an
// exported receiver as well.
func exported(d *ast.FuncDecl) bool {
	if !d.Name.IsExported() || d.Recv == nil {
		return d.Name.IsExported()
	}
	t := d.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return true
		}
	}
}

// selfEvident are methods whose interface says it all.
func selfEvident(method string) bool {
	switch method {
	case "Error", "String", "Unwrap", "Is", "Len", "Less", "Swap":
		return true
	}
	return false
}
