// Question: does heaptop find the leaks of the field reports in a real gateway, and
// does it leave the honest memory beside them alone?
//
// A reverse proxy with API keys, rate limits, JSON rewriting, compression, a bounded
// cache and telemetry by the modules of the day. It links net/http/pprof and does
// not serve it, as those gateways did: nothing on its ports tells about its memory.
//
//	gateway [--leak meters,buckets] [--listen ADDR] [--upstream ADDR] [--for D]
//	gateway upstream [--listen ADDR] [--for D]
//	gateway load --target ADDR [--rate R | --saturate --workers N] [--for D]
//
// meters: the instruments of an API are made for every request (report 1).
// buckets: the goroutine that cleans rate limits leaves after one pass (report 2).
// goroutines: each call of a script leaves a goroutine that waits for ever (report 3).
// configs: routes are read again and again; an open connection keeps each reading (report 4).
// context: a map by request, which is never cleared, keeps every order's (report 5).
// none: none of them; then memory warms up to its bounds and stays there.
//
// The first line of each is "ready <pid> <address>": the one it listens at, or the
// target. Without --upstream the gateway runs its own. All of them end at SIGTERM,
// SIGINT, after --for, and when their parent dies. At its end, load prints
// "errors N missed M" and then "requests N seconds S".
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	_ "net/http/pprof" // a profile reader: the runtime samples at its default rate
	"os"
	"strings"
	"time"

	"gateway/internal/lifetime"
	"gateway/internal/load"
	"gateway/internal/proxy"
	"gateway/internal/upstream"
)

const anyPort = "127.0.0.1:0"

func main() {
	args := os.Args[1:]
	command := runGateway
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		switch args[0] {
		case "upstream":
			command = runUpstream
		case "load":
			command = runLoad
		default:
			fmt.Fprintf(os.Stderr, "gateway: unknown command %q: use upstream, load or none\n", args[0])
			os.Exit(2)
		}
		args = args[1:]
	}
	if err := command(args); err != nil {
		fmt.Fprintln(os.Stderr, "gateway:", err)
		os.Exit(1)
	}
}

func runGateway(args []string) error {
	flags := flag.NewFlagSet("gateway", flag.ExitOnError)
	leak := flags.String("leak", "meters,buckets", "bugs to have, separated by commas: meters, buckets, goroutines, configs, context; or none")
	listen := flags.String("listen", anyPort, "`address` to listen at, on the loopback")
	target := flags.String("upstream", "", "`address` of the upstream; its own when empty")
	most := flags.Duration("for", 0, "end after this time; 0 is no limit")
	flags.Parse(args)

	leaks, err := parseLeaks(*leak)
	if err != nil {
		return err
	}
	ctx, stop := lifetime.Until(*most)
	defer stop()
	if *target == "" {
		listener, err := listenOnLoopback(anyPort)
		if err != nil {
			return err
		}
		*target = listener.Addr().String()
		go serve(ctx, listener, upstream.Handler())
	}
	handler, err := proxy.New(ctx, *target, leaks)
	if err != nil {
		return err
	}
	listener, err := listenOnLoopback(*listen)
	if err != nil {
		return err
	}
	ready(listener.Addr().String())
	return serve(ctx, listener, handler)
}

func runUpstream(args []string) error {
	flags := flag.NewFlagSet("gateway upstream", flag.ExitOnError)
	listen := flags.String("listen", anyPort, "`address` to listen at, on the loopback")
	most := flags.Duration("for", 0, "end after this time; 0 is no limit")
	flags.Parse(args)

	ctx, stop := lifetime.Until(*most)
	defer stop()
	listener, err := listenOnLoopback(*listen)
	if err != nil {
		return err
	}
	ready(listener.Addr().String())
	return serve(ctx, listener, upstream.Handler())
}

func runLoad(args []string) error {
	flags := flag.NewFlagSet("gateway load", flag.ExitOnError)
	target := flags.String("target", "", "`address` of the gateway")
	rate := flags.Float64("rate", 300, "mean requests per second, in waves")
	saturate := flags.Bool("saturate", false, "send without a pause instead")
	workers := flags.Int("workers", 16, "how many send at once, with --saturate")
	fresh := flags.Float64("fresh-keys", 0.5, "share of requests under an API key never seen before")
	requests := flags.Int64("requests", 100_000_000, "send no more than this")
	seed := flags.Int64("seed", 1, "seed of what is sent; a second load with the same has no fresh keys")
	most := flags.Duration("for", 10*time.Minute, "end after this time; 0 is no limit")
	flags.Parse(args)

	if _, _, err := net.SplitHostPort(*target); err != nil {
		return fmt.Errorf("--target %q is not host:port", *target)
	}
	ctx, stop := lifetime.Until(*most)
	defer stop()
	ready(*target)
	plan := load.Plan{Target: *target, FreshKeys: *fresh, Requests: *requests, Seed: *seed}
	var result load.Result
	if *saturate {
		result = load.Saturate(ctx, plan, *workers)
	} else {
		result = load.Open(ctx, plan, *rate)
	}
	fmt.Printf("errors %d missed %d\n", result.Errors, result.Missed)
	fmt.Printf("requests %d seconds %.3f\n", result.Requests, result.Elapsed.Seconds())
	return nil
}

func parseLeaks(names string) (proxy.Leaks, error) {
	var leaks proxy.Leaks
	for _, name := range strings.Split(names, ",") {
		switch name {
		case "meters":
			leaks.Meters = true
		case "buckets":
			leaks.Buckets = true
		case "goroutines":
			leaks.Goroutines = true
		case "configs":
			leaks.Configs = true
		case "context":
			leaks.Context = true
		case "none":
		default:
			return leaks, fmt.Errorf("unknown leak %q: use meters, buckets, goroutines, configs, context or none", name)
		}
	}
	return leaks, nil
}

func listenOnLoopback(address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil || !net.ParseIP(host).IsLoopback() {
		return nil, fmt.Errorf("%q is not an address on the loopback, such as %s", address, anyPort)
	}
	return net.Listen("tcp", address)
}

func ready(address string) { fmt.Println("ready", os.Getpid(), address) }

const shutdownGrace = 2 * time.Second

func serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), shutdownGrace)
	defer cancel()
	if err := server.Shutdown(grace); errors.Is(err, context.DeadlineExceeded) {
		return server.Close()
	}
	return nil
}
