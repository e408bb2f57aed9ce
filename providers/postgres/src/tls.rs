//! Whom we trust when a Postgres server shows its certificate.
//!
//! Full verification by the provider's own authority or the machine's trust store, or encryption alone where a
//! provider's certificates cannot be verified (Heroku). Tested through `connect` against a real server.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::reference::Tls;
use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls_platform_verifier::BuilderVerifierExt;

use crate::location::ClientCertificate;

/// The client side of TLS for protection `tls`, trusting `authority` (PEM) instead of the machine's own store, and showing
/// `own` where the server asks for a certificate.
///
/// # Errors
/// The PEM holds no certificate, the machine has no usable trust store, or `own` cannot be used.
pub(crate) fn configuration(
    tls: Tls,
    authority: Option<&str>,
    own: Option<&ClientCertificate>,
) -> Result<ClientConfig, Fault> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|cause| Fault::failed("preparing TLS").because(cause))?;
    if tls != Tls::VerifyFull {
        let verifier = Arc::new(Unverified(provider));
        return showing(builder.dangerous().with_custom_certificate_verifier(verifier), own);
    }
    let Some(pem) = authority else {
        let builder = builder.with_platform_verifier().map_err(|cause| {
            Fault::failed("reading this machine's trusted certificates").because(cause)
        })?;
        return showing(builder, own);
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        certificate
            .map_err(|cause| cause.to_string())
            .and_then(|certificate| roots.add(certificate).map_err(|cause| cause.to_string()))
            .map_err(|cause| Fault::failed("reading `ca_certificate`").because(cause))?;
    }
    if roots.is_empty() {
        return Err(Fault::failed("`ca_certificate` holds no certificate")
            .help("it must be PEM text: -----BEGIN CERTIFICATE-----"));
    }
    showing(builder.with_root_certificates(roots), own)
}

fn showing(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    own: Option<&ClientCertificate>,
) -> Result<ClientConfig, Fault> {
    let Some(own) = own else { return Ok(builder.with_no_client_auth()) };
    let unusable = |what: &str, path: &Path| {
        Fault::new(Class::Rejected, format!("reading the file of `{what}`, {}", path.display()))
    };
    // `pg_dump` would refuse it in the middle of the work.
    let mode = own.key.metadata().map(|metadata| (metadata.mode(), metadata.uid()));
    let (mode, owner) = mode.map_err(|cause| unusable("sslkey", &own.key).because(cause))?;
    let others = if owner == 0 { 0o037 } else { 0o077 };
    if mode & others != 0 {
        return Err(unusable("sslkey", &own.key)
            .because("others may read it")
            .help(format!("run `chmod 600 {}`", own.key.display())));
    }
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(&own.certificate).and_then(Iterator::collect);
    let chain = chain.map_err(|cause| unusable("sslcert", &own.certificate).because(cause))?;
    let key = PrivateKeyDer::from_pem_file(&own.key).map_err(|cause| {
        unusable("sslkey", &own.key).because(cause).help("it must be an unencrypted PEM file")
    })?;
    builder.with_client_auth_cert(chain, key).map_err(|cause| {
        unusable("sslcert", &own.certificate).because(cause).help("does `sslkey` belong to it?")
    })
}

/// Encrypts without asking who is there; the handshake itself must still be signed by the certificate's key.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
