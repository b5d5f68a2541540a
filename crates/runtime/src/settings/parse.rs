//! How texts become values.

use super::Kind;

/// `1 true yes on` or `0 false no off`, in any case.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Some(true),
        "0" | "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// Texts split at commas and white space.
pub fn parse_list(text: &str) -> Vec<String> {
    text.split(|c: char| c == ',' || c.is_whitespace())
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

/// A number of bytes: digits, then nothing or one of `B KB MB GB KiB MiB GiB`.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let factor: u64 = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "kib" | "k" => 1 << 10,
        "mib" | "m" => 1 << 20,
        "gib" | "g" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor)
}

impl Kind {
    /// Whether the text is a value of this kind; if not, what would be right.
    pub(super) fn check(self, text: &str) -> Result<(), String> {
        match self {
            Self::Text | Self::Secret | Self::List | Self::Path => Ok(()),
            Self::Bool => parse_bool(text)
                .map(drop)
                .ok_or_else(|| "use one of 1 true yes on, 0 false no off".to_owned()),
            Self::Integer { min, max } | Self::Millis { min, max } => {
                let unit = if matches!(self, Self::Millis { .. }) { " of milliseconds" } else { "" };
                match text.trim().parse::<u64>() {
                    Ok(n) if (min..=max).contains(&n) => Ok(()),
                    _ => Err(format!("use a whole number{unit} from {min} to {max}")),
                }
            }
            Self::Bytes => {
                parse_bytes(text).map(drop).ok_or_else(|| "use a size such as 64 MiB or 65536".to_owned())
            }
            Self::Choice(words) if words.contains(&text.trim()) => Ok(()),
            Self::Choice(words) => Err(format!("use one of {}", words.join(" "))),
            Self::Urls(schemes) => parse_list(text).iter().try_for_each(|url| check_url(url, schemes)),
        }
    }
}

impl Kind {
    /// The text as it may be shown: no secret, and no user name or password of a URL.
    pub(super) fn shown(self, text: &str) -> String {
        match self {
            Self::Secret => "********".to_owned(),
            Self::Urls(_) => {
                parse_list(text).iter().map(|url| without_user(url)).collect::<Vec<_>>().join(",")
            }
            // Some texts are URLs, too.
            Self::Text => without_user(text),
            _ => text.to_owned(),
        }
    }
}

fn without_user(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://********@{host}"),
        _ => url.to_owned(),
    }
}

fn check_url(url: &str, schemes: &[&str]) -> Result<(), String> {
    let wanted = || format!("use a URL that begins with {}", schemes.join(":// or ") + "://");
    let (scheme, rest) = url.split_once("://").ok_or_else(wanted)?;
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    if schemes.contains(&scheme) && !host.is_empty() && !host.starts_with(['/', ':']) {
        Ok(())
    } else {
        Err(wanted())
    }
}
