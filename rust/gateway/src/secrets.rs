//! Upstream credentials: named by the plan, delivered apart from it, held in memory, never logged.

use std::{collections::HashMap, fmt, path::Path};

use http::HeaderValue;

/// Credentials by the plan's name for them, `namespace/secret/key`.
#[derive(Default)]
pub struct Credentials {
    headers: HashMap<String, HeaderValue>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} credentials", self.headers.len())
    }
}

fn header(name: &str, value: &str) -> Result<HeaderValue, String> {
    if value.trim().is_empty() {
        return Err(format!("credential `{name}` is empty"));
    }
    let mut header = HeaderValue::from_str(&format!("Bearer {}", value.trim()))
        .map_err(|_| format!("credential `{name}` holds characters that no header may"))?;
    header.set_sensitive(true);
    Ok(header)
}

impl Credentials {
    /// Credentials from their values.
    ///
    /// # Errors
    /// A sentence that names the credential, never its value.
    pub fn new(values: impl IntoIterator<Item = (String, String)>) -> Result<Self, String> {
        let headers = values.into_iter().map(|(name, value)| header(&name, &value).map(|header| (name, header)));
        Ok(Self { headers: headers.collect::<Result<_, String>>()? })
    }

    /// Credentials that a controller gave. One that cannot be used is left out: it is one tenant's mistake, not everybody's.
    #[must_use]
    pub fn delivered<'a>(values: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let usable = |(name, value): (&str, &str)| match header(name, value) {
            Ok(header) => Some((name.to_owned(), header)),
            Err(message) => {
                tracing::warn!(message, "a credential is left out");
                None
            }
        };
        Self { headers: values.into_iter().filter_map(usable).collect() }
    }

    /// Reads the credentials that a plan names from files `<secret>/<key>` of a folder. What is missing is left out: calls that
    /// need it fail over and say so.
    ///
    /// # Errors
    /// As [`Credentials::new`].
    pub fn read<'a>(folder: &Path, names: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let plain = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(['/', '\\']);
        let values = names.into_iter().filter_map(|name| {
            let mut parts = name.splitn(3, '/').skip(1);
            let (secret, key) = (parts.next()?, parts.next()?);
            let read = || std::fs::read_to_string(folder.join(secret).join(key)).ok().filter(|value| !value.trim().is_empty());
            let value = (plain(secret) && plain(key)).then(read).flatten();
            if value.is_none() {
                tracing::warn!(credential = name, folder = %folder.display(), "the plan names a credential that is not there");
            }
            Some((name.to_owned(), value?))
        });
        Self::new(values)
    }

    /// The `authorization` header for a credential.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&HeaderValue> {
        self.headers.get(name)
    }
}
