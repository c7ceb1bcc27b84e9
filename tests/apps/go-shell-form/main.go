// Says its arguments, one a line, and what stands first among the processes of the container.
package main

import (
	"fmt"
	"os"
)

func main() {
	for _, arg := range os.Args[1:] {
		fmt.Println("argument", arg)
	}
	fmt.Println("tone", os.Getenv("TONE"))
	dir, err := os.Getwd()
	fmt.Println("in", dir, err)
}
