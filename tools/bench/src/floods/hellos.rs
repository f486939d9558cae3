//! Attempts to renegotiate, one behind the other.
//!
//! OpenSSL's client sends one ClientHello and waits for what comes of it, so the records are sealed here:
//! TLS 1.2 with AES-256-GCM (RFC 5246, section 6.3; RFC 5288), by the secrets of a session that has
//! just been made and has sent nothing but the end of its handshake.

use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use openssl::ssl::SslRef;
use openssl::symm::{Cipher, encrypt_aead};

use crate::endure::wire::Wire;
use crate::fail::{Context, Fail, Outcome};

const CIPHER: &str = "AES256-GCM-SHA384";
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;
/// The head of a ClientHello that says no more: it is refused before anybody looks closer.
const HELLO: [u8; 4] = [1, 0, 0, 0];
const KEY: usize = 32;
const SALT: usize = 4;
const TAG: usize = 16;

/// As many of them as make `size` bytes, with a command behind.
pub(super) fn renegotiations(wire: &mut Wire, size: usize) -> Outcome<(Vec<u8>, usize)> {
    let ssl = wire.ssl();
    let cipher = ssl.current_cipher().map_or("none", |cipher| cipher.name());
    if !cipher.ends_with(CIPHER) {
        return Err(Fail::new(
            format!("the cipher is {cipher} and not {CIPHER}"),
            "the server's OpenSSL allows none that this flood can seal",
        ));
    }
    let doing = "sealing hellos";
    let mut sealer = Sealer::of(ssl).context(doing, "")?;
    let mut bytes = Vec::new();
    while bytes.len() < size {
        bytes.extend(sealer.record(HANDSHAKE, &HELLO).context(doing, "")?);
    }
    bytes.extend(sealer.record(DATA, b"mn\r\n").context(doing, "")?);
    Ok((bytes, 4))
}

/// The client's half of a session.
struct Sealer {
    key: [u8; KEY],
    salt: [u8; SALT],
    /// Number of the next record.
    number: u64,
}

impl Sealer {
    fn of(ssl: &SslRef) -> Result<Sealer, ErrorStack> {
        let mut master = [0; 48];
        if let Some(session) = ssl.session() {
            session.master_key(&mut master);
        }
        let (mut client, mut server) = ([0; 32], [0; 32]);
        ssl.client_random(&mut client);
        ssl.server_random(&mut server);
        let seed = [b"key expansion", &server[..], &client[..]].concat();
        // The client's key, the server's, the client's salt, the server's.
        let block = expand(&master, &seed, 2 * KEY + 2 * SALT)?;
        let mut sealer = Sealer {
            key: [0; KEY],
            salt: [0; SALT],
            number: 1,
        };
        sealer.key.copy_from_slice(&block[..KEY]);
        sealer.salt.copy_from_slice(&block[2 * KEY..][..SALT]);
        Ok(sealer)
    }

    fn record(&mut self, kind: u8, bytes: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        let number = self.number.to_be_bytes();
        self.number += 1;
        let length = |more: usize| ((bytes.len() + more) as u16).to_be_bytes();
        let head = |more| [&[kind, 3, 3][..], &length(more)].concat();
        let extra = [&number[..], &head(0)].concat();
        let nonce = [&self.salt[..], &number].concat();
        let mut tag = [0; TAG];
        let cipher = Cipher::aes_256_gcm();
        let sealed = encrypt_aead(cipher, &self.key, Some(&nonce), &extra, bytes, &mut tag)?;
        Ok([&head(number.len() + TAG)[..], &number, &sealed, &tag].concat())
    }
}

/// `P_SHA384` (RFC 5246, section 5).
fn expand(secret: &[u8], seed: &[u8], length: usize) -> Result<Vec<u8>, ErrorStack> {
    let key = PKey::hmac(secret)?;
    let sign = |parts: &[&[u8]]| {
        let mut signer = Signer::new(MessageDigest::sha384(), &key)?;
        for part in parts {
            signer.update(part)?;
        }
        signer.sign_to_vec()
    };
    let mut block = Vec::new();
    let mut step = sign(&[seed])?;
    while block.len() < length {
        block.extend(sign(&[&step, seed])?);
        step = sign(&[&step])?;
    }
    block.truncate(length);
    Ok(block)
}
