// Package telemetry measures handlers.
package telemetry

import (
	"net/http"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
)

//go:noinline
func Handler(next http.Handler) http.Handler { return otelhttp.NewHandler(next, "orders") }
