//! Server-sent events, as far as this protocol uses them: only `data`. Pure; bytes may be cut anywhere.

/// Splits bytes into events.
///
/// Bounded by whoever feeds it: it holds no more than it was given since the last event ended.
#[derive(Debug, Default)]
pub(super) struct Events {
    line: Vec<u8>,
    data: Option<String>,
    /// The last byte was a CR, so an LF belongs to it.
    after_cr: bool,
    begun: bool,
}

// === impl Events ===

impl Events {
    /// Takes bytes, and gives each event's data to `each`, until it says to stop.
    pub(super) fn push<E>(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(&str) -> Result<(), E>,
    ) -> Result<(), E> {
        for byte in bytes {
            match byte {
                b'\n' if std::mem::take(&mut self.after_cr) => {}
                b'\n' | b'\r' => {
                    self.after_cr = *byte == b'\r';
                    if let Some(data) = self.end_line() {
                        each(&data)?;
                    }
                }
                _ => {
                    self.after_cr = false;
                    self.line.push(*byte);
                }
            }
        }
        Ok(())
    }

    /// The event that a blank line ends.
    fn end_line(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        let line = if self.begun { &*line } else { line.trim_start_matches('\u{feff}') };
        self.begun = true;
        if line.is_empty() {
            return self.data.take();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        if field == "data" {
            let value = value.strip_prefix(' ').unwrap_or(value);
            match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events(chunks: &[&[u8]]) -> Vec<String> {
        let (mut events, mut all) = (Events::default(), Vec::new());
        for chunk in chunks {
            let each = |data: &str| {
                all.push(data.to_owned());
                Ok::<(), ()>(())
            };
            events.push(chunk, each).unwrap();
        }
        all
    }

    #[test]
    fn data_is_what_stands_between_blank_lines() {
        let stream = "\u{feff}data: a\n\n: a comment\n\nevent: x\ndata:b\ndata: c\nid: 7\n\ndata\n\nother: d\n\ndata: cut";
        assert_eq!(events(&[stream.as_bytes()]), ["a", "b\nc", ""]);
    }

    #[test]
    fn every_kind_of_line_end_is_one() {
        for stream in ["data: a\r\n\r\ndata: b\r\n\r\n", "data: a\r\rdata: b\r\r", "data: a\n\ndata: b\n\n"] {
            assert_eq!(events(&[stream.as_bytes()]), ["a", "b"], "{stream:?}");
        }
    }

    #[test]
    fn who_says_stop_gets_no_more() {
        let mut seen = 0;
        let stopped = Events::default().push(b"data: a\n\ndata: b\n\n", |_| {
            seen += 1;
            Err("stop")
        });
        assert_eq!((stopped, seen), (Err("stop"), 1));
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_the_bytes_are_cut(
            texts in proptest::collection::vec("[^\r\n]{0,12}", 1..6),
            end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
            size in 1_usize..9,
        ) {
            let stream: String = texts.iter().map(|text| format!("data: {text}{end}{end}")).collect();
            let chunks: Vec<&[u8]> = stream.as_bytes().chunks(size).collect();
            prop_assert_eq!(events(&chunks), texts);
        }
    }
}
