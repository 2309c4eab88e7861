//! Lists, pipelines and compound commands (POSIX.1-2024, Shell Command Language, 2.9 and 2.10).

use crate::command::{Command, Doubt, Redirection, Word};
use crate::parser::{Parsed, Parser, RESERVED};
use crate::word::RawWord;

const NO_COMMAND: Doubt = Doubt("a command is missing");

impl Parser<'_> {
    /// Commands up to the end, a `)`, a `;;` or a reserved word that ends a part of a compound command. May be empty.
    pub(crate) fn list(&mut self) -> Parsed {
        loop {
            self.lines()?;
            if self.at_list_end() {
                return Ok(());
            }
            self.and_or()?;
            self.blanks();
            if self.rest().starts_with(b";;") || self.rest().starts_with(b";&") || self.rest().starts_with(b"&|") {
                return Ok(());
            }
            let separated = self.take(b";") || (!self.rest().starts_with(b"&&") && self.take(b"&"));
            let ended = self.peek() == Some(b'\n');
            if !separated && !ended {
                return Ok(());
            }
        }
    }

    fn at_list_end(&self) -> bool {
        matches!(self.peek(), None | Some(b')'))
            || self.rest().starts_with(b";;")
            || matches!(self.reserved(), Some("then" | "elif" | "else" | "fi" | "do" | "done" | "esac" | "}"))
    }

    /// A list that must not be empty.
    fn body(&mut self) -> Parsed {
        let before = self.at;
        self.lines()?;
        if self.at_list_end() {
            return Err(NO_COMMAND);
        }
        self.at = before;
        self.list()
    }

    fn and_or(&mut self) -> Parsed {
        self.pipeline()?;
        loop {
            self.blanks();
            if !self.take(b"&&") && !self.take(b"||") {
                return Ok(());
            }
            self.lines()?;
            self.pipeline()?;
        }
    }

    fn pipeline(&mut self) -> Parsed {
        self.blanks();
        if self.reserved() == Some("!") {
            self.at += 1;
            self.blanks();
        }
        loop {
            self.command()?;
            self.blanks();
            if self.rest().starts_with(b"|&") {
                return Err(Doubt("it has a pipe that not every shell has"));
            }
            if self.rest().starts_with(b"||") || !self.take(b"|") {
                return Ok(());
            }
            self.lines()?;
        }
    }

    fn command(&mut self) -> Parsed {
        self.blanks();
        let outer = self.depth;
        self.deeper()?;
        if self.peek() == Some(b'(') {
            self.subshell()?;
        } else if let Some(word) = self.reserved() {
            self.at += word.len();
            match word {
                "{" => {
                    self.body()?;
                    self.expect("}")?;
                }
                "if" => self.conditional()?,
                "while" | "until" => {
                    self.body()?;
                    self.do_group()?;
                }
                "for" => self.for_loop()?,
                "case" => self.case()?,
                "function" | "select" | "coproc" | "[[" | "]]" | "repeat" | "foreach" | "end" => {
                    return Err(Doubt("it has a compound command that not every shell has"));
                }
                _ => return Err(Doubt("a word stands where the shell's grammar has no place for it")),
            }
        } else {
            self.simple()?;
            self.depth = outer;
            return Ok(());
        }
        let mut redirections = Vec::new();
        while self.redirection(&mut redirections)? {}
        if !redirections.is_empty() {
            self.push(Command { redirections, ..Command::default() })?;
        }
        self.depth = outer;
        Ok(())
    }

    fn subshell(&mut self) -> Parsed {
        self.at += 1;
        if self.peek() == Some(b'(') {
            return Err(Doubt("some shells read \"((\" as arithmetic and some as a command"));
        }
        self.body()?;
        self.lines()?;
        if self.take(b")") { self.nothing_pending() } else { Err(Doubt("a \")\" is missing")) }
    }

    fn conditional(&mut self) -> Parsed {
        self.body()?;
        self.expect("then")?;
        self.body()?;
        loop {
            match self.reserved() {
                Some("elif") => {
                    self.at += 4;
                    self.body()?;
                    self.expect("then")?;
                    self.body()?;
                }
                Some("else") => {
                    self.at += 4;
                    self.body()?;
                    return self.expect("fi");
                }
                _ => return self.expect("fi"),
            }
        }
    }

    fn do_group(&mut self) -> Parsed {
        self.expect("do")?;
        self.body()?;
        self.expect("done")
    }

    fn for_loop(&mut self) -> Parsed {
        let name = self.needed_word()?;
        if !name.fixed || name.quoted || !is_name(&name.text) {
            return Err(Doubt("the variable of a \"for\" is not a plain name"));
        }
        guarded(&name.text)?;
        let new_line = self.lines()?;
        if self.reserved() == Some("in") {
            self.at += 2;
            self.blanks();
            while self.word()?.is_some() {
                self.blanks();
            }
            if !self.take(b";") && self.peek() != Some(b'\n') {
                return Err(Doubt("the words of a \"for\" do not end"));
            }
        } else if !new_line {
            self.take(b";");
        }
        self.do_group()
    }

    fn case(&mut self) -> Parsed {
        self.needed_word()?;
        self.expect("in")?;
        loop {
            self.lines()?;
            if self.reserved() == Some("esac") {
                return self.expect("esac");
            }
            self.take(b"(");
            loop {
                self.needed_word()?;
                self.blanks();
                if !self.take(b"|") {
                    break;
                }
            }
            if !self.take(b")") {
                return Err(Doubt("a pattern of a \"case\" does not end"));
            }
            self.list()?;
            self.lines()?;
            if !self.take(b";;") {
                return self.expect("esac");
            }
            if matches!(self.peek(), Some(b'&' | b'|')) {
                return Err(Doubt("it has a compound command that not every shell has"));
            }
        }
    }

    fn simple(&mut self) -> Parsed {
        let mut command = Command::default();
        let (mut words, mut any) = (Vec::<Word>::new(), false);
        loop {
            self.blanks();
            if self.redirection(&mut command.redirections)? {
                any = true;
                continue;
            }
            if self.peek() == Some(b'(') {
                return self.function(&words, any);
            }
            let Some(word) = self.word()? else { break };
            if words.is_empty() {
                if let Some(name) = self.assignment(&word)? {
                    guarded(name)?;
                    command.assigned.push(name.to_owned());
                    any = true;
                    continue;
                }
                if !word.quoted && RESERVED.contains(&word.text.as_str()) {
                    return Err(Doubt("a reserved word is broken over lines"));
                }
            }
            words.push(word.into());
        }
        if words.is_empty() && !any {
            return Err(NO_COMMAND);
        }
        command.words = words;
        self.understand(command)
    }

    /// The variable that a word sets where a command may begin.
    fn assignment<'w>(&self, word: &'w RawWord) -> Parsed<Option<&'w str>> {
        let Some((name, _)) = word.text.split_once('=') else { return Ok(None) };
        if word.quoted_from.is_some_and(|q| q <= name.len()) {
            return Ok(None);
        }
        let name = name.strip_suffix('+').unwrap_or(name);
        if self.peek() == Some(b'(') || name.contains('[') {
            return Err(Doubt("it sets an array, which not every shell has"));
        }
        Ok(is_name(name).then_some(name))
    }

    /// `name() command`: what the function does counts as if it were done here.
    fn function(&mut self, words: &[Word], any: bool) -> Parsed {
        let [name] = words else { return Err(Doubt("a \"(\" stands where the shell's grammar has no place for it")) };
        if any || !name.fixed || !is_name(&name.text) {
            return Err(Doubt("the name of a function is not a plain name"));
        }
        self.at += 1;
        self.blanks();
        if !self.take(b")") {
            return Err(Doubt("a \"(\" stands where the shell's grammar has no place for it"));
        }
        self.lines()?;
        if self.peek() != Some(b'(')
            && !matches!(self.reserved(), Some("{" | "if" | "while" | "until" | "for" | "case"))
        {
            return Err(Doubt("the body of a function is not a compound command"));
        }
        self.command()
    }

    /// Takes a redirection, if one is next.
    fn redirection(&mut self, into: &mut Vec<Redirection>) -> Parsed<bool> {
        self.blanks();
        let digits = self.rest().iter().take_while(|b| b.is_ascii_digit()).count();
        let there = match self.rest().get(digits..).unwrap_or_default() {
            [b'<' | b'>', ..] => true,
            [b'&', b'>', ..] => digits == 0,
            _ => false,
        };
        if there {
            self.at += digits;
            into.extend(self.opened()?);
        }
        Ok(there)
    }
}

/// A name that a variable or a function may have.
pub(crate) fn is_name(s: &str) -> bool {
    !s.starts_with(|c: char| c.is_ascii_digit())
        && !s.is_empty()
        && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Variables that change what the words of a text mean, or what runs beside it.
pub(crate) fn guarded(name: &str) -> Parsed {
    const NAMES: [&str; 22] = [
        "PATH",
        "IFS",
        "ENV",
        "BASH_ENV",
        "SHELLOPTS",
        "BASHOPTS",
        "PS4",
        "PROMPT_COMMAND",
        "CDPATH",
        "GLOBIGNORE",
        "FPATH",
        "ZDOTDIR",
        "PYTHONPATH",
        "PYTHONSTARTUP",
        "PERL5LIB",
        "PERL5OPT",
        "RUBYOPT",
        "RUBYLIB",
        "NODE_OPTIONS",
        "LESSOPEN",
        "HISTFILE",
        "TMOUT",
    ];
    const PREFIXES: [&str; 5] = ["LD_", "DYLD_", "GIT_", "BASH_FUNC_", "GCONV_"];
    if NAMES.contains(&name) || PREFIXES.iter().any(|p| name.starts_with(p)) {
        return Err(Doubt("it sets a variable that changes which programs run"));
    }
    Ok(())
}
