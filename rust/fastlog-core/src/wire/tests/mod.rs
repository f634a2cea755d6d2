//! Frames, plans and responses.

mod frame;
