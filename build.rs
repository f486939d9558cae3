//! Tells the crate which OpenSSL it is compiled against, which libraries to link, and which version text to show.
//!
//! openssl-sys hands its finding over as `DEP_OPENSSL_VERSION_NUMBER` (hexadecimal, without prefix);
//! it becomes `cfg`s here and nowhere else.

use std::env;

#[allow(
    clippy::print_stdout,
    reason = "cargo reads a build script's findings from its standard output"
)]
fn main() {
    println!("cargo::rustc-check-cfg=cfg(ossl111)");
    println!("cargo::rustc-check-cfg=cfg(ossl300)");
    println!("cargo::rustc-check-cfg=cfg(ossl320)");
    // Given by hand for a run under ThreadSanitizer (HACKING.md).
    println!("cargo::rustc-check-cfg=cfg(sanitize_thread)");
    println!("cargo::rerun-if-env-changed=MEMCACHED_VERSION");
    // A packager's version such as 1.7.0_rc1 is no semantic version, so cargo cannot carry it.
    let version = env::var("MEMCACHED_VERSION").unwrap_or_else(|_| {
        env::var("CARGO_PKG_VERSION").expect("cargo sets CARGO_PKG_VERSION for build scripts")
    });
    println!("cargo::rustc-env=MEMCACHED_VERSION={version}");
    // Flags for the linker of the programs alone. RUSTFLAGS would reach every crate and replace cargo's settings.
    println!("cargo::rerun-if-env-changed=MEMCACHED_LDFLAGS");
    for flag in env::var("MEMCACHED_LDFLAGS")
        .unwrap_or_default()
        .split_whitespace()
    {
        println!("cargo::rustc-link-arg-bins={flag}");
    }
    #[cfg(feature = "sasl")]
    link_sasl();
    if let Ok(found) = env::var("DEP_OPENSSL_VERSION_NUMBER") {
        let number = u64::from_str_radix(&found, 16).unwrap_or(0);
        if number >= 0x1010_1000 {
            println!("cargo::rustc-cfg=ossl111");
        }
        if number >= 0x3000_0000 {
            println!("cargo::rustc-cfg=ossl300");
        }
        if number >= 0x3020_0000 {
            println!("cargo::rustc-cfg=ossl320");
        }
    }
}

/// Where pkg-config does not know the library, the linker may.
#[cfg(feature = "sasl")]
#[allow(
    clippy::print_stdout,
    reason = "cargo reads a build script's findings from its standard output"
)]
fn link_sasl() {
    println!("cargo::rerun-if-env-changed=MEMCACHED_SASL_LIBRARY");
    let named = env::var("MEMCACHED_SASL_LIBRARY");
    if named.is_ok() || pkg_config::probe_library("libsasl2").is_err() {
        let name = named.unwrap_or_else(|_| "sasl2".to_owned());
        println!("cargo::rustc-link-lib={name}");
    }
}
