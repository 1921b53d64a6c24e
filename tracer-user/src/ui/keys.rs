//! Bytes of a terminal as inputs of the view: keys, pasted text, the mouse.
//!
//! Total: any bytes are read, and none are waited for for ever. A sequence that does not go on is given up after
//! [`Parser::patience`], and a control character within one ends it and counts: Ctrl-C always arrives. Answers of the
//! terminal (`ESC ] 11 ; rgb: … ESC \`) that come after nobody waits for them are sequences too, and mean nothing; of one
//! that came just then, only the end may be left.
//!
//! Source: ECMA-48 5.4 and 8.3; xterm's `ctlseqs`, "PC-Style Function Keys", "SGR (1006)", "Bracketed Paste Mode".

use std::time::Duration;

use crate::view::input::{Input, Key};

/// A sequence arrives at once, but for what lies between two packets of a slow line.
const SEQUENCE_PATIENCE: Duration = Duration::from_millis(40);
/// What a terminal says or pastes is longer, and may come in more packets.
const TEXT_PATIENCE: Duration = Duration::from_millis(250);
/// Longest parameters of a sequence; those that mean something have up to 16 characters.
const MAX_PARAMETERS: usize = 64;
/// Longest text that is pasted: a typed line holds less.
const MAX_PASTED: usize = 4096;

/// Reads in which the end of an answer may come, whose beginning was read by who asked: those of the first second or so.
const EARLY_READS: u8 = 4;

const ESC: u8 = 0x1b;
const BEL: u8 = 0x07;
const CTRL_C: u8 = 0x03;

/// Where in a sequence the next byte stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum State {
    /// In none.
    #[default]
    Ground,
    /// Behind ESC.
    Escape,
    /// Behind `ESC [`, with what came since.
    Control(Vec<u8>),
    /// Behind `ESC O`: one more byte.
    Single,
    /// Behind `ESC [ [`, as the Linux console begins F1 to F5: one more byte.
    Console,
    /// In an answer of the terminal, which ends by BEL or `ESC \`.
    Answer,
    /// Behind ESC in an answer.
    AnswerEscape,
    /// Pasted text, until `ESC [ 201 ~`.
    Pasted(Vec<u8>),
    /// A character of more than one byte: what came of it, and how many are missing.
    Character(Vec<u8>, usize),
}

/// Reads bytes as they come, and remembers an unfinished sequence.
#[derive(Clone, Debug, Default)]
pub struct Parser {
    state: State,
    /// ESC came before the character that is read: Alt.
    is_alt: bool,
    /// How many of [`EARLY_READS`] there were.
    n_reads: u8,
}

impl Parser {
    /// How long to wait for the next byte before [`Parser::give_up`]; `None` where nothing is unfinished.
    pub fn patience(&self) -> Option<Duration> {
        match self.state {
            State::Ground => None,
            State::Answer | State::AnswerEscape | State::Pasted(_) => Some(TEXT_PATIENCE),
            _ => Some(SEQUENCE_PATIENCE),
        }
    }

    /// Nothing more came: what is unfinished ends here. A lone ESC is the key.
    pub fn give_up(&mut self) -> Option<Input> {
        match std::mem::take(&mut self.state) {
            State::Escape => Some(Input::Key(Key::Esc)),
            State::Pasted(text) => Some(pasted(&text)),
            _ => None,
        }
    }

    /// Reads bytes; inputs are added to `inputs` in their order.
    pub fn read(&mut self, bytes: &[u8], inputs: &mut Vec<Input>) {
        let is_early = self.n_reads < EARLY_READS;
        self.n_reads = self.n_reads.saturating_add(1);
        let bytes = if is_early && self.state == State::Ground {
            behind_half_an_answer(bytes)
        } else {
            bytes
        };
        for &byte in bytes {
            self.byte(byte, inputs);
        }
    }

    fn byte(&mut self, byte: u8, inputs: &mut Vec<Input>) {
        let key = |inputs: &mut Vec<Input>, key: Option<Key>| inputs.extend(key.map(Input::Key));
        match std::mem::take(&mut self.state) {
            State::Ground => self.ground(byte, false, inputs),
            State::Escape => match byte {
                b'[' => self.state = State::Control(Vec::new()),
                b'O' => self.state = State::Single,
                b']' | b'P' | b'X' | b'^' | b'_' => self.state = State::Answer,
                ESC => {
                    inputs.push(Input::Key(Key::Esc));
                    self.state = State::Escape;
                }
                0..0x20 => {
                    inputs.push(Input::Key(Key::Esc));
                    self.ground(byte, false, inputs);
                }
                _ => self.ground(byte, true, inputs),
            },
            State::Control(mut parameters) => match byte {
                b'[' if parameters.is_empty() => self.state = State::Console,
                0x20..0x40 if parameters.len() < MAX_PARAMETERS => {
                    parameters.push(byte);
                    self.state = State::Control(parameters);
                }
                b'~' if parameters == b"200" => self.state = State::Pasted(Vec::new()),
                0x40..0x7f => inputs.extend(control(&parameters, byte)),
                // Too long, or broken off: what comes next is no part of it.
                _ => self.ground(byte, false, inputs),
            },
            State::Single => match byte {
                0x40..0x7f => key(inputs, single(byte)),
                _ => self.ground(byte, false, inputs),
            },
            State::Console => match byte {
                b'A'..=b'E' => key(inputs, Some(Key::F(1 + byte - b'A'))),
                _ => self.ground(byte, false, inputs),
            },
            State::Answer => match byte {
                BEL => {}
                ESC => self.state = State::AnswerEscape,
                0..0x20 => self.ground(byte, false, inputs),
                _ => self.state = State::Answer,
            },
            State::AnswerEscape => {
                if byte != b'\\' {
                    // Another sequence begins where this one was not ended.
                    self.state = State::Escape;
                    self.byte(byte, inputs);
                }
            }
            State::Pasted(mut text) => {
                const END: &[u8] = b"\x1b[201~";
                if byte == CTRL_C {
                    // No text holds it: the end of the paste was lost, and somebody wants to get out.
                    inputs.push(pasted(&text));
                    self.ground(byte, false, inputs);
                    return;
                }
                text.push(byte);
                if let Some(text) = text.strip_suffix(END) {
                    inputs.push(pasted(text));
                    return;
                }
                if text.len() >= MAX_PASTED + END.len() {
                    // The rest is not read, and its end is still found.
                    text.drain(MAX_PASTED..=MAX_PASTED);
                }
                self.state = State::Pasted(text);
            }
            State::Character(mut bytes, missing) => {
                if byte & 0xc0 != 0x80 {
                    // It was broken off.
                    self.ground(byte, false, inputs);
                    return;
                }
                bytes.push(byte);
                if missing > 1 {
                    self.state = State::Character(bytes, missing - 1);
                    return;
                }
                let c = std::str::from_utf8(&bytes)
                    .ok()
                    .and_then(|text| text.chars().next());
                let is_alt = self.is_alt;
                key(inputs, c.map(|c| with_alt(c, is_alt)));
            }
        }
    }

    /// A byte outside of a sequence.
    fn ground(&mut self, byte: u8, is_alt: bool, inputs: &mut Vec<Input>) {
        self.is_alt = is_alt;
        let missing = match byte {
            ESC => {
                self.state = State::Escape;
                return;
            }
            0xc2..0xe0 => 1,
            0xe0..0xf0 => 2,
            0xf0..0xf5 => 3,
            _ => 0,
        };
        if missing > 0 {
            self.state = State::Character(vec![byte], missing);
            return;
        }
        let key = match byte {
            b'\r' => Key::Enter,
            b'\t' => Key::Tab,
            0x7f => Key::Backspace,
            0 => Key::Ctrl(' '),
            0x01..=0x1a => Key::Ctrl(char::from(byte - 1 + b'a')),
            0x1c..0x20 => Key::Ctrl(char::from(byte - 0x1c + b'4')),
            0x20..0x7f => with_alt(char::from(byte), is_alt),
            // No character begins so.
            _ => return,
        };
        inputs.push(Input::Key(key));
    }
}

fn with_alt(c: char, is_alt: bool) -> Key {
    if is_alt { Key::Alt(c) } else { Key::Char(c) }
}

fn pasted(text: &[u8]) -> Input {
    Input::Paste(String::from_utf8_lossy(text).replace('\r', "\n"))
}

/// The key of `ESC O` and a byte, as keypads send in application mode, or of `ESC [` and a byte.
fn single(byte: u8) -> Option<Key> {
    Some(match byte {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'C' => Key::Right,
        b'D' => Key::Left,
        b'H' => Key::Home,
        b'F' => Key::End,
        b'M' => Key::Enter,
        b'P'..=b'S' => Key::F(1 + byte - b'P'),
        _ => return None,
    })
}

/// What a control sequence means; `None` for answers, and for keys that have no name here.
fn control(parameters: &[u8], last: u8) -> Option<Input> {
    if let [b'<', mouse @ ..] = parameters {
        return click(mouse, last);
    }
    let first = number(parameters.split(|b| *b == b';').next().unwrap_or_default());
    let key = match last {
        b'~' => match first? {
            1 | 7 => Key::Home,
            3 => Key::Delete,
            4 | 8 => Key::End,
            5 => Key::PageUp,
            6 => Key::PageDown,
            n @ 11..=15 => Key::F(u8::try_from(n - 10).ok()?),
            n @ 17..=21 => Key::F(u8::try_from(n - 11).ok()?),
            n @ 23..=24 => Key::F(u8::try_from(n - 12).ok()?),
            _ => return None,
        },
        b'Z' => Key::BackTab,
        // `ESC [ 1 ; 2 R` may be the place of the cursor: only F1, F2 and F4 are taken with modifiers.
        b'A'..=b'D' | b'F' | b'H' | b'P' | b'Q' | b'S' => single(last)?,
        _ => return None,
    };
    Some(Input::Key(key))
}

fn number(digits: &[u8]) -> Option<u16> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// `ESC [ < button ; column ; row` and `M` where it was pressed: the left button, and the wheel.
fn click(parameters: &[u8], last: u8) -> Option<Input> {
    /// Bits of the button: which one, and of motion.
    const BUTTON: u16 = 0b1100_0011;
    const MOTION: u16 = 32;
    let mut numbers = parameters.split(|b| *b == b';').map(number);
    let (button, x, y) = (numbers.next()??, numbers.next()??, numbers.next()??);
    if last != b'M' || button & MOTION != 0 {
        return None;
    }
    match button & BUTTON {
        0 => Some(Input::Click {
            x: x.checked_sub(1)?,
            y: y.checked_sub(1)?,
        }),
        64 => Some(Input::Wheel { down: false }),
        65 => Some(Input::Wheel { down: true }),
        _ => None,
    }
}

/// What is left behind the end of a colour (`…e/1e1e/1e1e ESC \`), which nobody types in one piece.
fn behind_half_an_answer(bytes: &[u8]) -> &[u8] {
    let is_of_colour = |byte: &u8| byte.is_ascii_hexdigit() || b"];:/rgb".contains(byte);
    let n = bytes.iter().take_while(|byte| is_of_colour(byte)).count();
    match &bytes[n..] {
        [BEL, rest @ ..] | [ESC, b'\\', rest @ ..] if n > 0 => rest,
        _ => bytes,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Vec<Input> {
        let mut parser = Parser::default();
        let mut inputs = Vec::new();
        parser.read(bytes, &mut inputs);
        inputs.extend(parser.give_up());
        assert_eq!(parser.patience(), None);
        inputs
    }

    fn keys(keys: &[Key]) -> Vec<Input> {
        keys.iter().map(|key| Input::Key(*key)).collect()
    }

    #[test]
    fn the_end_of_an_answer_whose_beginning_was_read_means_nothing() {
        for answer in [
            &b":1e1e/1e1e/1e1e\x1b\\\x1b[?62;22cq"[..],
            b"1e\x07q",
            b"]11;rgb:ffff/ffff/ffff\x1b\\q",
        ] {
            assert_eq!(read(answer), keys(&[Key::Char('q')]), "{answer:?}");
        }
        // Where the beginning was read here, the end belongs to it.
        for (begin, end) in [
            (&b"\x1b]11;rgb:1e1e"[..], &b"/1e1e/1e1e\x1b\\q"[..]),
            (b"\x1b", b"]11;rgb:1e1e/1e1e/1e1e\x07q"),
        ] {
            let mut parser = Parser::default();
            let mut inputs = Vec::new();
            parser.read(begin, &mut inputs);
            parser.read(end, &mut inputs);
            assert_eq!(inputs, keys(&[Key::Char('q')]), "{begin:?}");
        }
        // Later it is what somebody does.
        let mut parser = Parser::default();
        let mut inputs = Vec::new();
        for _ in 0..EARLY_READS {
            parser.read(b"q", &mut inputs);
        }
        inputs.clear();
        parser.read(b"b\x1b\\", &mut inputs);
        assert_eq!(inputs, keys(&[Key::Char('b'), Key::Alt('\\')]));
    }

    #[test]
    fn keys_are_read_with_their_modifiers() {
        use Key::{Alt, Char, Ctrl};
        for (bytes, expected) in [
            (&b"aG?"[..], &[Char('a'), Char('G'), Char('?')][..]),
            (b"\x03\x1a\x0c", &[Ctrl('c'), Ctrl('z'), Ctrl('l')]),
            (
                b"\r\t\x7f\x1b[Z",
                &[Key::Enter, Key::Tab, Key::Backspace, Key::BackTab],
            ),
            (b"\x1b", &[Key::Esc]),
            (b"\x1b\x1b", &[Key::Esc, Key::Esc]),
            (b"\x1bb\x1bf", &[Alt('b'), Alt('f')]),
            (
                b"\x1b[A\x1bOB\x1b[1;5C\x1b[D",
                &[Key::Up, Key::Down, Key::Right, Key::Left],
            ),
            (
                b"\x1b[H\x1b[4~\x1b[5~\x1b[6~\x1b[3~",
                &[Key::Home, Key::End, Key::PageUp, Key::PageDown, Key::Delete],
            ),
            (
                b"\x1bOP\x1b[[A\x1b[11~\x1b[15~\x1b[24~",
                &[Key::F(1), Key::F(1), Key::F(1), Key::F(5), Key::F(12)],
            ),
            ("ü世🦀".as_bytes(), &[Char('ü'), Char('世'), Char('🦀')]),
            ("\x1bü".as_bytes(), &[Alt('ü')]),
        ] {
            assert_eq!(read(bytes), keys(expected), "{bytes:?}");
        }
    }

    #[test]
    fn a_late_answer_of_the_terminal_is_no_keys() {
        for end in ["\x1b\\", "\x07"] {
            let answer = format!("\x1b]11;rgb:1e1e/bbbb/ffff{end}\x1b[?62;22cr");
            assert_eq!(read(answer.as_bytes()), keys(&[Key::Char('r')]));
        }
        // A user who types Alt-] loses no later command.
        let mut parser = Parser::default();
        let mut inputs = Vec::new();
        parser.read(b"\x1b]", &mut inputs);
        assert_eq!(parser.give_up(), None);
        parser.read(b"q", &mut inputs);
        assert_eq!(inputs, keys(&[Key::Char('q')]));
    }

    #[test]
    fn an_unfinished_sequence_swallows_nothing() {
        for unfinished in [
            "\x1b[",
            "\x1b[1;",
            "\x1bO",
            "\x1b]11;rgb",
            "\x1b[[",
            "\x1b[<0;1",
        ] {
            // At once: a control character ends it.
            let typed = format!("{unfinished}\x03");
            assert_eq!(read(typed.as_bytes()), keys(&[Key::Ctrl('c')]), "{typed:?}");
            // After a while: it is given up.
            let mut parser = Parser::default();
            let mut inputs = Vec::new();
            parser.read(unfinished.as_bytes(), &mut inputs);
            assert!(parser.patience().is_some());
            assert_eq!(parser.give_up(), None);
            parser.read(b"q", &mut inputs);
            assert_eq!(inputs, keys(&[Key::Char('q')]), "{unfinished:?}");
        }
    }

    #[test]
    fn the_mouse_clicks_and_turns_its_wheel() {
        assert_eq!(
            read(b"\x1b[<0;12;3M\x1b[<0;12;3m\x1b[<32;12;4M\x1b[<64;1;1M\x1b[<65;1;1M\x1b[<2;1;1M"),
            [
                Input::Click { x: 11, y: 2 },
                Input::Wheel { down: false },
                Input::Wheel { down: true },
            ]
        );
    }

    #[test]
    fn pasted_text_is_no_keys() {
        let text = "q\rD".repeat(10);
        let typed = format!("\x1b[200~{text}\x1b[201~j");
        let expected = [
            Input::Paste(text.replace('\r', "\n")),
            Input::Key(Key::Char('j')),
        ];
        assert_eq!(read(typed.as_bytes()), expected);
        let open = read(b"\x1b[200~q\x03");
        assert_eq!(
            open,
            [Input::Paste("q".into()), Input::Key(Key::Ctrl('c'))],
            "Ctrl-C gets out of a paste that nothing ends"
        );
        let long = format!("\x1b[200~{}\x1b[201~j", "x".repeat(3 * MAX_PASTED));
        let inputs = read(long.as_bytes());
        assert_eq!(inputs.len(), 2);
        assert!(matches!(&inputs[0], Input::Paste(text) if text.len() <= MAX_PASTED + 6));
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_are_read(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..8)) {
            // In the first reads it matters what comes in one piece.
            let later = || Parser { n_reads: EARLY_READS, ..Parser::default() };
            let mut parser = later();
            let mut inputs = Vec::new();
            for piece in &pieces {
                parser.read(piece, &mut inputs);
            }
            let mut whole = Vec::new();
            let mut other = later();
            other.read(&pieces.concat(), &mut whole);
            prop_assert_eq!(&inputs, &whole);
            parser.give_up();
            let before = inputs.len();
            parser.read(b"\x03", &mut inputs);
            prop_assert_eq!(&inputs[before..], &[Input::Key(Key::Ctrl('c'))]);
        }
    }
}
