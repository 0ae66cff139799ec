//! The broker setting.

use std::{fmt, path::PathBuf, str::FromStr};

/// The embedded queue in a file, or RabbitMQ.
#[derive(Clone, PartialEq, Eq)]
pub enum BrokerUrl {
    /// `sqlite:///absolute/path/to/file`, or `sqlite:relative`.
    Sqlite(PathBuf),
    /// `amqp://…` or `amqps://…`, credentials included: never printed.
    Amqp(String),
}

/// The text is not a broker URL. The error does not repeat it, because it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a broker URL; expected sqlite:///var/lib/up/queue.sqlite or amqps://user:password@host/vhost")]
pub struct BadBrokerUrl;

impl FromStr for BrokerUrl {
    type Err = BadBrokerUrl;

    fn from_str(text: &str) -> Result<Self, BadBrokerUrl> {
        if let Some(rest) = text.strip_prefix("sqlite:") {
            let foreign = rest.starts_with("//") && !rest.starts_with("///");
            let path = rest.strip_prefix("//").unwrap_or(rest);
            return if foreign || path.is_empty() {
                Err(BadBrokerUrl)
            } else {
                Ok(Self::Sqlite(path.into()))
            };
        }
        let host = text.strip_prefix("amqp://").or_else(|| text.strip_prefix("amqps://"));
        match host {
            Some(host) if !host.is_empty() && super::rabbitmq::is_url(text) => {
                Ok(Self::Amqp(text.to_owned()))
            }
            _ => Err(BadBrokerUrl),
        }
    }
}

impl fmt::Display for BrokerUrl {
    /// Without credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BrokerUrl::Sqlite(path) if path.is_absolute() => write!(f, "sqlite://{}", path.display()),
            BrokerUrl::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            BrokerUrl::Amqp(url) => {
                let (scheme, rest) = url.split_once("://").unwrap_or(("amqp", ""));
                let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
                write!(f, "{scheme}://{host}")
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
    fn a_password_is_never_printed() {
        let url: BrokerUrl = "amqps://up:s3ntin%40l@rabbit.example:5671/up".parse().unwrap();
        assert_eq!(url.to_string(), "amqps://rabbit.example:5671/up");
        assert!(!format!("{url:?}").contains("s3ntin"));
        let bad = "amqpz://up:s3ntinel@host".parse::<BrokerUrl>().unwrap_err();
        assert!(!bad.to_string().contains("s3ntinel"));
    }
}
