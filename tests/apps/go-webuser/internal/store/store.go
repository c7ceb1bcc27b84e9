// Package store holds notes in the order they came.
package store

import "sync"

type Store struct {
	mu    sync.Mutex
	notes []string
}

func New(notes ...string) *Store { return &Store{notes: notes} }

func (s *Store) Add(note string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notes = append(s.notes, note)
}

func (s *Store) All() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.notes...)
}
