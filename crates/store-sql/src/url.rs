//! STORE_URL.

use std::path::{Path, PathBuf};

use chatbus_store::{StoreError, StoreErrorKind};
use tokio_postgres::config::{Host, SslMode};
use url::form_urlencoded;

/// Which database.
#[derive(Debug)]
pub(crate) enum Target {
    Sqlite(PathBuf),
    Postgres(Box<PostgresTarget>),
}

/// A PostgreSQL server, and how to reach it.
#[derive(Debug, Clone)]
pub(crate) struct PostgresTarget {
    pub(crate) config: tokio_postgres::Config,
    /// A file of certificates that are believed in place of the public ones.
    pub(crate) root_cert: Option<PathBuf>,
}

const RIGHT: &str =
    "it is sqlite: (a file in DATA_DIR), sqlite:PATH, or postgres://USER:PASSWORD@HOST:PORT/DATABASE";

/// Reads the URL. What it says of a wrong one never has a part of it that may be a password.
pub(crate) fn parse(url: &str, default_path: &Path) -> Result<Target, StoreError> {
    let (scheme, rest) = url.split_once(':').ok_or_else(|| wrong("it has no scheme"))?;
    match scheme {
        "sqlite" => sqlite(rest, default_path).map(Target::Sqlite),
        "postgres" | "postgresql" => postgres(url).map(|target| Target::Postgres(Box::new(target))),
        _ => Err(wrong("its scheme is not known")),
    }
}

fn sqlite(path: &str, default_path: &Path) -> Result<PathBuf, StoreError> {
    match path {
        "" => Ok(default_path.to_owned()),
        _ if path.starts_with("//") => {
            Err(wrong("the path of an SQLite file has no slashes in front of it but its own"))
        }
        // What SQLite itself would take for a database in memory, which each connection has for itself.
        _ if path.starts_with(':') => Err(wrong("an SQLite store is a file")),
        _ if path.contains('\0') => Err(wrong("its path has NUL")),
        _ => Ok(PathBuf::from(path)),
    }
}

fn postgres(url: &str) -> Result<PostgresTarget, StoreError> {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    // The client does not know this parameter of libpq's.
    let is_root = |pair: &&str| pair.starts_with("sslrootcert=");
    let mut root_cert = None;
    for pair in query.split('&').filter(is_root) {
        let mut decoded = form_urlencoded::parse(pair.as_bytes());
        root_cert = decoded.next().map(|(_, path)| PathBuf::from(path.as_ref()));
    }
    let rest: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty() && !is_root(pair)).collect();
    let url = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
    let mut config: tokio_postgres::Config = url
        .parse()
        .map_err(|_| wrong("it is not one of PostgreSQL, or has a parameter that is not known"))?;
    if config.get_hosts().is_empty() {
        return Err(wrong("it names no host"));
    }
    if config.get_user().is_none() {
        return Err(wrong("it names no user"));
    }
    // On this machine nobody listens in between, and servers there seldom have a certificate.
    if config.get_ssl_mode() == SslMode::Prefer && config.get_hosts().iter().all(is_here) {
        config.ssl_mode(SslMode::Disable);
    }
    if config.get_application_name().is_none() {
        config.application_name("chatbus");
    }
    Ok(PostgresTarget { config, root_cert })
}

fn is_here(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

fn wrong(why: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Misconfigured, format!("STORE_URL cannot be used: {why}; {RIGHT}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Result<Target, StoreError> {
        parse(url, Path::new("/data/store.db"))
    }

    #[test]
    fn an_sqlite_url_names_a_file_or_the_one_in_data_dir() {
        for (url, path) in [
            ("sqlite:", "/data/store.db"),
            ("sqlite:a/b.db", "a/b.db"),
            ("sqlite:/a b.db", "/a b.db"),
            ("sqlite:file:x?mode=memory", "file:x?mode=memory"),
        ] {
            assert!(matches!(parsed(url), Ok(Target::Sqlite(found)) if found == Path::new(path)), "{url}");
        }
    }

    #[test]
    fn a_wrong_url_says_what_is_right_and_never_the_password() {
        for url in [
            "",
            "store.db",
            "mysql://u:hunter2@h/d",
            "sqlite://a.db",
            "sqlite::memory:",
            "postgres:",
            "postgres://",
            "postgres:///hunter2",
            "postgres://h/d",
            "postgres://u:hunter2@h:port/d",
            "postgres://u:hunter2@h/d?hunter2=1",
            "postgres://u:hunter2@h/d?sslmode=hunter2",
        ] {
            let error = parsed(url).expect_err(url);
            assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{url}");
            let said = format!("{error} {error:?}");
            assert!(said.contains("sqlite:PATH") && !said.contains("hunter2"), "{url}: {said}");
        }
    }

    #[test]
    fn a_postgres_url_is_encrypted_unless_the_server_is_on_this_machine_or_it_says_otherwise() {
        for (url, mode) in [
            ("postgres://u:p@db.example.org/d", SslMode::Prefer),
            ("postgresql://u:p@db.example.org/d?sslmode=require", SslMode::Require),
            ("postgres://u:p@db.example.org/d?sslmode=disable", SslMode::Disable),
            ("postgres://u:p@127.0.0.1:5/d", SslMode::Disable),
            ("postgres://u:p@localhost/d?sslmode=require&sslrootcert=/ca.pem", SslMode::Require),
            ("postgres://u:p@localhost/d?sslrootcert=%2Fca.pem", SslMode::Disable),
            ("postgres://u:p@one.example.org:5,two.example.org:6/d?connect_timeout=3", SslMode::Prefer),
            ("postgres://u:p@%2Frun%2Fpostgresql/d", SslMode::Disable),
        ] {
            let Ok(Target::Postgres(target)) = parsed(url) else { panic!("{url}") };
            assert_eq!(target.config.get_ssl_mode(), mode, "{url}");
            assert_eq!(target.root_cert.is_some(), url.contains("ca.pem"), "{url}");
        }
    }
}
