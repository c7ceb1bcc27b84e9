// Package almanac knows the moon well enough for a small harbour.
package almanac

import "time"

// halfDay is the time from one high water to the next.
const halfDay = 12*time.Hour + 25*time.Minute

// NextHighWater returns the first high water after t, counted from the new year of 2026.
func NextHighWater(t time.Time) time.Time {
	next := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for !next.After(t) {
		next = next.Add(halfDay)
	}
	return next
}
