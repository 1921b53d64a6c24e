// Package lifetime ends a process that nobody needs any more.
package lifetime

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const parentCheckInterval = 500 * time.Millisecond

// Until returns a context that is done at SIGTERM or SIGINT, when the parent
// has died, or after most, where 0 means no limit.
func Until(most time.Duration) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	if most > 0 {
		limited, cancel := context.WithTimeout(ctx, most)
		stopSignals := stop
		ctx, stop = limited, func() { cancel(); stopSignals() }
	}
	go watchParent(ctx, stop)
	return ctx, stop
}

func watchParent(ctx context.Context, stop context.CancelFunc) {
	parent := os.Getppid()
	check := time.NewTicker(parentCheckInterval)
	defer check.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-check.C:
			if os.Getppid() != parent {
				stop()
				return
			}
		}
	}
}
