//! The addresses in a configuration: URLs of services, which may hold a password, and the listener's.
//!
//! It checks the form only and resolves nothing. A password leaves by [`ServiceUrl::expose`] alone: what
//! is displayed, debugged or printed has `***` in its place.

use std::fmt;
use std::net::SocketAddr;

/// The URL of a service that this program connects to.
///
/// `Display` and `Debug` hide the password.
#[derive(Clone, PartialEq, Eq)]
pub struct ServiceUrl {
    /// As it was given, but for what is said of TLS in a parameter.
    text: String,
    /// Whether it says that TLS is to be used, or not.
    tls: Option<bool>,
}

impl ServiceUrl {
    /// The URL whole, with its password: for connecting, never for showing.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Whether the URL says that TLS is to be used; none where it says nothing of it.
    pub(super) fn tls(&self) -> Option<bool> {
        self.tls
    }

    /// Whether a password stands in it.
    pub(super) fn has_password(&self) -> bool {
        let rest = self.text.split_once("://").map_or("", |(_, rest)| rest);
        let in_front = rest.split_once('@').is_some_and(|(user, _)| user.contains(':'));
        in_front || parameters(rest).any(|(name, _)| name == "password")
    }

    /// Checks an AMQP URL.
    ///
    /// # Errors
    /// What was expected instead, as a clause.
    pub fn amqp(text: &str) -> Result<Self, String> {
        let expected = "expected a URL such as amqp://user:password@host:5672/virtual-host";
        let url = url::Url::parse(text).map_err(|error| format!("{expected} ({error})"))?;
        if !matches!(url.scheme(), "amqp" | "amqps") {
            return Err(format!("{expected}: the scheme is amqp or amqps, not {}", url.scheme()));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(format!("{expected}: it names no host"));
        }
        if url.path().trim_start_matches('/').contains('/') {
            return Err(format!("{expected}: a / within the name of the virtual host is written %2f"));
        }
        if let Some((name, _)) = url.query_pairs().next() {
            return Err(match &*name {
                "heartbeat" => "expected no heartbeat here: it is broker.heartbeat_seconds".to_owned(),
                "connection_timeout" => {
                    "expected no connection_timeout here: it is broker.connect_timeout_seconds".to_owned()
                }
                name => format!("expected no parameter {name:?}: none is supported"),
            });
        }
        for part in [url.username(), url.password().unwrap_or_default(), url.path()] {
            if !decodes_to_utf8(part) {
                return Err(format!("{expected}: what follows a % are two hexadecimal digits of UTF-8"));
            }
        }
        Ok(Self { text: text.to_owned(), tls: Some(url.scheme() == "amqps") })
    }

    /// Checks the URL of a collector that speaks OTLP over HTTP; none is "".
    ///
    /// # Errors
    /// What was expected instead, as a clause.
    pub fn collector(text: &str) -> Result<Option<Self>, String> {
        if text.is_empty() {
            return Ok(None);
        }
        let expected = "expected a URL such as http://127.0.0.1:4318, or \"\"";
        let url = url::Url::parse(text).map_err(|error| format!("{expected} ({error})"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("{expected}: the scheme is http or https, not {}", url.scheme()));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(format!("{expected}: it names no host"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(format!("{expected}: credentials belong into OTEL_EXPORTER_OTLP_HEADERS"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(format!("{expected}: it ends with its path, behind which /v1/traces is put"));
        }
        Ok(Some(Self { text: text.to_owned(), tls: Some(url.scheme() == "https") }))
    }

    /// Checks a Postgres URL. Several hosts, hosts left out and most parameters are the driver's to judge; what is
    /// said of TLS is not, since the driver knows no way to verify a server.
    ///
    /// # Errors
    /// What was expected instead, as a clause.
    pub fn postgres(text: &str) -> Result<Self, String> {
        let expected = "expected a URL such as postgres://user:password@host:5432/database";
        let rest = ["postgres://", "postgresql://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme))
            .ok_or_else(|| format!("{expected}: the scheme is postgres or postgresql"))?;
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let hosts = authority.rsplit('@').next().unwrap_or_default();
        for host in hosts.split(',') {
            // An address of IPv6 stands in brackets and has colons of its own.
            let port = host.rsplit(']').next().unwrap_or_default().split_once(':').map(|(_, port)| port);
            if let Some(port) = port
                && port.parse::<u16>().is_err()
            {
                return Err(format!("{expected}: the port {port:?} is no number from 0 to 65535"));
            }
        }
        if text.contains(char::is_whitespace) {
            return Err(format!("{expected}: white space is written %20"));
        }
        let mut tls = None;
        for (name, value) in parameters(rest) {
            let key = match name {
                "sslmode" => {
                    tls = Some(match value {
                        "verify-full" => true,
                        "disable" => false,
                        // What the driver calls so encrypts, perhaps, and never looks at who the server is.
                        _ => {
                            return Err(
                                "expected sslmode=verify-full or sslmode=disable: no other verifies \
                                        who the server is"
                                    .to_owned(),
                            );
                        }
                    });
                    continue;
                }
                "sslrootcert" => "database.tls_ca_file",
                "sslcert" => "database.tls_certificate_file",
                "sslkey" => "database.tls_key_file",
                _ => continue,
            };
            return Err(format!("expected no {name} here: it is {key}"));
        }
        Ok(Self { text: if tls.is_some() { without_sslmode(text) } else { text.to_owned() }, tls })
    }
}

/// The parameters of a URL, from what follows `://`: what stands behind the `?` that stands behind the password.
fn parameters(rest: &str) -> impl Iterator<Item = (&str, &str)> {
    let behind_user = rest.split_once('@').map_or(rest, |(_, behind)| behind);
    let query = behind_user.split_once('?').map_or("", |(_, query)| query);
    query.split('&').filter_map(|parameter| parameter.split_once('='))
}

fn without_sslmode(text: &str) -> String {
    let credentials_end = text.find('@').unwrap_or_default();
    let (front, behind) = text.split_at(credentials_end);
    let Some((path, query)) = behind.split_once('?') else { return text.to_owned() };
    let kept: Vec<&str> = query.split('&').filter(|parameter| !parameter.starts_with("sslmode=")).collect();
    let question_mark = if kept.is_empty() { "" } else { "?" };
    format!("{front}{path}{question_mark}{}", kept.join("&"))
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact(&self.text))
    }
}

impl fmt::Debug for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", redact(&self.text))
    }
}

/// Whether the percent-encoding of a text is well-formed, and of UTF-8.
fn decodes_to_utf8(text: &str) -> bool {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                match (digit(), digit()) {
                    (Some(high), Some(low)) => (high * 16 + low) as u8,
                    _ => return false,
                }
            }
            byte => byte,
        });
    }
    String::from_utf8(decoded).is_ok()
}

/// Puts `***` in the place of every password of a URL: behind the user's name, and in a `password`
/// parameter. It rather hides too much than too little, as the URL may be the malformed one that an error
/// message shows. Text without an `@`, a `://` or the word password comes back as it is.
pub(super) fn redact(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        let suspicious = text.contains('@') || text.to_lowercase().contains("password");
        return if suspicious { "***".to_owned() } else { text.to_owned() };
    };
    let shown = match rest.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((name, _)) => format!("{name}:***@{host}"),
            None => rest.to_owned(),
        },
        None => rest.to_owned(),
    };
    let Some((path, query)) = shown.split_once('?') else {
        return format!("{scheme}://{shown}");
    };
    let parameters: Vec<String> = query
        .split('&')
        .map(|parameter| match parameter.split_once('=') {
            Some((name, _)) if name.to_lowercase().contains("password") => format!("{name}=***"),
            _ => parameter.to_owned(),
        })
        .collect();
    format!("{scheme}://{path}?{}", parameters.join("&"))
}

/// Checks the address of the HTTP listener; none is "off".
///
/// # Errors
/// What was expected instead, as a clause.
pub(super) fn listener(text: &str) -> Result<Option<SocketAddr>, String> {
    if text == "off" {
        return Ok(None);
    }
    text.parse()
        .map(Some)
        .map_err(|_| "expected an IP address and a port such as 127.0.0.1:8080, or \"off\"".to_owned())
}
