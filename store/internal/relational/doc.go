// Package relational is what the SQL stores have in common: how rows are laid
// out in tables, how a batch becomes statements, and how queries become SELECTs.
// A dialect says what differs, and runs them.
//
// Columns follow from the row types by reflection, so that a field added to a
// row cannot be forgotten here: without a column for it the store does not work
// at all. Fields with a structure of their own that nothing is searched by are
// JSON.
//
// Statements are guarded: each says how many rows it must touch, and which error
// it is where it does not. The constraints of the schema are the last line of
// defence behind that, not the first.
package relational
