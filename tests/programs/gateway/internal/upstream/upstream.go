// Package upstream is the service behind the gateway.
package upstream

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	descriptionBytes = 2 << 10
	reportRows       = 2000
	// reportTakes makes reports overlap, so that they are seen to come and go.
	reportTakes = 300 * time.Millisecond
)

type product struct {
	ID          int      `json:"id"`
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Tags        []string `json:"tags"`
	Cost        int      `json:"cost"` // not for customers
}

type order struct {
	Items     []int  `json:"items"`
	Tenant    string `json:"tenant"`
	RequestID string `json:"request_id"`
}

type reportRow struct {
	Day    int    `json:"day"`
	Orders int    `json:"orders"`
	Region string `json:"region"`
}

// Handler serves products, takes orders, writes reports and tells of changes.
func Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/products/", products)
	mux.HandleFunc("/orders", orders)
	mux.HandleFunc("/reports", reports)
	mux.HandleFunc("/changes", changes)
	return mux
}

func products(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/products/"))
	if err != nil {
		http.Error(w, "no such product", http.StatusNotFound)
		return
	}
	answer(w, product{
		ID:          id,
		Name:        "product " + strconv.Itoa(id),
		Description: strings.Repeat("fine goods ", descriptionBytes/len("fine goods ")),
		Tags:        []string{"tag" + strconv.Itoa(id%17), "tag" + strconv.Itoa(id%23)},
		Cost:        id % 1000,
	})
}

func orders(w http.ResponseWriter, r *http.Request) {
	var taken order
	if err := json.NewDecoder(r.Body).Decode(&taken); err != nil {
		http.Error(w, "not an order", http.StatusBadRequest)
		return
	}
	answer(w, map[string]any{"accepted": len(taken.Items), "tenant": taken.Tenant, "request_id": taken.RequestID})
}

func reports(w http.ResponseWriter, r *http.Request) {
	rows := make([]reportRow, reportRows)
	for day := range rows {
		rows[day] = reportRow{Day: day, Orders: day * 7 % 101, Region: "eu-central"}
	}
	select {
	case <-time.After(reportTakes):
	case <-r.Context().Done():
		return
	}
	answer(w, rows)
}

// changes tells of each change of a tenant while somebody listens; there is none.
func changes(w http.ResponseWriter, r *http.Request) {
	w.WriteHeader(http.StatusOK)
	http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(value)
}
