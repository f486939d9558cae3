//! other-openssl: builds an OpenSSL other than the system's into a folder and leaves it there for later runs.
//!
//! `other-openssl VERSION FOLDER` makes FOLDER/install with headers and static libraries of OpenSSL 1.1.1 or 4.0, unless
//! they are there already; `make test_old_openssl` and `test_new_openssl` then build the server on them, with OPENSSL_DIR
//! and OPENSSL_STATIC set.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// What can be built.
#[derive(Clone, Copy)]
enum Version {
    /// The oldest that speaks TLS 1.3.
    V111,
    /// The newest.
    V400,
}

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let version = arguments
        .next()
        .and_then(|name| Version::named(name.to_str()?));
    let folder = arguments.next().map(PathBuf::from);
    let (Some(version), Some(folder), None) = (version, folder, arguments.next()) else {
        eprintln!("usage: other-openssl 1.1.1|4.0 FOLDER");
        return ExitCode::from(64);
    };
    let library = folder.join("install/lib/libssl.a");
    if library.exists() {
        println!("OpenSSL {version} stands in {}", folder.display());
        return ExitCode::SUCCESS;
    }
    let Some(target) = host() else {
        eprintln!("other-openssl: rustc -vV does not tell this machine's target");
        return ExitCode::FAILURE;
    };
    version.build(&target, &folder);
    println!("built OpenSSL {version} in {}", folder.display());
    ExitCode::SUCCESS
}

impl Version {
    fn named(name: &str) -> Option<Version> {
        match name {
            "1.1.1" => Some(Version::V111),
            "4.0" => Some(Version::V400),
            _ => None,
        }
    }

    /// Ends the process when it fails.
    fn build(self, target: &str, folder: &Path) {
        // Two versions of one crate: their types are alike but not the same.
        macro_rules! build {
            ($source:ident) => {{
                $source::Build::new()
                    .host(target)
                    .target(target)
                    .out_dir(folder)
                    .build();
            }};
        }
        match self {
            Version::V111 => build!(openssl_src_111),
            Version::V400 => build!(openssl_src_400),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Version::V111 => "1.1.1",
            Version::V400 => "4.0",
        })
    }
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
