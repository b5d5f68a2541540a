//! Personalities: texts that say how the model is to speak, asked for by annotations.

mod files;
mod library;
mod sheet;
mod wish;

pub(crate) use library::Library;

/// What is wrong with a personality as JSON, before it is kept: an error that does not quote it.
///
/// # Errors
/// When it is no personality, or has neither a text nor a name that may be used.
pub fn check_personality(json: &str) -> Result<(), String> {
    let found = sheet::read(json, sheet::Syntax::Json, "checked")?;
    let is_inactive = || json.contains("\"status\"");
    if found.is_empty() && !is_inactive() {
        return Err("it has no text".to_owned());
    }
    Ok(())
}
pub(crate) use wish::Wish;
