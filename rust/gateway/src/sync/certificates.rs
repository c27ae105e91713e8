//! Certificates for the channel: an authority of the controller's own, and short-lived ones that it signs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd};
use rustls::pki_types::{CertificateDer, pem::PemObject};

/// How far the clocks of two machines may differ.
const CLOCK_SKEW: Duration = Duration::from_secs(300);

/// A certificate and its private key.
pub struct Issued {
    /// PEM of the certificate.
    pub certificate: String,
    /// PEM of the key.
    pub key: String,
}

/// Makes an authority.
///
/// # Errors
/// A sentence.
pub fn make_ca(common_name: &str, days: u32) -> Result<Issued, String> {
    let mut params = params(Vec::new(), Duration::from_secs(u64::from(days) * 86_400))?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().map_err(said)?;
    let certificate = params.self_signed(&key).map_err(said)?;
    Ok(Issued { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// Makes a certificate for DNS names and addresses, signed by an authority.
///
/// # Errors
/// A sentence; never the key.
pub fn issue(ca_certificate: &str, ca_key: &str, names: &[String], hours: u32) -> Result<Issued, String> {
    let ca_key = KeyPair::from_pem(ca_key).map_err(|_| "the authority's key cannot be read".to_owned())?;
    let issuer =
        Issuer::from_ca_cert_pem(ca_certificate, ca_key).map_err(|error| format!("the authority's certificate cannot be read: {error}"))?;
    let mut params = params(names.to_vec(), Duration::from_secs(u64::from(hours) * 3_600))?;
    // Not the authority's name: OpenSSL takes whatever names itself as its issuer for self-signed.
    params.distinguished_name.push(DnType::CommonName, "tradewind server");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().map_err(said)?;
    let certificate = params.signed_by(&key, &issuer).map_err(said)?;
    Ok(Issued { certificate: certificate.pem(), key: key.serialize_pem() })
}

fn params(names: Vec<String>, lifetime: Duration) -> Result<CertificateParams, String> {
    let mut params = CertificateParams::new(names).map_err(said)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = date_time_ymd(1970, 1, 1) + now.saturating_sub(CLOCK_SKEW);
    params.not_after = date_time_ymd(1970, 1, 1) + (now + lifetime);
    Ok(params)
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Roots of a PEM bundle.
///
/// # Errors
/// A sentence, where there is none in it.
pub fn roots(bundle: &str) -> Result<rustls::RootCertStore, String> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        let certificate = certificate.map_err(|error| format!("the trust bundle is not PEM: {error}"))?;
        roots.add(certificate).map_err(|error| format!("the trust bundle has a certificate that cannot be used: {error}"))?;
    }
    if roots.is_empty() {
        return Err("the trust bundle has no certificate".to_owned());
    }
    Ok(roots)
}
