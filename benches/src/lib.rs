//! One workload at store, cache, fs and mount height, each beside its yardstick.
