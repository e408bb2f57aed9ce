//! Whom we trust when a Postgres server shows its certificate.
//!
//! Full verification by the provider's own authority or the machine's trust store, or encryption alone where a
//! provider's certificates cannot be verified (Heroku). Tested through `connect` against a real server.

use std::sync::Arc;

use pgferry_engine::fault::Fault;
use pgferry_engine::reference::Tls;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use rustls_platform_verifier::BuilderVerifierExt;

/// The client side of TLS for protection `tls`, trusting `authority` (PEM) instead of the machine's own store.
///
/// # Errors
/// The PEM holds no certificate, or the machine has no usable trust store.
pub(crate) fn configuration(tls: Tls, authority: Option<&str>) -> Result<ClientConfig, Fault> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|cause| Fault::failed("preparing TLS").because(cause))?;
    if tls != Tls::VerifyFull {
        return Ok(builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unverified(provider)))
            .with_no_client_auth());
    }
    let Some(pem) = authority else {
        return Ok(builder
            .with_platform_verifier()
            .map_err(|cause| {
                Fault::failed("reading this machine's trusted certificates").because(cause)
            })?
            .with_no_client_auth());
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
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
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
