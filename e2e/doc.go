// Package e2e is filled by its subfolders.
package e2e
