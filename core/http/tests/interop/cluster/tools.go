//go:build tools

// Package cluster pins the IPFS Cluster whose lists of pins the tests read and write. Nothing of it is linked into coldfront;
// `./build` makes the program from the Go module proxy.
package cluster

import _ "github.com/ipfs-cluster/ipfs-cluster/cmd/ipfs-cluster-service"
