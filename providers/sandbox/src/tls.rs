//! The certificates of the two Postgres servers.
//!
//! It owns a certificate authority for the source and a self-signed certificate for the target; it does not know the
//! servers. Tested by connecting to the started servers with `sslmode=verify-full` (`tests/servers.rs`).

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

use crate::error::Error;
use crate::random;

/// What a Postgres server needs to speak TLS, all in PEM.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
    /// The authority that vouches for `certificate`; none for a self-signed one.
    pub(crate) authority: Option<String>,
}

fn params(names: &[&str], common_name: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params =
        CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = date_time_ymd(2024, 1, 1);
    params.not_after = date_time_ymd(2044, 1, 1);
    Ok(params)
}

/// An identity for `127.0.0.1` and `localhost` under an authority of its own, as each Linode project has one.
///
/// # Errors
/// When the key or a certificate cannot be made.
pub(crate) fn under_own_authority() -> Result<Identity, Error> {
    let authority_key = KeyPair::generate()?;
    let mut authority = params(&[], &format!("{} Project CA", random::uuid()))?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    let authority_certificate = authority.self_signed(&authority_key)?;

    let key = KeyPair::generate()?;
    let mut server = params(&["localhost", "127.0.0.1"], "localhost")?;
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.use_authority_key_identifier_extension = true;
    let certificate = server.signed_by(&key, &Issuer::from_params(&authority, &authority_key))?;
    Ok(Identity {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
        authority: Some(authority_certificate.pem()),
    })
}

/// An identity nobody can verify: self-signed, for a name that is not the server's, as Heroku Postgres shows one.
///
/// # Errors
/// When the key or the certificate cannot be made.
pub(crate) fn unverifiable() -> Result<Identity, Error> {
    let key = KeyPair::generate()?;
    let name =
        format!("ip-10-0-{}-{}.ec2.internal", random::number(1, 250), random::number(1, 250));
    let certificate = params(&[&name], &name)?.self_signed(&key)?;
    Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem(), authority: None })
}
