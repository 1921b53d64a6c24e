module gateway

go 1.21

require (
	github.com/gorilla/context v1.1.1
	github.com/gorilla/mux v1.8.1
	github.com/robertkrimen/otto v0.2.1
	go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp v0.44.0
)

require (
	github.com/felixge/httpsnoop v1.0.3 // indirect
	github.com/go-logr/logr v1.2.4 // indirect
	github.com/go-logr/stdr v1.2.2 // indirect
	go.opentelemetry.io/otel v1.18.0 // indirect
	go.opentelemetry.io/otel/metric v1.18.0 // indirect
	go.opentelemetry.io/otel/trace v1.18.0 // indirect
	golang.org/x/text v0.4.0 // indirect
	gopkg.in/sourcemap.v1 v1.0.5 // indirect
)
