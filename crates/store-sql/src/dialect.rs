//! Where the two databases say the same in different words.

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

// === impl Dialect ===

impl Dialect {
    /// Whether a text holds the one of this parameter, whatever the case of ASCII letters.
    pub(crate) fn contains(self, column: &str, parameter: usize) -> String {
        match self {
            // Without extensions its `lower` knows ASCII alone.
            Self::Sqlite => format!("instr(lower({column}), lower(?{parameter})) > 0"),
            Self::Postgres => {
                format!(
                    "position(lower(?{parameter}::text COLLATE \"C\") in lower({column} COLLATE \"C\")) > 0"
                )
            }
        }
    }

    /// Whether a column is one of the texts in the JSON array of this parameter.
    pub(crate) fn is_among(self, column: &str, parameter: usize) -> String {
        match self {
            Self::Sqlite => format!("{column} IN (SELECT value FROM json_each(?{parameter}))"),
            Self::Postgres => {
                format!("{column} IN (SELECT jsonb_array_elements_text(?{parameter}::text::jsonb))")
            }
        }
    }

    /// Behind a selection of rows to remove: those that somebody else is at are passed over.
    pub(crate) fn skip_locked(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR UPDATE SKIP LOCKED",
        }
    }

    /// The larger of two that both stand.
    pub(crate) fn larger(self) -> &'static str {
        match self {
            Self::Sqlite => "max",
            Self::Postgres => "greatest",
        }
    }

    /// The smaller of two that both stand.
    pub(crate) fn smaller(self) -> &'static str {
        match self {
            Self::Sqlite => "min",
            Self::Postgres => "least",
        }
    }
}
