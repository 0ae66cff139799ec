//! The broker setting.

use std::{fmt, path::PathBuf, str::FromStr};

/// The embedded queue in a file, or RabbitMQ.
#[derive(Clone, PartialEq, Eq)]
pub enum BrokerUrl {
    /// `sqlite:///absolute/path/to/file`, or `sqlite:relative`.
    Sqlite(PathBuf),
    /// `amqp://…` or `amqps://…`, or several for the nodes of a cluster, separated by commas. Credentials included: never
    /// printed.
    Amqp(String),
}

/// The text is not a broker setting. The errors do not repeat it, because it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadBrokerUrl {
    /// A part of it is not a URL.
    #[error(
        "not a broker URL; expected sqlite:///var/lib/up/queue.sqlite or amqps://user:password@host/vhost, or several \
         of the latter, separated by commas"
    )]
    Malformed,
    /// Two URLs without a comma between them.
    #[error(
        "\"://\" occurs twice in one URL; separate the URLs of a cluster by commas: \
         amqps://user:password@one/vhost,amqps://user:password@two/vhost"
    )]
    NotSeparated,
    /// A comma that does not separate two URLs.
    #[error(
        "a comma must be followed by a whole URL: \
         amqps://user:password@one/vhost,amqps://user:password@two/vhost; in a vhost it is written %2C"
    )]
    LooseComma,
    /// The URLs name different vhosts.
    #[error("the URLs of a cluster must name the same vhost")]
    Vhosts,
}

impl FromStr for BrokerUrl {
    type Err = BadBrokerUrl;

    fn from_str(text: &str) -> Result<Self, BadBrokerUrl> {
        if let Some(rest) = text.strip_prefix("sqlite:") {
            let foreign = rest.starts_with("//") && !rest.starts_with("///");
            let path = rest.strip_prefix("//").unwrap_or(rest);
            return if foreign || path.is_empty() {
                Err(BadBrokerUrl::Malformed)
            } else {
                Ok(Self::Sqlite(path.into()))
            };
        }
        let mut vhosts = amqp_urls(text).map(vhost_of);
        let first = vhosts.next().ok_or(BadBrokerUrl::Malformed)??;
        for vhost in vhosts {
            if vhost? != first {
                return Err(BadBrokerUrl::Vhosts);
            }
        }
        Ok(Self::Amqp(text.to_owned()))
    }
}

impl BrokerUrl {
    /// A setting for each node of a cluster; this one if there is only one.
    #[must_use]
    pub fn nodes(&self) -> Vec<Self> {
        match self {
            Self::Sqlite(_) => vec![self.clone()],
            Self::Amqp(urls) => amqp_urls(urls).map(|url| Self::Amqp(url.to_owned())).collect(),
        }
    }
}

/// The URLs of a list: a comma before a scheme separates two.
pub(super) fn amqp_urls(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let next =
            text.match_indices(',').find(|(comma, _)| is_amqp(&text[comma + 1..])).map(|(comma, _)| comma);
        rest = next.map(|comma| text[comma + 1..].trim_start());
        Some(text[..next.unwrap_or(text.len())].trim())
    })
}

fn is_amqp(text: &str) -> bool {
    let text = text.trim_start();
    text.starts_with("amqp://") || text.starts_with("amqps://")
}

/// The vhost of one URL, which may be empty.
fn vhost_of(url: &str) -> Result<&str, BadBrokerUrl> {
    let (scheme, rest) = url.split_once("://").ok_or(BadBrokerUrl::Malformed)?;
    if rest.contains("://") {
        return Err(BadBrokerUrl::NotSeparated);
    }
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    if host.contains(',') {
        return Err(BadBrokerUrl::LooseComma);
    }
    if !matches!(scheme, "amqp" | "amqps") || host.is_empty() || !super::rabbitmq::is_url(url) {
        return Err(BadBrokerUrl::Malformed);
    }
    let vhost = host.split_once('/').map_or("", |(_, vhost)| vhost);
    Ok(vhost.split_once('?').map_or(vhost, |(vhost, _)| vhost))
}

impl fmt::Display for BrokerUrl {
    /// Without credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BrokerUrl::Sqlite(path) if path.is_absolute() => write!(f, "sqlite://{}", path.display()),
            BrokerUrl::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            BrokerUrl::Amqp(urls) => {
                for (number, url) in amqp_urls(urls).enumerate() {
                    let (scheme, rest) = url.split_once("://").unwrap_or(("amqp", ""));
                    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
                    write!(f, "{}{scheme}://{host}", if number == 0 { "" } else { "," })?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broker_urls_are_distinguished() {
        for text in ["sqlite:///var/lib/up/queue.sqlite", "sqlite:queue.sqlite"] {
            assert_eq!(text.parse::<BrokerUrl>().unwrap().to_string(), text);
        }
        for text in
            ["", "sqlite:", "sqlite://host/x", "amqp://", "amqp://host:port", "http://x", "queue.sqlite"]
        {
            assert!(text.parse::<BrokerUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_nodes_of_a_cluster_are_separated_by_commas() {
        let url: BrokerUrl = "amqp://u:a,b@h1/%2f, amqps://u:p@h2:5671/%2f,amqp://h3/%2f".parse().unwrap();
        assert_eq!(url.to_string(), "amqp://h1/%2f,amqps://h2:5671/%2f,amqp://h3/%2f");
        let BrokerUrl::Amqp(urls) = &url else { panic!("{url}") };
        let urls: Vec<_> = amqp_urls(urls).collect();
        assert_eq!(urls, ["amqp://u:a,b@h1/%2f", "amqps://u:p@h2:5671/%2f", "amqp://h3/%2f"]);
    }

    #[test]
    fn a_list_that_is_not_one_is_refused_with_the_reason() {
        for (text, reason) in [
            ("amqp://u:p@h1amqp://u:p@h2/%2f", BadBrokerUrl::NotSeparated),
            ("amqp://h1/%2famqp://h2/%2f", BadBrokerUrl::NotSeparated),
            ("amqp://h1 amqp://h2", BadBrokerUrl::NotSeparated),
            ("amqp://h1,h2/%2f", BadBrokerUrl::LooseComma),
            ("amqp://h1/%2f,", BadBrokerUrl::LooseComma),
            ("amqp://h1/%2f,sqlite:queue.sqlite", BadBrokerUrl::LooseComma),
            ("amqp://h1/%2f,amqp://", BadBrokerUrl::Malformed),
            ("amqp://h1/%2f,amqp://h2/up", BadBrokerUrl::Vhosts),
        ] {
            assert_eq!(text.parse::<BrokerUrl>(), Err(reason), "{text}");
        }
    }

    #[test]
    fn a_password_is_never_printed() {
        let url: BrokerUrl = "amqps://up:s3ntin%40l@rabbit.example:5671/up".parse().unwrap();
        assert_eq!(url.to_string(), "amqps://rabbit.example:5671/up");
        assert!(!format!("{url:?}").contains("s3ntin"));
        let bad = "amqpz://up:s3ntinel@host".parse::<BrokerUrl>().unwrap_err();
        assert!(!bad.to_string().contains("s3ntinel"));
    }
}
