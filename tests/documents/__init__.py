"""The programs in docs/: their types, and what they print."""
