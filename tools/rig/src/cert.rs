//! A certificate for the TLS servers, made afresh by openssl(1), and the folder it lives in.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::ValueEnum;

use crate::fail::{Context, Fail, Outcome};

/// A folder that is removed with its contents.
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// A new, empty folder below the system's place for temporary files.
    pub fn new() -> Outcome<Self> {
        let nanos = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.subsec_nanos());
        let path = std::env::temp_dir().join(format!("memcached-tools-{}-{nanos}", process::id()));
        fs::create_dir(&path).context(
            format_args!("creating {}", path.display()),
            "set TMPDIR to a folder that can be written to",
        )?;
        Ok(Scratch { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed stays for the system's own cleaning of temporary files.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// The kind of a certificate's key, the cheapest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Key {
    /// The elliptic curve P-256.
    #[value(name = "p-256")]
    P256,
    /// RSA, 2,048 bits.
    #[value(name = "rsa-2048")]
    Rsa2048,
    /// RSA, 4,096 bits.
    #[value(name = "rsa-4096")]
    Rsa4096,
    /// RSA, 8,192 bits: making one takes half a minute, signing with it 25 ms.
    #[value(name = "rsa-8192")]
    Rsa8192,
}

impl Key {
    /// The two that most servers have.
    pub const BOTH: [Key; 2] = [Key::Rsa2048, Key::P256];

    /// What openssl-req is told.
    fn options(self) -> &'static [&'static str] {
        match self {
            Key::Rsa2048 => &["-newkey", "rsa:2048"],
            Key::Rsa4096 => &["-newkey", "rsa:4096"],
            Key::Rsa8192 => &["-newkey", "rsa:8192"],
            Key::P256 => &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Key::Rsa2048 => "RSA-2048",
            Key::Rsa4096 => "RSA-4096",
            Key::Rsa8192 => "RSA-8192",
            Key::P256 => "P-256",
        })
    }
}

/// A certificate and its key, as files.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The certificate, PEM.
    pub chain: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

impl Certificate {
    /// Makes a certificate for this run; one of the same kind made earlier is replaced.
    pub fn make(folder: &Path, key: Key) -> Outcome<Self> {
        let certificate = Certificate {
            chain: folder.join(format!("{key}.crt")),
            key: folder.join(format!("{key}.key")),
        };
        let output = Command::new("openssl")
            .args(["req", "-x509", "-nodes", "-days", "7"])
            .args(key.options())
            .args(["-subj", "/CN=localhost", "-keyout"])
            .arg(&certificate.key)
            .arg("-out")
            .arg(&certificate.chain)
            .stdin(Stdio::null())
            .output()
            .context(
                "running openssl",
                "install openssl(1), or pass --plain-only",
            )?;
        if output.status.success() {
            return Ok(certificate);
        }
        Err(Fail::new(
            format!(
                "openssl made no certificate: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            ),
            "try `openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost` by hand",
        ))
    }
}
