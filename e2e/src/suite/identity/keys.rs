//! Keys that sign certificates and handshakes, also where a library would rather not.
//!
//! The RSA here is the bare formula of RFC 8017 with keys that everybody can read: aws-lc-rs signs
//! neither with 1,024 bits nor over SHA-1, and both must be tried on the gate.

use std::fmt;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use num_bigint::BigUint;
use rustls::sign::{Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};

use super::der::{self, Der};

/// A key of a certificate, ready to sign.
#[derive(Clone)]
pub(super) enum Key {
    Ecdsa(Arc<EcdsaKeyPair>),
    Rsa(Rsa),
}

/// How a signature of a certificate is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Digest {
    Sha1,
    Sha256,
}

/// The numbers of an RSA key.
#[derive(Clone)]
pub(super) struct Rsa {
    modulus: BigUint,
    exponent: BigUint,
    bytes: usize,
}

impl Key {
    /// Makes a key on the curve P-256.
    pub(super) fn ecdsa() -> Result<Self> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?;
        Ok(Self::Ecdsa(Arc::new(pair)))
    }

    /// Returns the RSA key of 1,024 bits.
    pub(super) fn rsa_1024() -> Result<Self> {
        Rsa::new(RSA_1024_MODULUS, RSA_1024_EXPONENT)
    }

    /// Returns the RSA key of 2,048 bits.
    pub(super) fn rsa_2048() -> Result<Self> {
        Rsa::new(RSA_2048_MODULUS, RSA_2048_EXPONENT)
    }

    /// Writes the public half as `SubjectPublicKeyInfo` (RFC 5280, 4.1.2.7).
    pub(super) fn public(&self) -> Der {
        match self {
            Self::Ecdsa(pair) => {
                let curve = der::sequence(&[&der::oid(EC_PUBLIC_KEY), &der::oid(P256)]);
                der::sequence(&[&curve, &der::bits(pair.public_key().as_ref())])
            }
            Self::Rsa(rsa) => {
                let modulus = der::integer(&rsa.modulus.to_bytes_be());
                let numbers = der::sequence(&[&modulus, &der::integer(&PUBLIC_EXPONENT)]);
                let algorithm = der::sequence(&[&der::oid(RSA_ENCRYPTION), DER_NULL]);
                der::sequence(&[&algorithm, &der::bits(&numbers)])
            }
        }
    }

    /// Names the algorithm of its signatures as `AlgorithmIdentifier`.
    pub(super) fn algorithm(&self, digest: Digest) -> Der {
        match (self, digest) {
            (Self::Ecdsa(_), _) => der::sequence(&[&der::oid(ECDSA_SHA256)]),
            (Self::Rsa(_), Digest::Sha1) => der::sequence(&[&der::oid(RSA_SHA1), DER_NULL]),
            (Self::Rsa(_), Digest::Sha256) => der::sequence(&[&der::oid(RSA_SHA256), DER_NULL]),
        }
    }

    /// Signs what a certificate says.
    pub(super) fn sign(&self, content: &[u8], digest: Digest) -> Result<Vec<u8>> {
        match self {
            Self::Ecdsa(pair) => Ok(pair.sign(&SystemRandom::new(), content)?.as_ref().to_vec()),
            Self::Rsa(rsa) => rsa.sign_pkcs1(content, digest),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key([redacted])")
    }
}

impl Rsa {
    #[expect(clippy::new_ret_no_self, reason = "nobody needs one that is not a key")]
    fn new(modulus: &str, exponent: &str) -> Result<Key> {
        let number = |hex: &str| {
            BigUint::parse_bytes(hex.as_bytes(), 16).ok_or_else(|| anyhow!("no number"))
        };
        let (modulus, exponent) = (number(modulus)?, number(exponent)?);
        let bytes = usize::try_from(modulus.bits().div_ceil(8))?;
        Ok(Key::Rsa(Self { modulus, exponent, bytes }))
    }

    /// Signs by RFC 8017, 8.2: what is encoded is padded with ones in front.
    fn sign_pkcs1(&self, content: &[u8], digest: Digest) -> Result<Vec<u8>> {
        let (algorithm, name) = match digest {
            Digest::Sha1 => (&digest::SHA1_FOR_LEGACY_USE_ONLY, der::oid(SHA1)),
            Digest::Sha256 => (&digest::SHA256, der::oid(SHA256)),
        };
        let hash = digest::digest(algorithm, content);
        let name = der::sequence(&[&name, DER_NULL]);
        let hash = der::sequence(&[&name, &der::octets(hash.as_ref())]);
        let padding = self.bytes.checked_sub(hash.len() + 3).ok_or_else(|| anyhow!("too long"))?;
        Ok(self.power(&[&[0, 1], vec![0xff; padding].as_slice(), &[0], &hash].concat()))
    }

    /// Signs by RFC 8017, 8.1, with SHA-256 and a salt of zeros: it hides nothing, and is valid.
    fn sign_pss(&self, content: &[u8]) -> Vec<u8> {
        let salt = [0_u8; HASH_BYTES];
        let inner = digest::digest(&digest::SHA256, content);
        let hash = sha256(&[&[0; 8], inner.as_ref(), &salt].concat());
        let mut block = vec![0_u8; self.bytes.saturating_sub(2 * HASH_BYTES + 2)];
        block.push(1);
        block.extend_from_slice(&salt);
        for (byte, mask) in block.iter_mut().zip(mask(&hash)) {
            *byte ^= mask;
        }
        // The modulus has a full number of bytes, so exactly one bit is cleared.
        if let Some(first) = block.first_mut() {
            *first &= 0x7f;
        }
        block.extend_from_slice(&hash);
        block.push(0xbc);
        self.power(&block)
    }

    fn power(&self, block: &[u8]) -> Vec<u8> {
        let power = BigUint::from_bytes_be(block).modpow(&self.exponent, &self.modulus);
        let bytes = power.to_bytes_be();
        let zeros = vec![0; self.bytes.saturating_sub(bytes.len())];
        [zeros, bytes].concat()
    }
}

/// Makes the endless mask of RFC 8017, B.2.1.
fn mask(seed: &[u8]) -> impl Iterator<Item = u8> {
    let seed = seed.to_vec();
    (0_u32..).flat_map(move |counter| sha256(&[&seed, counter.to_be_bytes().as_slice()].concat()))
}

fn sha256(content: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, content).as_ref().to_vec()
}

/// A key as rustls uses it for its side of a handshake.
#[derive(Clone, Debug)]
pub(super) struct HandshakeKey(pub(super) Key);

impl SigningKey for HandshakeKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&self.scheme()).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        match self.0 {
            Key::Ecdsa(_) => SignatureAlgorithm::ECDSA,
            Key::Rsa(_) => SignatureAlgorithm::RSA,
        }
    }
}

impl Signer for HandshakeKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        match &self.0 {
            Key::Ecdsa(_) => self
                .0
                .sign(message, Digest::Sha256)
                .map_err(|refused| rustls::Error::General(refused.to_string())),
            Key::Rsa(rsa) => Ok(rsa.sign_pss(message)),
        }
    }

    fn scheme(&self) -> SignatureScheme {
        match self.0 {
            Key::Ecdsa(_) => SignatureScheme::ECDSA_NISTP256_SHA256,
            Key::Rsa(_) => SignatureScheme::RSA_PSS_SHA256,
        }
    }
}

const HASH_BYTES: usize = 32;
const DER_NULL: &[u8] = &[5, 0];
const PUBLIC_EXPONENT: [u8; 3] = [1, 0, 1];
const EC_PUBLIC_KEY: &[u32] = &[1, 2, 840, 10_045, 2, 1];
const P256: &[u32] = &[1, 2, 840, 10_045, 3, 1, 7];
const ECDSA_SHA256: &[u32] = &[1, 2, 840, 10_045, 4, 3, 2];
const RSA_ENCRYPTION: &[u32] = &[1, 2, 840, 113_549, 1, 1, 1];
const RSA_SHA1: &[u32] = &[1, 2, 840, 113_549, 1, 1, 5];
const RSA_SHA256: &[u32] = &[1, 2, 840, 113_549, 1, 1, 11];
const SHA1: &[u32] = &[1, 3, 14, 3, 2, 26];
const SHA256: &[u32] = &[2, 16, 840, 1, 101, 3, 4, 2, 1];

// Made for this suite and used nowhere else.
const RSA_1024_MODULUS: &str = "\
     a760d19ec2851d0c72ebfde505180ca3b6b28e7f5b6a9aba89c82e233dc83238a8356312898eb8f975eef8c6\
     96c5f8d9b0d4ea120d6f3700e7ea9b7055bdd05edb4dabd32adf0e4590063046157e94b26c64b387388de0da\
     0ffd8907f6e787bf05acfb7f51bc4b048a03048b554d744921844e82420505dd4c3b7f636ea59d67";
const RSA_1024_EXPONENT: &str = "\
     a11dac8a22fa999cbb1ef956341213509ff3bf014f110e0213d0f2c08f9f1ee0b4e2370cc806ef7d8a0d4fc1\
     71aefdbd26dfbcb545e35151f8ec3755e9e2fe28526f11c4f706e0584dc32b2472f3ae696733770517bde95c\
     5bf4df54279867ebd08d9e8c6adbd398e3de3d8eccff2aaace37406539c492dc6bb29b4a56d2a829";
const RSA_2048_MODULUS: &str = "\
     eb3d42511abb2af838359716b31bc705088b6b1e0c60a66fc03d5713b7218ed6b29f82188b59a30b41f2a2f0\
     ccd3c0e9b50e5889b30b29e02f050e94b631808e5bd8c1dc0630a228c5adbde5191fef74c4b6a0e218dda3f9\
     9a34394cfa7ec141d625887e183f59c12405979c9d958df320c66e296e1206ebcf451a9afc973342141a38c0\
     26b805af2835f35a84563c7eb1f1f07aa083398bc124e043ea13dcccfdb09ce2d57b2de79de9d916651de0d3\
     46779b5a43beb16651e7160d47371c782ff6b26f84206d196e7ca79ac1c3268a2d0fe4bd3a61616febdf2c14\
     5cbc840774169b9ac6df024fdd0934c05b9dfd49bd40ee294f3306139cee77ee65ef04af";
const RSA_2048_EXPONENT: &str = "\
     dca7060598f79e67caff707166fb417b3a9c02b85033e60efca243cca2703fd13c949208ff3638acde9bb621\
     fda39e0f50cb49c81fe617a9804cc173fa52049c1636714ea468e556e4b102af7f19b2187d70c3512cb1d527\
     af2786780f7aa189d32d16375e8e04a6198e1797386bac97350a7e3609c5af0cdaefe8184433e646e2f366e0\
     92d46856b06a971e263fbfdb73a343d672a3e85a48b044182120fa0cc82fdbdf725c5d93115acc161e462604\
     5d93a6ad0fc8f5f5d98f941eb467e9e4ff2757e5843e6231e607d469e42b3862e27fa2fcff261c8c45cd7d68\
     8dc9eea3782cb1ce1fa66c61bc00987485004d888c488794f18a4cf015814f63249b749";
