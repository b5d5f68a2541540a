//! Rust source as the checks and the coverage count see it: without comments, and without what only tests compile.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// One source, twice, byte for byte as long as the original, so that lines agree.
pub(crate) struct Code {
    /// Comments and test code are blank.
    pub(crate) text: String,
    /// What stands in string and character literals is blank too.
    pub(crate) skeleton: String,
}

/// All `.rs` files of a crate's sources but those of its tests.
pub(crate) fn production_files(package: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    collect(&package.join("src"), &mut files)?;
    // A module that only tests compile is a file of its own, or a folder.
    let mut tests = Vec::new();
    for file in &files {
        let source = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        tests.extend(test_modules(&source).iter().map(|module| module_home(file).join(module)));
    }
    files.retain(|file| {
        !tests.iter().any(|test| file.starts_with(test) || *file == test.with_extension("rs"))
    });
    files.sort();
    Ok(files)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let is_tests = path.file_stem().is_some_and(|stem| stem == "tests");
        if path.is_dir() && !is_tests {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") && !is_tests {
            files.push(path);
        }
    }
    Ok(())
}

/// The folder in which a file's modules are.
fn module_home(file: &Path) -> PathBuf {
    let folder = file.parent().unwrap_or(Path::new("")).to_owned();
    match file.file_stem().and_then(|stem| stem.to_str()) {
        Some("lib" | "main" | "mod") | None => folder,
        Some(stem) => folder.join(stem),
    }
}

/// The source without comments and without test code.
pub(crate) fn production(source: &str) -> Code {
    let mut code = lex(source);
    for range in test_items(&code.skeleton) {
        blank(&mut code.text, range.clone());
        blank(&mut code.skeleton, range);
    }
    code
}

/// The names of the modules in other files that are compiled for tests only.
fn test_modules(source: &str) -> Vec<String> {
    let skeleton = lex(source).skeleton;
    let declared = test_items(&skeleton).into_iter().filter_map(|range| {
        let item = skeleton[range].trim_end().strip_suffix(';')?.to_owned();
        let (_, name) = item.rsplit_once("mod ")?;
        Some(name.trim().to_owned())
    });
    declared.collect()
}

/// Each `#[cfg(test)]` with the item after it: to its semicolon, or to the end of its block.
fn test_items(skeleton: &str) -> Vec<Range<usize>> {
    const MARK: &str = "#[cfg(test)]";
    let mut items = Vec::new();
    let mut from = 0;
    while let Some(at) = skeleton[from..].find(MARK) {
        let start = from + at;
        let end = item_end(skeleton, start + MARK.len());
        items.push(start..end);
        from = end;
    }
    items
}

fn item_end(skeleton: &str, start: usize) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in skeleton.bytes().enumerate().skip(start) {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            b';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    skeleton.len()
}

fn blank(text: &mut String, range: Range<usize>) {
    let blanked =
        text[range.clone()].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect::<String>();
    text.replace_range(range, &blanked);
}

/// What the lexer is in.
enum Token {
    Code,
    /// A comment, to its end.
    Comment,
    /// A literal's inside.
    Literal,
}

/// Finds comments and literals, as far as telling code from them needs it.
fn lex(source: &str) -> Code {
    let bytes = source.as_bytes();
    let (mut text, mut skeleton) = (Vec::with_capacity(bytes.len()), Vec::with_capacity(bytes.len()));
    let mut at = 0;
    while at < bytes.len() {
        let (token, length) = token(source, at);
        for byte in &bytes[at..at + length] {
            let kept = if *byte == b'\n' { b'\n' } else { b' ' };
            text.push(if matches!(token, Token::Comment) { kept } else { *byte });
            skeleton.push(if matches!(token, Token::Code) { *byte } else { kept });
        }
        at += length;
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    Code { text, skeleton: String::from_utf8_lossy(&skeleton).into_owned() }
}

/// The token at this place, and its length in bytes, never 0.
fn token(source: &str, at: usize) -> (Token, usize) {
    let rest = &source[at..];
    if rest.starts_with("//") {
        return (Token::Comment, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (Token::Comment, block_comment(rest));
    }
    if rest.starts_with('"') {
        return (Token::Literal, string(rest));
    }
    if rest.starts_with('\'') {
        return match character(rest) {
            Some(length) => (Token::Literal, length),
            None => (Token::Code, 1),
        };
    }
    // `r"…"` and `r#"…"#`, also after `b` and `c`; a name that ends in r is read as a whole below.
    for prefix in ["r", "br", "cr"] {
        if let Some(length) = rest.strip_prefix(prefix).and_then(raw_string) {
            return (Token::Literal, prefix.len() + length);
        }
    }
    let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    (Token::Code, word.max(rest.chars().next().map_or(1, char::len_utf8)))
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        let tail = &rest.as_bytes()[at..];
        if tail.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if tail.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn string(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn raw_string(rest: &str) -> Option<usize> {
    let hashes = rest.bytes().take_while(|byte| *byte == b'#').count();
    let inside = rest[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(inside.find(&end).map_or(rest.len(), |at| hashes + 1 + at + end.len()))
}

/// The length of a character literal; `None` for a lifetime.
fn character(rest: &str) -> Option<usize> {
    let inside = &rest[1..];
    if let Some(escaped) = inside.strip_prefix('\\') {
        // The escaped character itself may be a quote.
        return escaped.get(1..)?.find('\'').map(|end| end + 4);
    }
    let first = inside.chars().next()?;
    inside[first.len_utf8()..].starts_with('\'').then(|| first.len_utf8() + 2)
}

#[cfg(test)]
mod tests;
