"""From a frame to its handler and back: dispatch, registry, turns, error codes, and what handlers share."""
