//! What decides which clients are let in: authorities, revocation lists, allowed names, and the verify flags.
//!
//! `context` loads it into its trust store at boot and at each refresh; `session` asks for the flags of its class.
//! Every file is read once, and what is put to use and what is digested come from the same bytes. The digest, class
//! and flags make the session id context, so a session resumes only where and while the same rules hold.
//! (tls.md §6, §16 B4, B9, B10)

#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::ffi::c_int;

use openssl::error::ErrorStack;
use openssl::sha::Sha256;
use openssl::ssl::SslContextBuilder;
use openssl::stack::Stack;
use openssl::x509::verify::X509VerifyFlags;
use openssl::x509::{X509, X509Name};

use super::allow::AllowList;
use super::certificate::lacks_its_key;
use super::ffi::{self, broken, reason};
use super::material::{Material, read, read_pem};
use super::{Class, File, TlsError};
use crate::os::heap::NoMemory;
use crate::settings::NamePattern;

/// `SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT`.
const VERIFY_REQUIRED: c_int =
    openssl_sys::SSL_VERIFY_PEER | openssl_sys::SSL_VERIFY_FAIL_IF_NO_PEER_CERT;

/// What SHA-256 makes.
pub(super) type Digest = [u8; 32];
/// A session id context: sessions and tickets resume only where it is the same.
pub(super) type Scope = Digest;

/// What decides which clients are let in.
pub(super) struct Trust {
    pub(super) authorities: Vec<X509>,
    pub(super) allow: Option<AllowList>,
    /// Digest of all the bytes that this came from.
    pub(super) generation: Digest,
}

impl Trust {
    /// Loads authorities, revocation lists and allowed names; fills the trust store, and the list of names announced
    /// to clients.
    pub(super) fn load(
        builder: &mut SslContextBuilder,
        material: &Material,
    ) -> Result<Trust, TlsError> {
        let settings = &material.settings;
        let (authorities_pem, authorities) = load_authorities(builder, material)?;
        let lists_pem = load_revocation_lists(builder, material)?;
        let mut allow = None::<AllowList>;
        if let Some(list) = &settings.client_allow {
            // The command line's reader has refused malformed lists.
            let patterns = NamePattern::parse_list(list).unwrap_or_default();
            allow.get_or_insert_default().add(&patterns);
        }
        let allow_file = load_allow_list(material, &mut allow)?;
        let generation = generation(&[
            authorities_pem.as_deref(),
            lists_pem.as_deref(),
            settings.client_allow.as_deref().map(str::as_bytes),
            allow_file.as_deref(),
        ]);
        Ok(Trust {
            authorities,
            allow,
            generation,
        })
    }
}

/// Answers the bytes of the file and the certificates in them.
fn load_authorities(
    builder: &mut SslContextBuilder,
    material: &Material,
) -> Result<(Option<Vec<u8>>, Vec<X509>), TlsError> {
    let Some(file) = &material.authorities else {
        return Ok((None, Vec::new()));
    };
    let failed = |reason| TlsError::Authorities(File::named(&material.settings.ca_cert, reason));
    let pem = read_pem(file).map_err(failed)?;
    let certificates = X509::stack_from_pem(&pem).map_err(|stack| failed(reason(&stack)))?;
    if certificates.is_empty() {
        // Asking for one certificate yields OpenSSL's own words for "there is none".
        let stack = X509::from_pem(&pem).err();
        return Err(failed(
            stack.map_or_else(ffi::take_error_text, |stack| reason(&stack)),
        ));
    }
    for certificate in &certificates {
        if lacks_its_key(certificate).map_err(|stack| failed(reason(&stack)))? {
            return Err(failed(NoMemory.to_string()));
        }
    }
    trust(builder, certificates.clone()).map_err(|stack| failed(reason(&stack)))?;
    Ok((Some(pem), certificates))
}

/// Answers the bytes of the file. From then on a client is good only if its issuer has a list, and is not on it.
fn load_revocation_lists(
    builder: &mut SslContextBuilder,
    material: &Material,
) -> Result<Option<Vec<u8>>, TlsError> {
    let Some(file) = &material.revocation_lists else {
        return Ok(None);
    };
    let failed = |reason| TlsError::RevocationLists(File::named(&material.settings.crl, reason));
    let pem = read_pem(file).map_err(failed)?;
    ffi::add_revocation_lists(builder, &pem).map_err(|stack| failed(reason(&stack)))?;
    builder
        .cert_store_mut()
        .set_flags(X509VerifyFlags::CRL_CHECK)
        .map_err(broken)?;
    Ok(Some(pem))
}

/// Adds the names of the file to those of the option; answers its bytes.
fn load_allow_list(
    material: &Material,
    allow: &mut Option<AllowList>,
) -> Result<Option<Vec<u8>>, TlsError> {
    let Some(file) = &material.allow_list else {
        return Ok(None);
    };
    let path = &material.settings.client_allow_file;
    let failed = |reason| TlsError::AllowList(File::named(path, reason));
    let content = read(file).map_err(failed)?;
    allow
        .get_or_insert_default()
        .add_file(&content)
        .map_err(|line| failed(format!("malformed pattern in line {line}")))?;
    Ok(Some(content))
}

fn trust(builder: &mut SslContextBuilder, certificates: Vec<X509>) -> Result<(), ErrorStack> {
    let mut names: Stack<X509Name> = Stack::new()?;
    let mut announced = HashSet::new();
    let mut stored = HashSet::new();
    for certificate in certificates {
        let subject = certificate.subject_name();
        if announced.insert(subject.to_der()?) {
            names.push(subject.to_owned()?)?;
        }
        // OpenSSL before 1.1.1 takes a certificate that is there already for an error.
        if stored.insert(certificate.to_der()?) {
            builder.cert_store_mut().add_cert(certificate)?;
        }
    }
    builder.set_client_ca_list(names);
    Ok(())
}

/// The verify flags that a class puts in the place of the context's.
pub(super) fn class_verify(class: Class) -> Option<c_int> {
    match class {
        Class::Default => None,
        Class::Basic => Some(openssl_sys::SSL_VERIFY_NONE),
        Class::Mutual => Some(VERIFY_REQUIRED),
    }
}

/// OpenSSL's flags for `ssl_verify_mode`. Where only some clients are allowed, one without a certificate is none of
/// them.
pub(super) fn verify_flags(mode: i32, restricted: bool) -> c_int {
    match mode {
        0 => openssl_sys::SSL_VERIFY_NONE,
        1 if !restricted => openssl_sys::SSL_VERIFY_PEER,
        1 | 2 => VERIFY_REQUIRED,
        _ => VERIFY_REQUIRED | openssl_sys::SSL_VERIFY_CLIENT_ONCE,
    }
}

/// Digest of everything that decides which client certificates are good. Each part is told apart by its length, so
/// that bytes cannot move from one to the next unnoticed.
fn generation(parts: &[Option<&[u8]>]) -> Digest {
    let mut digest = Sha256::new();
    for part in parts {
        match part {
            None => digest.update(&[0]),
            Some(bytes) => {
                digest.update(&[1]);
                digest.update(&(bytes.len() as u64).to_be_bytes());
                digest.update(bytes);
            }
        }
    }
    digest.finish()
}

/// One scope a class: no session crosses a class, a change of the verify flags or a change of the generation.
pub(super) fn scopes(default_verify: c_int, generation: &Digest) -> [Scope; 3] {
    [Class::Default, Class::Basic, Class::Mutual].map(|class| {
        let verify = class_verify(class).unwrap_or(default_verify);
        let mut digest = Sha256::new();
        digest.update(&[class as u8]);
        digest.update(&verify.to_be_bytes());
        digest.update(generation);
        digest.finish()
    })
}
