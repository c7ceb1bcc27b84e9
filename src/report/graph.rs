//! A graph as text.
