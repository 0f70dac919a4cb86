package layering

import (
	"go/ast"
	"go/token"
	"strings"
)

// state: two gateways in one process share nothing, so that no package has a
// variable that anything writes to. What stands at package level is initialised
// there, never written again, and cannot be written from outside: sentinel
// errors, compiled patterns, assertions, tables.
func (c *checker) state() {
	vars := map[string]*ast.ValueSpec{}
	c.declarations(func(d ast.Decl) {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.VAR {
			return
		}
		for _, s := range g.Specs {
			spec := s.(*ast.ValueSpec)
			for i, name := range spec.Names {
				if name.Name == "_" {
					continue
				}
				vars[name.Name] = spec
				c.variable(g, spec, i)
			}
		}
	})
	c.writes(vars)
}

// variable looks at how one is declared.
func (c *checker) variable(g *ast.GenDecl, spec *ast.ValueSpec, i int) {
	name := spec.Names[i]
	var value ast.Expr
	if len(spec.Values) == len(spec.Names) {
		value = spec.Values[i]
	}
	switch {
	case embedded(g.Doc), embedded(spec.Doc):
	case value == nil:
		c.add(name, name.Name, "is a package variable without a value: it can only be meant to be written")
	case name.IsExported() && !sentinel(value):
		c.add(name, name.Name, "is an exported package variable: anybody can write it")
	case !constantLike(value):
		c.add(name, name.Name, "is package state: make it a constant, a table or a field")
	}
}

// embedded reports whether a comment embeds a file.
func embedded(doc *ast.CommentGroup) bool {
	if doc != nil {
		for _, line := range doc.List {
			if strings.HasPrefix(line.Text, "//go:embed") {
				return true
			}
		}
	}
	return false
}

// sentinel reports whether a value is an error to compare with.
func sentinel(e ast.Expr) bool {
	call, ok := e.(*ast.CallExpr)
	return ok && (selects(call.Fun, "errors", "New") || selects(call.Fun, "fmt", "Errorf"))
}

// pure reports whether nobody changes what a function returns, by its name: the
// constructors of values, and those that stop the program where they fail.
func pure(fun ast.Expr) bool {
	for _, f := range [][2]string{
		{"errors", "New"}, {"fmt", "Errorf"}, {"template", "Must"}, {"strings", "NewReplacer"}, {"reflect", "TypeFor"},
		{"big", "NewInt"}, {"uint256", "NewInt"}, {"netip", "AddrFrom4"}, {"netip", "AddrFrom16"},
		{"sync", "OnceValue"}, {"sync", "OnceValues"}, // made once, and the same to everybody
		{"crypto", "Keccak256Hash"}, {"crypto", "Keccak256"}, {"common", "HexToAddress"}, {"common", "HexToHash"},
	} {
		if selects(fun, f[0], f[1]) {
			return true
		}
	}
	switch f := fun.(type) {
	case *ast.SelectorExpr:
		return strings.HasPrefix(f.Sel.Name, "Must")
	case *ast.Ident:
		return basic(f.Name) || strings.HasPrefix(f.Name, "must")
	}
	return false
}

func basic(name string) bool {
	switch name {
	case "string", "byte", "rune", "int", "int64", "int32", "uint", "uint64", "uint32", "uint8", "len":
		return true
	}
	return false
}

// constantLike reports whether an initial value is one that nobody needs to
// change: literals, tables of them, and results of pure constructors. Pointers,
// channels, empty maps and locks are not.
func constantLike(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit, *ast.Ident, *ast.SelectorExpr, *ast.FuncLit:
		return true
	case *ast.ParenExpr:
		return constantLike(e.X)
	case *ast.BinaryExpr:
		return constantLike(e.X) && constantLike(e.Y)
	case *ast.UnaryExpr:
		return e.Op != token.AND && e.Op != token.ARROW && constantLike(e.X)
	case *ast.KeyValueExpr:
		return constantLike(e.Key) && constantLike(e.Value)
	case *ast.IndexExpr:
		return constantLike(e.X) && constantLike(e.Index)
	case *ast.CallExpr:
		if arr, ok := e.Fun.(*ast.ArrayType); ok && len(e.Args) == 1 {
			return arr.Len == nil && constantLike(e.Args[0]) // []byte("x")
		}
		return pure(e.Fun)
	case *ast.CompositeLit:
		if _, isMap := e.Type.(*ast.MapType); isMap && len(e.Elts) == 0 || shared(e.Type) {
			return false
		}
		for _, el := range e.Elts {
			if !constantLike(el) {
				return false
			}
		}
		return true
	}
	return false
}

// shared reports whether a type is made to be written by several.
func shared(t ast.Expr) bool {
	s, ok := t.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := s.X.(*ast.Ident)
	return ok && (x.Name == "sync" || x.Name == "atomic")
}

// writes finds what changes a package variable after all: an assignment to it,
// its fields or its elements, and an address that leaves.
func (c *checker) writes(vars map[string]*ast.ValueSpec) {
	written := func(e ast.Expr, how string) {
		if id := rootOf(e); id != nil {
			spec, ok := vars[id.Name]
			// An identifier that the parser resolved to something else is a
			// local of the same name.
			if ok && (id.Obj == nil || id.Obj.Decl == any(spec)) {
				c.add(id, id.Name, "is a package variable that is "+how)
			}
		}
	}
	c.declarations(func(d ast.Decl) {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			return
		}
		ast.Inspect(fn.Body, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for _, l := range n.Lhs {
					if n.Tok != token.DEFINE {
						written(l, "written")
					}
				}
			case *ast.IncDecStmt:
				written(n.X, "written")
			case *ast.RangeStmt:
				if n.Tok == token.ASSIGN {
					written(n.Key, "written")
					written(n.Value, "written")
				}
			case *ast.UnaryExpr:
				if n.Op == token.AND {
					written(n.X, "pointed at")
				}
			case *ast.CallExpr:
				if id, ok := n.Fun.(*ast.Ident); ok && len(n.Args) > 0 && (id.Name == "delete" || id.Name == "clear" || id.Name == "copy") {
					written(n.Args[0], "written")
				}
			}
			return true
		})
	})
}

// rootOf returns the variable that an expression is a part of: x of x[1].y.
func rootOf(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.IndexExpr:
			e = x.X
		case *ast.SelectorExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		case *ast.SliceExpr:
			e = x.X
		default:
			return nil
		}
	}
}
