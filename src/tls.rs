//! TLS: whom the servers are believed, and by what certificate this program is known to them.
//!
//! One checked client configuration for each link, made once from the files that the configuration names; and what
//! an error of TLS means, in words. It knows neither broker nor database, and opens no connection.
//!
//! What always holds: a server's certificate is verified, its chain, its dates and its host name; there is no way
//! around that. Certificate authorities that are given replace those of the system. There is one provider of
//! cryptography, ring.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};
use x509_cert::der::Decode;

/// The largest file of certificates or of a key that is read.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The files that say whom to believe, and who this program is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate authorities, as PEM; none: those of the system.
    pub authorities: Option<PathBuf>,
    /// This program's own certificate, and what leads from it to an authority that the server knows, as PEM.
    pub certificate: Option<PathBuf>,
    /// The key of that certificate, as PEM and not encrypted.
    pub key: Option<PathBuf>,
}

/// Which of the files is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFile {
    /// [`TlsFiles::authorities`].
    Authorities,
    /// [`TlsFiles::certificate`].
    Certificate,
    /// [`TlsFiles::key`].
    Key,
}

/// What is wrong with one of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsProblem {
    /// Which one.
    pub file: TlsFile,
    /// What was expected of it instead, as a clause.
    pub expected: String,
}

/// How this program speaks TLS over one link.
#[derive(Clone)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    has_certificate: bool,
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsClient").field("has_certificate", &self.has_certificate).finish_non_exhaustive()
    }
}

impl TlsClient {
    /// Reads the files and checks them: that they are what they should be, that the key fits the certificate, and
    /// that the certificate is good today.
    ///
    /// # Errors
    /// The first file with which something is wrong.
    pub fn new(files: &TlsFiles) -> Result<Self, TlsProblem> {
        let roots = match &files.authorities {
            Some(path) => authorities(path),
            None => system_authorities(),
        };
        let roots = roots.map_err(problem(TlsFile::Authorities))?;
        let identity = match (&files.certificate, &files.key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => {
                let chain = own_certificates(certificate).map_err(problem(TlsFile::Certificate))?;
                Some((chain, own_key(key).map_err(problem(TlsFile::Key))?))
            }
            (Some(_), None) => {
                return Err(problem(TlsFile::Certificate)("expected the file of its key, too".to_owned()));
            }
            (None, Some(_)) => {
                return Err(problem(TlsFile::Key)("expected the file of its certificate, too".to_owned()));
            }
        };
        let has_certificate = identity.is_some();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| problem(TlsFile::Authorities)(format!("expected TLS 1.2 or 1.3 ({error})")))?
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|error| {
                problem(TlsFile::Key)(match error {
                    rustls::Error::InconsistentKeys(_) => {
                        "expected the key of the certificate that is configured; this is another".to_owned()
                    }
                    error => format!("expected an RSA, ECDSA or Ed25519 key of that certificate ({error})"),
                })
            })?,
        };
        Ok(Self { config: Arc::new(config), has_certificate })
    }

    /// The configuration, for whoever makes the connections.
    pub fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }

    /// Whether it has a certificate of its own to show.
    pub fn has_certificate(&self) -> bool {
        self.has_certificate
    }
}

fn problem(file: TlsFile) -> impl Fn(String) -> TlsProblem {
    move |expected| TlsProblem { file, expected }
}

/// Reads a file of at most so many bytes.
///
/// # Errors
/// What was expected instead, as a clause.
pub(crate) fn read_file(path: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes));
    match read {
        Ok(read) if read as u64 > bytes_max => Err(format!("expected a file of at most {bytes_max} bytes")),
        Ok(_) => Ok(bytes),
        Err(error) => Err(format!("expected a readable file ({error})")),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = read_file(path, FILE_BYTES_MAX)?;
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if found.is_empty() => {
            Err("expected PEM, with a block BEGIN CERTIFICATE; there is none".to_owned())
        }
        Ok(found) => Ok(found),
        Err(error) => Err(format!("expected PEM, with blocks BEGIN CERTIFICATE ({error})")),
    }
}

fn authorities(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for (place, certificate) in (1..).zip(certificates(path)?) {
        roots.add(certificate).map_err(|error| {
            format!("expected certificates of authorities; number {place} cannot be read as one ({error})")
        })?;
    }
    Ok(roots)
}

fn system_authorities() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Some of what a system has is too old for the library, which is no reason to do without the others.
    let (taken, _) = roots.add_parsable_certificates(found.certs);
    if taken == 0 {
        let why: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        let why = if why.is_empty() { "none were found".to_owned() } else { why.join("; ") };
        return Err(format!("expected a file here, as this system has no certificate authorities ({why})"));
    }
    Ok(roots)
}

fn own_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain = certificates(path)?;
    if let Some(first) = chain.first() {
        let parsed = x509_cert::Certificate::from_der(first)
            .map_err(|error| format!("expected a certificate of X.509 first ({error})"))?;
        let validity = parsed.tbs_certificate.validity;
        let (begin, end) = (validity.not_before.to_unix_duration(), validity.not_after.to_unix_duration());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if now > end {
            return Err(format!("expected a certificate that is good today; it expired at {}", time(end)));
        }
        if now < begin {
            return Err(format!("expected a certificate that is good today; it is from {} on", time(begin)));
        }
    }
    Ok(chain)
}

fn own_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let bytes = read_file(path, FILE_BYTES_MAX)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
        pem::Error::NoItemsFound => {
            "expected PEM, with a block BEGIN PRIVATE KEY that is not encrypted; there is none".to_owned()
        }
        error => format!("expected PEM, with a block BEGIN PRIVATE KEY ({error})"),
    })
}

fn time(since_1970: Duration) -> String {
    let seconds = i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| format!("{seconds} s"), |time| time.to_string())
}

/// What it is about TLS that this error, or what caused it, is about, as the end of a sentence that begins with the
/// name of the host; none where it is about something else, such as a connection that broke.
///
/// All that is found here stays as it is until somebody changes a certificate or the configuration.
pub fn failure(error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return Some(meaning(error));
        }
        // What an error of input and output wraps is not what it calls its source.
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

fn meaning(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(error) => match error {
            CertificateError::UnknownIssuer => {
                "its certificate comes from an authority that is not trusted here; \
                 expected one of tls_ca_file or, without that, of this system"
                    .to_owned()
            }
            CertificateError::BadSignature => {
                "its certificate comes from an authority that is not trusted here, though \
                 one of the same name is; expected the new certificate of a renewed authority in tls_ca_file"
                    .to_owned()
            }
            CertificateError::NotValidForNameContext { expected, presented } => {
                let names = if presented.is_empty() { "no name".to_owned() } else { presented.join(", ") };
                format!(
                    "its certificate is for another host: expected {}, but it has {names}",
                    host(expected)
                )
            }
            CertificateError::NotValidForName => "its certificate is for another host".to_owned(),
            CertificateError::ExpiredContext { not_after, .. } => {
                format!("its certificate expired at {}", at(*not_after))
            }
            CertificateError::Expired => "its certificate has expired".to_owned(),
            CertificateError::NotValidYetContext { not_before, .. } => {
                format!("its certificate is not good before {}; is the clock right?", at(*not_before))
            }
            CertificateError::NotValidYet => {
                "its certificate is not good yet; is the clock right?".to_owned()
            }
            error => format!("its certificate is refused: {error}"),
        },
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired | AlertDescription::NoCertificate,
        ) => "it asks for a client certificate; expected tls_certificate_file and tls_key_file".to_owned(),
        rustls::Error::AlertReceived(
            alert @ (AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError
            | AlertDescription::AccessDenied),
        ) => format!("it refuses the client certificate of tls_certificate_file: {alert:?}"),
        rustls::Error::AlertReceived(alert) => {
            format!("it breaks off the TLS handshake: {alert:?}; perhaps it asks for a client certificate")
        }
        rustls::Error::InvalidMessage(_) => "what answers there does not speak TLS".to_owned(),
        error => format!("TLS fails: {error}"),
    }
}

fn host(name: &ServerName<'_>) -> String {
    name.to_str().into_owned()
}

fn at(unix: UnixTime) -> String {
    time(Duration::from_secs(unix.as_secs()))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

    use super::*;

    fn write(name: &str, text: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("channel-sync-tls-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        path
    }

    fn certificate(key: &KeyPair, to_year: i32) -> String {
        let mut params = CertificateParams::new(vec!["client".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "client");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(to_year, 1, 1);
        params.self_signed(key).unwrap().pem()
    }

    /// What is wrong with these files.
    fn wrong(authorities: &str, certificate: &str, key: &str) -> (TlsFile, String) {
        let path = |name: &str, text: &str| (!text.is_empty()).then(|| write(name, text));
        let files = TlsFiles {
            authorities: path("ca", authorities),
            certificate: path("certificate", certificate),
            key: path("key", key),
        };
        let problem = TlsClient::new(&files).unwrap_err();
        for path in [files.authorities, files.certificate, files.key].into_iter().flatten() {
            std::fs::remove_file(path).unwrap();
        }
        (problem.file, problem.expected)
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let (good, old) = (certificate(&key, 2100), certificate(&key, 2021));
        let (key, other) = (key.serialize_pem(), other.serialize_pem());
        let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        let cases = [
            ((good.as_str(), good.as_str(), other.as_str()), TlsFile::Key, "this is another"),
            ((&good, &old, &key), TlsFile::Certificate, "expired at 2021-01-01T00:00:00Z"),
            ((&good, &good, ""), TlsFile::Certificate, "the file of its key, too"),
            ((&good, "", &key), TlsFile::Key, "the file of its certificate, too"),
            ((&good, &good, &encrypted), TlsFile::Key, "that is not encrypted; there is none"),
            ((&good, &key, &key), TlsFile::Certificate, "BEGIN CERTIFICATE; there is none"),
            (("nonsense", "", ""), TlsFile::Authorities, "BEGIN CERTIFICATE; there is none"),
        ];
        for ((authorities, certificate, of_key), file, expected) in cases {
            let (found, said) = wrong(authorities, certificate, of_key);
            assert!(found == file && said.contains(expected), "{expected}: {found:?} {said}");
        }
        let nowhere = TlsFiles { authorities: Some("nowhere.pem".into()), ..TlsFiles::default() };
        let said = TlsClient::new(&nowhere).unwrap_err().expected;
        assert!(said.starts_with("expected a readable file ("), "{said}");
    }
}
