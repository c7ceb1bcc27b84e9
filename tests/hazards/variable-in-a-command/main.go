package main

import "os"

func main() {
	println("listening on port", os.Args[2])
}
