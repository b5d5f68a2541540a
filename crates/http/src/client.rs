//! Whole requests and whole answers.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::body::Incoming;
use hyper::{HeaderMap, Request, Response, StatusCode};

use crate::transport::{self, Http, Sent, next_bytes};
use crate::{NotPublic, Reach};

/// Asks, within a time limit, for answers of a bounded size. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct HttpClient {
    http: Http,
    within: Duration,
    most: usize,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// Why nothing did.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// No connection: nothing went out.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// No connection, because it would leave the client's [`Reach`]: nothing went out.
    #[error(transparent)]
    NotPublic(NotPublic),
    /// The connection ended before the answer was whole: what was asked may have been done.
    #[error("the connection ended before its answer: {0}")]
    Lost(String),
    /// No answer in time: what was asked may have been done.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The answer is longer than is taken; what was asked was done.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
}

// === impl HttpClient ===

impl HttpClient {
    /// A client whose answers come within this time and have at most so many bytes.
    ///
    /// # Errors
    /// When the provider of cryptography supports no protocol version, which the one named here does.
    pub fn new(within: Duration, most: usize) -> Result<Self, rustls::Error> {
        Self::reaching(Reach::Anywhere, within, most)
    }

    /// As [`HttpClient::new`], one that connects to addresses within this reach.
    ///
    /// # Errors
    /// As [`HttpClient::new`].
    pub fn reaching(reach: Reach, within: Duration, most: usize) -> Result<Self, rustls::Error> {
        Ok(Self { http: transport::client_within(reach)?, within, most })
    }

    /// Asks.
    ///
    /// # Errors
    /// When no whole answer comes; [`HttpError::is_unsent`] tells whether asking again can do a thing twice.
    pub async fn ask(&self, request: Request<Sent>) -> Result<Answer, HttpError> {
        let asking = async {
            let response = self.http.request(request).await.map_err(|error| match not_public(&error) {
                Some(refused) => HttpError::NotPublic(refused),
                None if error.is_connect() => HttpError::Unreachable(causes(&error)),
                None => HttpError::Lost(causes(&error)),
            })?;
            self.read(response).await
        };
        tokio::time::timeout(self.within, asking).await.unwrap_or(Err(HttpError::TimedOut(self.within)))
    }

    async fn read(&self, mut response: Response<Incoming>) -> Result<Answer, HttpError> {
        let mut body = BytesMut::new();
        while let Some(more) =
            next_bytes(&mut response).await.map_err(|error| HttpError::Lost(causes(&error)))?
        {
            if body.len() + more.len() > self.most {
                return Err(HttpError::TooLong(self.most));
            }
            body.extend_from_slice(&more);
        }
        let (parts, _) = response.into_parts();
        Ok(Answer { status: parts.status, headers: parts.headers, body: body.freeze() })
    }
}

// === impl Answer ===

impl Answer {
    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

// === impl HttpError ===

impl HttpError {
    /// Whether nothing can have reached the other side.
    pub fn is_unsent(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::NotPublic(_))
    }
}

/// Whether an error came of an address that must not be connected to.
fn not_public(error: &(dyn std::error::Error + 'static)) -> Option<NotPublic> {
    let mut chain = std::iter::successors(Some(error), |error| error.source());
    chain.find_map(|error| error.downcast_ref::<NotPublic>().cloned())
}

/// An error with what led to it: the outer one alone often says nothing.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    async fn ask(url: &str) -> Result<Answer, HttpError> {
        let client = HttpClient::new(Duration::from_millis(300), 16).unwrap();
        client.ask(Request::get(url).body(Full::default()).unwrap()).await
    }

    /// Asks a server that answers with these bytes and closes the connection, or, with none, says nothing.
    async fn answered(answer: &[u8]) -> Result<Answer, HttpError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let serving = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut asked = [0; 1024];
            assert!(socket.read(&mut asked).await.unwrap() > 0);
            socket.write_all(answer).await.unwrap();
            if answer.is_empty() {
                std::future::pending::<()>().await;
            }
            drop(socket);
            std::future::pending().await
        };
        tokio::select! {
            result = ask(&url) => result,
            result = serving => result,
        }
    }

    #[tokio::test]
    async fn an_answer_is_whole_and_a_redirect_is_an_answer() {
        let bytes = b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 2\r\n\r\nhi";
        let answer = answered(bytes).await.unwrap();
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (302, &b"hi"[..]));
        assert_eq!(answer.header("Location"), Some("http://127.0.0.1:1/"));
    }

    #[tokio::test]
    async fn what_is_not_public_is_not_connected_to_whether_it_is_named_or_written_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = HttpClient::reaching(Reach::Public, Duration::from_secs(5), 16).unwrap();
        for origin in [
            "http://127.0.0.1",
            "https://127.0.0.1",
            "http://localhost",
            "https://localhost",
            "http://[::1]",
            "https://[::ffff:127.0.0.1]",
            // Forms of the same address that only the system's resolver knows.
            "http://127.1",
            "http://2130706433",
            "http://0x7f.1",
        ] {
            let request = Request::get(format!("{origin}:{port}/")).body(Full::default());
            let refused = client.ask(request.unwrap()).await.unwrap_err();
            assert!(matches!(refused, HttpError::NotPublic(_)), "{origin}: {refused}");
            assert!(refused.is_unsent());
        }
        let nobody = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(nobody.is_err(), "somebody connected");
    }

    #[tokio::test]
    async fn only_a_connection_that_never_was_has_sent_nothing() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let refused = ask(&format!("http://{closed}/")).await.unwrap_err();
        assert!(matches!(refused, HttpError::Unreachable(_)) && refused.is_unsent(), "{refused}");
        for (answer, expected) in [
            (&b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhi"[..], "ended before"),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 17\r\n\r\n12345678901234567", "longer than 16"),
            (b"", "no answer within"),
        ] {
            let error = answered(answer).await.unwrap_err();
            assert!(error.to_string().contains(expected) && !error.is_unsent(), "{error}");
        }
    }
}
