// Package bench is filled by its subfolders.
package bench
