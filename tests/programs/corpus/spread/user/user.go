// Package user has a part of a session.
package user

type User struct{ values [52]int64 }

//go:noinline
func New() *User { return &User{} }
