//! old-openssl: builds OpenSSL 1.1.1 into a folder and leaves it there for later runs.
//!
//! `old-openssl FOLDER` makes FOLDER/install with headers and static libraries, unless they are there already;
//! `make test_old_openssl` then builds the server on them, with OPENSSL_DIR and OPENSSL_STATIC set.

use std::env;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let (Some(folder), None) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: old-openssl FOLDER");
        return ExitCode::from(64);
    };
    let library = folder.join("install/lib/libssl.a");
    if library.exists() {
        println!("OpenSSL 1.1.1 stands in {}", folder.display());
        return ExitCode::SUCCESS;
    }
    let Some(target) = host() else {
        eprintln!("old-openssl: rustc -vV does not tell this machine's target");
        return ExitCode::FAILURE;
    };
    openssl_src::Build::new()
        .host(&target)
        .target(&target)
        .out_dir(&folder)
        .build();
    println!("built OpenSSL 1.1.1 in {}", folder.display());
    ExitCode::SUCCESS
}

/// The target that rustc builds for when it is not told one.
fn host() -> Option<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
}
