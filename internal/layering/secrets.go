package layering

import (
	"go/ast"
	"go/token"
	"slices"
	"strconv"
	"strings"
)

// secrets: a comparison that ends at the first difference tells an attacker, by
// the time it takes, how much of a guess was right. What is secret, or signed
// with a secret, is compared by hmac.Equal or subtle.ConstantTimeCompare.
//
// Syntax shows no types. So a package that works with such values is known by its
// imports, and no other comparison of bytes stands in it; elsewhere a value is
// known by its name.
func (c *checker) secrets() {
	guarded, known := c.imports("crypto/hmac", "crypto/subtle"), c.constants()
	c.declarations(func(d ast.Decl) {
		ast.Inspect(d, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if name := comparison(n.Fun); name != "" && !anyOpen(n.Args, known) && (guarded || anySecret(n.Args)) {
					c.add(n, name+":", "what is secret is compared in constant time")
				}
			case *ast.BinaryExpr:
				if (n.Op == token.EQL || n.Op == token.NEQ) && leaks([]ast.Expr{n.X, n.Y}, known, guarded) {
					c.add(n, n.Op.String()+":", "what is secret is compared in constant time")
				}
			}
			return true
		})
	})
}

// imports reports whether the package's code imports one of these.
func (c *checker) imports(paths ...string) bool {
	for _, f := range c.files {
		if f.test() {
			continue
		}
		for _, i := range f.Syntax.Imports {
			for _, path := range paths {
				if i.Path.Value == strconv.Quote(path) {
					return true
				}
			}
		}
	}
	return false
}

// comparison returns the name of a function that stops at the first difference.
func comparison(fun ast.Expr) string {
	for _, f := range [][2]string{
		{"bytes", "Equal"}, {"bytes", "EqualFold"}, {"bytes", "Compare"}, {"bytes", "HasPrefix"}, {"slices", "Equal"}, {"slices", "Compare"},
		{"reflect", "DeepEqual"}, {"strings", "EqualFold"}, {"strings", "Compare"},
	} {
		if selects(fun, f[0], f[1]) {
			return f[0] + "." + f[1]
		}
	}
	return ""
}

// leaks reports whether x == y compares a secret with something.
func leaks(both []ast.Expr, known map[string]bool, guarded bool) bool {
	if anyOpen(both, known) {
		return false
	}
	return anySecret(both) || guarded && slices.ContainsFunc(both, ofBytes)
}

// constants are the names of the package's constants.
func (c *checker) constants() map[string]bool {
	out := map[string]bool{"nil": true}
	c.declarations(func(d ast.Decl) {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.CONST {
			for _, s := range g.Specs {
				for _, name := range s.(*ast.ValueSpec).Names {
					out[name.Name] = true
				}
			}
		}
	})
	return out
}

// anyOpen reports whether one of some values is known to everybody, so that a
// comparison with it has nothing to tell: a literal or constant of the program, a
// length, a public key.
func anyOpen(list []ast.Expr, known map[string]bool) bool {
	return slices.ContainsFunc(list, func(e ast.Expr) bool {
		if _, ok := e.(*ast.BasicLit); ok {
			return true
		}
		name := nameOf(e)
		return known[name] || name == "len" || name == "public"
	})
}

// ofBytes reports whether e makes a text of something, as those do who compare
// bytes by ==.
func ofBytes(e ast.Expr) bool {
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return false
	}
	if id, ok := call.Fun.(*ast.Ident); ok {
		return id.Name == "string"
	}
	s, ok := call.Fun.(*ast.SelectorExpr)
	return ok && strings.HasPrefix(s.Sel.Name, "EncodeToString")
}

// anySecret reports whether one of some values is called a secret.
func anySecret(list []ast.Expr) bool {
	for _, e := range list {
		name := strings.ToLower(nameOf(e))
		for _, word := range []string{"secret", "hmac", "signature", "password", "passphrase", "mnemonic", "apikey", "privatekey", "reveal"} {
			if strings.Contains(name, word) {
				return true
			}
		}
	}
	return false
}

// nameOf returns what a value is called: its own name, that of its field, or that
// of the function that makes it; of a conversion, that of what is converted.
func nameOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.ParenExpr:
		return nameOf(e.X)
	case *ast.SliceExpr:
		return nameOf(e.X)
	case *ast.CallExpr:
		if len(e.Args) == 1 && (ofBytes(e) || isBytes(e.Fun)) {
			return nameOf(e.Args[0])
		}
		return nameOf(e.Fun)
	}
	return ""
}

// isBytes reports whether a call is the conversion []byte(x).
func isBytes(fun ast.Expr) bool {
	_, ok := fun.(*ast.ArrayType)
	return ok
}
