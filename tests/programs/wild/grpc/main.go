// Question: is a gRPC server, stripped and position independent, named and told right?
//
// A server of gRPC's own health service, with a table of services that calls fill and an interceptor that keeps the last
// calls; and its client, in a process of its own. It links no profile reader.
//
//	grpc                     the server: "ready <pid> <address>", then it serves until its stdin ends
//	grpc load ADDRESS MS     the client: calls from eight goroutines for MS milliseconds; answers
//	                         "calls N errors N"
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	health_pb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
)

func main() {
	err := error(nil)
	if len(os.Args) == 4 && os.Args[1] == "load" {
		err = load(os.Args[2], os.Args[3])
	} else {
		err = serve()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "grpc:", err)
		os.Exit(1)
	}
}

// call is what the server remembers of one.
type call struct {
	method  string
	headers metadata.MD
	at      time.Time
}

// journal keeps the last calls.
type journal struct {
	lock  sync.Mutex
	calls [4096]*call
	n     int
}

func (j *journal) remember(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	headers, _ := metadata.FromIncomingContext(ctx)
	j.lock.Lock()
	j.calls[j.n%len(j.calls)] = &call{info.FullMethod, headers.Copy(), time.Now()}
	j.n++
	j.lock.Unlock()
	return handle(ctx, request)
}

func serve() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	status := health.NewServer()
	for n := 0; n < 1000; n++ {
		status.SetServingStatus("service-"+strconv.Itoa(n), health_pb.HealthCheckResponse_SERVING)
	}
	server := grpc.NewServer(grpc.UnaryInterceptor((&journal{}).remember))
	health_pb.RegisterHealthServer(server, status)
	go server.Serve(listener)
	fmt.Println("ready", os.Getpid(), listener.Addr())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func load(address, ms string) error {
	milliseconds, err := strconv.Atoi(ms)
	if err != nil {
		return err
	}
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	client := health_pb.NewHealthClient(connection)
	end := time.Now().Add(time.Duration(milliseconds) * time.Millisecond)
	var calls, errors atomic.Int64
	var done sync.WaitGroup
	for caller := 0; caller < 8; caller++ {
		done.Add(1)
		go func() {
			defer done.Done()
			for n := caller; time.Now().Before(end); n++ {
				service := "service-" + strconv.Itoa(n%1000)
				answer, err := client.Check(context.Background(), &health_pb.HealthCheckRequest{Service: service})
				calls.Add(1)
				if err != nil || answer.Status != health_pb.HealthCheckResponse_SERVING {
					errors.Add(1)
				}
			}
		}()
	}
	done.Wait()
	fmt.Println("calls", calls.Load(), "errors", errors.Load())
	return nil
}
