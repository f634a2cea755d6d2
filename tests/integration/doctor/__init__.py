"""`fastlog doctor` and `fastlog log dump` on directories that a real broker has left, sound and damaged."""
