//go:build tools

package tools

import _ "github.com/ipfs-cluster/ipfs-cluster/cmd/ipfs-cluster-service"
