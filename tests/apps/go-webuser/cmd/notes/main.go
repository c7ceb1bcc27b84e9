// Notes keeps short texts in memory and serves them with a page.
// It speaks the little HTTP that it needs itself, so that it builds fast and has no dependencies.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"

	"example.org/notes/internal/store"
)

func main() {
	addr := flag.String("addr", ":8080", "address to listen on")
	static := flag.String("static", "static", "folder of the page")
	flag.Parse()

	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	notes := store.New("buy bread", "call the plumber")
	for {
		conn, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go serve(conn, notes, *static)
	}
}

func serve(conn net.Conn, notes *store.Store, static string) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	first, _ := in.ReadString('\n')
	for line := first; strings.TrimSpace(line) != ""; {
		line, _ = in.ReadString('\n')
	}
	status, body := "200 OK", ""
	switch words := append(strings.Fields(first), "", ""); words[1] {
	case "/healthz":
		body = "ok\n"
	case "/notes":
		body = strings.Join(notes.All(), "\n") + "\n"
	case "/":
		page, err := os.ReadFile(filepath.Join(static, "index.html"))
		if err != nil {
			status = "500 Internal Server Error"
		}
		body = string(page)
	default:
		status = "404 Not Found"
	}
	fmt.Fprintf(conn, "HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", status, len(body), body)
}
