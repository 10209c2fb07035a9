// Package apimodel holds the API against its model, the one that every AWS client is
// made from, and lets one of these clients use it. It has nothing but tests, and is
// a module of its own so that the client stays out of the product's dependencies.
package apimodel
