// Notes keeps short texts in memory and serves them with a page to write them.
package main

import (
	"encoding/json"
	"flag"
	"log"
	"net/http"

	"example.org/notes/internal/store"
)

func main() {
	addr := flag.String("addr", ":8080", "address to listen on")
	static := flag.String("static", "static", "folder of the page")
	flag.Parse()

	notes := store.New("buy bread", "call the plumber")
	http.Handle("/", http.FileServer(http.Dir(*static)))
	http.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte("ok\n"))
	})
	http.HandleFunc("/notes", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			notes.Add(r.FormValue("text"))
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(notes.All())
	})
	log.Fatal(http.ListenAndServe(*addr, nil))
}
