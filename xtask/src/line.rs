//! Command lines, to run and to print.

use std::env;
use std::fmt;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

/// A command line. Displays as what a person types to run it again.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Line {
    variables: Vec<(&'static str, String)>,
    words: Vec<String>,
}

impl Line {
    /// Makes the line whose words stand in `words`.
    pub(crate) fn new(words: &str) -> Self {
        Self {
            variables: Vec::new(),
            words: words.split_whitespace().map(str::to_owned).collect(),
        }
    }

    /// Makes a line that runs the program at `path`, which may contain spaces.
    pub(crate) fn program(path: &Path) -> Self {
        Self::new("").arg(path.to_string_lossy())
    }

    pub(crate) fn arg(mut self, word: impl Into<String>) -> Self {
        self.words.push(word.into());
        self
    }

    pub(crate) fn args<W: Into<String>>(self, words: impl IntoIterator<Item = W>) -> Self {
        words.into_iter().fold(self, Self::arg)
    }

    pub(crate) fn var(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// Runs the command on our terminal.
    pub(crate) fn run(&self) -> io::Result<ExitStatus> {
        self.tell(self.command().status())
    }

    /// Runs the command and returns what it wrote, whether it succeeded or not.
    pub(crate) fn output(&self) -> io::Result<(ExitStatus, String)> {
        let output = self.tell(self.command().stdin(Stdio::null()).output())?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok((output.status, text))
    }

    /// Runs the command, passes on what it writes, and shows each line of it to `seen`, without
    /// colours.
    ///
    /// Both of its outputs go through one pipe, so that their lines keep their order.
    pub(crate) fn watch(
        &self,
        out: &mut impl Write,
        mut seen: impl FnMut(&str),
    ) -> io::Result<ExitStatus> {
        let (reader, writer) = io::pipe()?;
        let mut command = self.command();
        if io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none() {
            command.env("CARGO_TERM_COLOR", "always");
        }
        let child = command.stdout(writer.try_clone()?).stderr(writer).spawn();
        let mut child = self.tell(child)?;
        // The command holds the ends to write to, and the pipe must close with the child's own.
        drop(command);

        let mut reader = BufReader::new(reader);
        let mut bytes = Vec::new();
        while reader.read_until(b'\n', &mut bytes)? > 0 {
            out.write_all(&bytes)?;
            out.flush()?;
            seen(plain(&String::from_utf8_lossy(&bytes)).trim_end());
            bytes.clear();
        }
        child.wait()
    }

    fn command(&self) -> Command {
        let program = match self.words[0].as_str() {
            // The very cargo that runs us, not another one on the path.
            "cargo" => env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()),
            program => program.to_owned(),
        };
        let mut command = Command::new(program);
        command
            .args(&self.words[1..])
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    fn tell<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| io::Error::new(error.kind(), format!("`{self}`: {error}")))
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.variables {
            write!(f, "{name}={} ", quoted(value))?;
        }
        let words: Vec<_> = self.words.iter().map(|word| quoted(word)).collect();
        f.write_str(&words.join(" "))
    }
}

fn quoted(word: &str) -> String {
    if word.contains([' ', '*', '$']) {
        format!("'{word}'")
    } else {
        word.to_owned()
    }
}

/// Returns `text` without terminal colours: escape sequences that end with a letter.
fn plain(text: &str) -> String {
    let mut pieces = text.split('\x1b');
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |plain, piece| {
        let end = piece.find(|letter: char| letter.is_ascii_alphabetic());
        plain + end.map_or("", |end| &piece[end + 1..])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn displays_as_it_is_typed() {
        let line = Line::new("cargo doc --no-deps")
            .arg("a b")
            .var("RUSTDOCFLAGS", "-D warnings");

        assert_eq!(
            line.to_string(),
            "RUSTDOCFLAGS='-D warnings' cargo doc --no-deps 'a b'"
        );
    }

    #[test]
    fn watches_both_outputs_in_their_order() {
        let line = Line::new("sh -c").arg("echo one; echo two >&2; printf three; exit 3");
        let (mut out, mut lines) = (Vec::new(), Vec::new());

        let status = line.watch(&mut out, |line| lines.push(line.to_owned()));

        assert_eq!(out, b"one\ntwo\nthree");
        assert_eq!(lines, ["one", "two", "three"]);
        assert_eq!(status.unwrap().code(), Some(3));
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = Line::new("no-such-program --help").run().unwrap_err();

        assert!(error.to_string().contains("`no-such-program --help`"));
    }

    #[test]
    fn colours_are_taken_off() {
        assert_eq!(
            plain("\x1b[1m\x1b[32m   Running\x1b[0m it"),
            "   Running it"
        );
    }
}
