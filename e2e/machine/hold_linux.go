package machine

import (
	"context"
	"io"
)

func hold(path string) (io.Closer, error) {
	return lockFile(context.Background(), path, func(string) {})
}
