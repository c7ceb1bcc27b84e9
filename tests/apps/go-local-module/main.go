// Invoice adds up the lines of a file: a name, a comma and an amount each.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"example.org/money"
)

func main() {
	file, err := os.Open(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer file.Close()
	var sum money.Cents
	for lines := bufio.NewScanner(file); lines.Scan(); {
		name, amount, _ := strings.Cut(lines.Text(), ",")
		cents, err := money.Parse(amount)
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
			os.Exit(1)
		}
		fmt.Printf("%-12s %8s\n", name, cents)
		sum += cents
	}
	fmt.Printf("%-12s %8s\n", "total", sum)
}
