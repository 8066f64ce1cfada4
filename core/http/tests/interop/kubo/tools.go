//go:build tools

// Package kubo pins the Kubo that the tests run against. Nothing of it is linked into coldfront;
// `./build` makes the program from the Go module proxy.
package kubo

import _ "github.com/ipfs/kubo/cmd/ipfs"
