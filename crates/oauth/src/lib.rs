//! Logins on platforms, and the tokens they give.
