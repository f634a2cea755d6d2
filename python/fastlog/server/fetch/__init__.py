"""One fetch: its session, what its rows may read, and the way to its answer."""
