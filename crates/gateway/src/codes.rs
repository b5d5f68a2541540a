//! Every code a client can meet, in one place. The tables in the crate's documentation say the same.

/// The `code` of a `chat.error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorCode {
    BadFrame,
    BadRequest,
    UnsupportedType,
    Forbidden,
    RateLimited,
    Refused,
    BusUnavailable,
    Draining,
}

/// The code of a close frame that we send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    Protocol,
    Binary,
    NotUtf8,
    TooLarge,
    Restart,
    Unauthorized,
    SlowConsumer,
    PingTimeout,
    RateLimited,
}

// === impl ErrorCode ===

impl ErrorCode {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::BadFrame => "bad_frame",
            Self::BadRequest => "bad_request",
            Self::UnsupportedType => "unsupported_type",
            Self::Forbidden => "forbidden",
            Self::RateLimited => "rate_limited",
            Self::Refused => "refused",
            Self::BusUnavailable => "bus_unavailable",
            Self::Draining => "draining",
        }
    }
}

// === impl Closing ===

impl Closing {
    pub(crate) fn code(self) -> u16 {
        match self {
            Self::Protocol => 1002,
            Self::Binary => 1003,
            Self::NotUtf8 => 1007,
            Self::TooLarge => 1009,
            Self::Restart => 1012,
            Self::Unauthorized => 4401,
            Self::SlowConsumer => 4408,
            Self::PingTimeout => 4410,
            Self::RateLimited => 4429,
        }
    }

    /// A word for logs and, where nothing better is known, for the close frame.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Protocol => "protocol_error",
            Self::Binary => "binary_refused",
            Self::NotUtf8 => "not_utf8",
            Self::TooLarge => "too_large",
            Self::Restart => "restart",
            Self::Unauthorized => "unauthorized",
            Self::SlowConsumer => "slow_consumer",
            Self::PingTimeout => "ping_timeout",
            Self::RateLimited => "rate_limited",
        }
    }
}
