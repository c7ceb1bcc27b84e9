// Package money counts in cents.
package money

import (
	"fmt"
	"strconv"
	"strings"
)

type Cents int64

// Parse reads an amount such as 12.50.
func Parse(text string) (Cents, error) {
	whole, part, _ := strings.Cut(text, ".")
	n, err := strconv.ParseInt(whole+(part + "00")[:2], 10, 64)
	return Cents(n), err
}

func (c Cents) String() string { return fmt.Sprintf("%d.%02d", c/100, c%100) }
