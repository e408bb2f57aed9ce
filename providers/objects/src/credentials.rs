//! An access key and its secret, which never shows itself. Tested here.

use zeroize::Zeroizing;

/// The secret half of an access key: erased from memory when dropped, `(sensitive)` in every print.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey(Zeroizing<String>);

impl SecretKey {
    /// Takes the secret in.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(Zeroizing::new(secret.into()))
    }

    /// The secret itself, for signing only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("(sensitive)")
    }
}

impl std::fmt::Display for SecretKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("(sensitive)")
    }
}

/// An access key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The public half.
    pub access_key: String,
    /// The secret half.
    pub secret_key: SecretKey,
}

impl Credentials {
    /// Both halves.
    pub fn new(access_key: impl Into<String>, secret_key: impl Into<String>) -> Self {
        Self { access_key: access_key.into(), secret_key: SecretKey::new(secret_key) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_no_secret() {
        let credentials = Credentials::new("AK", "s3cr3t");
        let expected = "Credentials { access_key: \"AK\", secret_key: (sensitive) }";
        assert_eq!(format!("{credentials:?}"), expected);
        assert_eq!(credentials.secret_key.to_string(), "(sensitive)");
        assert_eq!(credentials.secret_key.expose(), "s3cr3t");
    }
}
