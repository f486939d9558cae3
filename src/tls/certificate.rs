//! What the server reads in certificates: dates and names.
//!
//! `context` learns from the server's own what operators watch; the handshake takes the names of a client's to the
//! allow list, and its common name to whoever shows it. An authority has signed those, of any length and number, so
//! they are looked at one at a time and where they are. Pure, on any thread.

#![forbid(unsafe_code)]

use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::x509::{X509, X509Ref};

use super::CertificateFacts;
use super::allow::Name;
use super::ffi;
use crate::limits::COMMON_NAME_MAX;
use crate::settings::NameKind;

const DAY_SECS: i64 = 86_400;

impl CertificateFacts {
    /// Reads the server's certificate, those behind it in its chain, and the authorities.
    pub(super) fn of(
        leaf: &X509Ref,
        chain: &[X509],
        authorities: &[X509],
    ) -> Result<CertificateFacts, ErrorStack> {
        let not_after = unix_seconds(leaf.not_after())?;
        Ok(CertificateFacts {
            not_before: unix_seconds(leaf.not_before())?,
            not_after,
            serial: leaf.serial_number().to_bn()?.to_hex_str()?.to_string(),
            sha256: upper_hex(&leaf.digest(MessageDigest::sha256())?),
            chain_not_after: earliest_end(chain)?.map_or(not_after, |end| end.min(not_after)),
            ca_not_after: earliest_end(authorities)?,
        })
    }
}

/// The line for stderr when a certificate is not valid now; `path` is its file as given.
pub(super) fn validity_warning(leaf: &X509Ref, path: &str) -> Option<String> {
    let now = Asn1Time::days_from_now(0).ok()?;
    let (not_before, not_after) = (leaf.not_before(), leaf.not_after());
    if not_before <= now && not_after >= now {
        return None;
    }
    Some(format!(
        "WARNING: server certificate {path} is not valid now (notBefore={not_before} notAfter={not_after})"
    ))
}

/// Whether OpenSSL had no memory for the key in a certificate. It parses the certificate all the same, as it does where
/// it does not know the kind of key; but with such a certificate nobody can be served, nor judged by such an authority.
pub(super) fn lacks_its_key(certificate: &X509Ref) -> Result<bool, ErrorStack> {
    if has_usable_key(certificate) {
        return Ok(false);
    }
    // A kind that it does not know it knows no better the second time.
    let again = X509::from_der(&certificate.to_der()?)?;
    Ok(has_usable_key(&again))
}

/// Whether the key is there and OpenSSL has found out how strong it is.
fn has_usable_key(certificate: &X509Ref) -> bool {
    let key = certificate.public_key();
    key.is_ok_and(|key| key.security_bits() > 0)
}

/// The first common name of the subject.
pub(super) fn common_name(certificate: &X509Ref) -> Option<String> {
    common_names(certificate).next()
}

/// Whether this is true of one of the names that an allow list looks at. One that is no text in its own encoding is
/// left out.
pub(super) fn any_name(certificate: &X509Ref, mut is_so: impl FnMut(Name<'_>) -> bool) -> bool {
    let mut is = |kind, text: &str| is_so(Name { kind, text });
    let found = common_names(certificate).any(|text| is(NameKind::CommonName, &text))
        || certificate
            .subject_alt_names()
            .into_iter()
            .flatten()
            .any(|alternative| {
                let names = [
                    (NameKind::Dns, alternative.dnsname()),
                    (NameKind::Uri, alternative.uri()),
                    (NameKind::Email, alternative.email()),
                ];
                let mut names = names.into_iter();
                names.any(|(kind, text)| text.is_some_and(|text| is(kind, text)))
            });
    // What OpenSSL minds about a malformed name must not pass for an error of the handshake that asks.
    ffi::clear_errors();
    found
}

/// Every common name of the subject, whole: bytes behind a NUL are a part of it. They are copied, so those of absurd
/// length are left out.
fn common_names(certificate: &X509Ref) -> impl Iterator<Item = String> {
    certificate
        .subject_name()
        .entries_by_nid(Nid::COMMONNAME)
        .filter(|entry| entry.data().len() <= COMMON_NAME_MAX)
        .filter_map(|entry| entry.data().to_string().ok())
}

fn earliest_end(certificates: &[X509]) -> Result<Option<i64>, ErrorStack> {
    let ends: Result<Vec<i64>, ErrorStack> = certificates
        .iter()
        .map(|certificate| unix_seconds(certificate.not_after()))
        .collect();
    Ok(ends?.into_iter().min())
}

fn unix_seconds(time: &Asn1TimeRef) -> Result<i64, ErrorStack> {
    let since = Asn1Time::from_unix(0)?.diff(time)?;
    Ok(i64::from(since.days) * DAY_SECS + i64::from(since.secs))
}

fn upper_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}
