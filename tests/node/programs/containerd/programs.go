//go:build programs

// Package containerd pins what is built from here: `go mod tidy` keeps what a file imports, whatever its build tag.
package containerd

import (
	_ "github.com/containerd/containerd/v2/cmd/containerd"
	_ "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"
	_ "github.com/containerd/containerd/v2/cmd/ctr"
)
