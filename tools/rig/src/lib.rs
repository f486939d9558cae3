//! What the tools share: servers that are started and stopped ([`server`], [`cert`], [`process`]), connections to
//! them in the clear and over TLS ([`stream`], [`secure`]), the runner's own connection ([`admin`]), random choices
//! that a seed repeats ([`random`]), and the one error ([`fail`]). Only [`os`] and [`secure`] hold unsafe code.

pub mod admin;
pub mod cert;
pub mod fail;
pub mod os;
pub mod process;
pub mod random;
pub mod secure;
pub mod server;
pub mod stream;
