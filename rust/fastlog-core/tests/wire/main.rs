//! Produce and Fetch against known-answer frames of another implementation, and against hostile input.
//!
//! The frames are in `tests/vectors/wire.txt`; `tests/property/make_wire_vectors.py` makes them and holds the
//! values that are repeated here.

mod allocations;
mod fetch;
mod fetch_reply;
mod hostile;
mod produce;
mod vectors;
