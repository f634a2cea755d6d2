//! The C ABI of fastlog-core; the contract is `include/fastlog.h`.
