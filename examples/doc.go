// Package examples is filled by its subfolders.
package examples
