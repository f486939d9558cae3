//! Engine, workers and dispatcher together on ephemeral ports: what the boot composes, without a process around it.

mod harness;
mod plain;
#[cfg(feature = "tls")]
mod tls;
