//! Twilio as a platform.
