// Tides tells when the next high waters are.
package main

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"example.org/almanac"
)

func main() {
	count := 1
	if len(os.Args) > 1 {
		if n, err := strconv.Atoi(os.Args[1]); err == nil {
			count = n
		}
	}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for range count {
		at = almanac.NextHighWater(at)
		fmt.Println(at.Format(time.RFC3339))
	}
}
