// Package apimodel holds the API against its model, the one that every AWS client is
// made from, and lets two of these clients use it, those for Go and for JavaScript. It
// has nothing but tests, and is a module of its own so that the clients stay out of
// the product's dependencies.
package apimodel
