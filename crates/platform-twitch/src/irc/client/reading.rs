//! From bytes that were read to what the session makes of each line.

use super::{Client, State};
use crate::irc::grammar::Message;
use crate::irc::lines::LineBuffer;
use crate::irc::session::{Input, Output};

/// Which connection a line is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Newest,
    Former,
    /// One that was ended by a line before it.
    Ended,
}

// === impl Client ===

impl Client {
    /// Parses all whole lines. The session sees each before the next, since a line may end it all;
    /// what was read beyond that line is still published, and so is what was read by a connection that a
    /// report of what it wrote has just made us give up.
    pub(super) fn read(&mut self, state: &mut State) {
        let mut lines = std::mem::take(&mut state.lines);
        let from = if state.link.is_some() { From::Newest } else { From::Ended };
        let from = self.read_lines(state, &mut lines, from);
        match &mut state.former {
            // It stepped down because of one of these lines, and the next one is its own.
            Some(former) if from == From::Former => former.lines = lines,
            _ => state.lines = lines,
        }
    }

    /// The same for what the former connection has read.
    pub(super) fn read_former(&mut self, state: &mut State) {
        let Some(former) = &mut state.former else { return };
        let mut lines = std::mem::take(&mut former.lines);
        self.read_lines(state, &mut lines, From::Former);
        match &mut state.former {
            Some(former) => former.lines = lines,
            None => state.cut_before += lines.cut(),
        }
    }

    /// Gives whose the lines were in the end.
    fn read_lines(&mut self, state: &mut State, lines: &mut LineBuffer, mut from: From) -> From {
        let received_at = self.runtime.clock.now();
        let now = self.runtime.clock.instant();
        let mut outputs = std::mem::take(&mut state.outputs);
        while let Some(line) = lines.next_line() {
            let text = line.text();
            let message = match Message::parse(&text) {
                Ok(message) => message,
                Err(why) => {
                    if from == From::Newest {
                        self.lock().on(Input::Noise, now, &mut outputs);
                    }
                    if !state.stopping {
                        self.outlet.push(self.normalizer.malformed(line, why, received_at));
                        state.tally.events += 1;
                    }
                    continue;
                }
            };
            match from {
                From::Newest => self.lock().on(Input::Line(&message), now, &mut outputs),
                From::Former => self.lock().on(Input::FormerLine(&message), now, &mut outputs),
                From::Ended => outputs.push(Output::Publish),
            }
            for output in outputs.drain(..) {
                match output {
                    Output::Publish if !state.stopping => {
                        self.outlet.push(self.normalizer.line(&message, line, received_at));
                        state.tally.events += 1;
                    }
                    Output::PublishOwn(own) => {
                        self.outlet.push(self.normalizer.own(&message, &own, received_at));
                        state.tally.sent += 1;
                    }
                    other => {
                        from = match (&other, from) {
                            (Output::Close, From::Newest) | (Output::CloseFormer, From::Former) => {
                                From::Ended
                            }
                            (Output::StepDown, From::Newest) => From::Former,
                            (_, from) => from,
                        };
                        self.act(state, other);
                    }
                }
            }
        }
        state.outputs = outputs;
        from
    }
}
