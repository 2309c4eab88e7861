//! Programs that run others: the command within the command is found, too.

use crate::command::{Command, Doubt, Word};
use crate::grammar::{guarded, is_name};
use crate::parser::{Parsed, Parser, parse_into};
use crate::programs::{SHELLS, SUBSCRIPTING, UNREADABLE, WRAPPERS, Wrapper};

impl Parser<'_> {
    /// Adds a command, and what it runs.
    pub(crate) fn understand(&mut self, command: Command) -> Parsed {
        let Some(program) = command.words.first() else { return self.push(command) };
        if !program.fixed {
            return Err(Doubt("the name of a program is not fixed"));
        }
        if program.text.is_empty() || !program.text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Doubt("the name of a program has characters outside of ASCII, or none"));
        }
        let outer = self.depth;
        self.deeper()?;
        let (name, words, more) = (command.name().to_owned(), command.words.clone(), command.more);
        let named = &name as &str;
        self.push(command)?;
        let arguments = words.get(1..).unwrap_or_default();
        if UNREADABLE.contains(&named) {
            return Err(Doubt("it changes what the shell makes of later words, or runs a text that is not in it"));
        }
        if SUBSCRIPTING.contains(&named) {
            subscripts(arguments)?;
        }
        if matches!(named, "export" | "declare" | "typeset" | "local" | "readonly" | "read" | "unset") {
            for word in arguments {
                guarded(word.text.split('=').next().unwrap_or_default())?;
            }
        }
        match named {
            "eval" => self.texts(&arguments.iter().collect::<Vec<_>>())?,
            "trap" => {
                if let Some(action) = arguments.iter().find(|w| w.text != "--") {
                    self.texts(&[action])?;
                }
            }
            "find" => self.find(arguments)?,
            "busybox" | "toybox" => self.inner(arguments, more)?,
            _ if SHELLS.contains(&named) => self.shell(arguments)?,
            _ => {
                if let Some(wrapper) = WRAPPERS.iter().find(|w| w.name == named) {
                    self.wrapped(wrapper, arguments, more)?;
                }
            }
        }
        self.depth = outer;
        Ok(())
    }

    /// Words that are joined and read as a text.
    fn texts(&mut self, words: &[&Word]) -> Parsed {
        if words.iter().any(|w| !w.fixed) {
            return Err(Doubt("a text that is run is not fixed"));
        }
        let joined: Vec<&str> = words.iter().map(|w| w.text.as_str()).collect();
        parse_into(joined.join(" ").as_bytes(), self.depth, self.out)
    }

    fn inner(&mut self, words: &[Word], more: bool) -> Parsed {
        if words.is_empty() {
            return if more { Err(Doubt("the name of a program is not fixed")) } else { Ok(()) };
        }
        self.understand(Command { words: words.to_vec(), more, ..Command::default() })
    }

    fn wrapped(&mut self, wrapper: &Wrapper, arguments: &[Word], more: bool) -> Parsed {
        const HOW: Doubt = Doubt("a program that runs another is called in a way that is not known");
        let mut at = 0;
        while let Some(word) = arguments.get(at) {
            let text = word.text.as_str();
            if !text.starts_with('-') || text == "-" {
                break;
            }
            if !word.fixed {
                return Err(HOW);
            }
            at += 1;
            if text == "--" {
                break;
            }
            if wrapper.flags.contains(&text) {
                continue;
            }
            let valued = |v: &&str| {
                text == *v
                    || (v.starts_with("--") && text.strip_prefix(*v).is_some_and(|rest| rest.starts_with('=')))
                    || (!v.starts_with("--") && text.starts_with(*v))
            };
            match wrapper.valued.iter().find(|v| valued(v)) {
                Some(v) if text == *v => at += 1,
                Some(_) => {}
                // `command -v` only tells where a program is.
                None if wrapper.name == "command" && matches!(text, "-v" | "-V") => return Ok(()),
                None if wrapper.name == "nice" && text.bytes().skip(1).all(|b| b.is_ascii_digit()) => {}
                None => return Err(HOW),
            }
        }
        let values = at + wrapper.own;
        if arguments.get(..values).unwrap_or_default().iter().any(|w| !w.fixed) {
            return Err(HOW);
        }
        at = values;
        while wrapper.assigns
            && let Some((name, _)) = arguments.get(at).and_then(|w| w.text.split_once('='))
            && is_name(name)
        {
            guarded(name)?;
            at += 1;
        }
        self.inner(arguments.get(at..).unwrap_or_default(), more || wrapper.more)
    }

    /// A shell: its text after `-c`. Without one it runs a script or what it is fed, which is known by its name alone.
    fn shell(&mut self, arguments: &[Word]) -> Parsed {
        const FLAGS: &[u8] = b"ceuxlisfn";
        for (n, word) in arguments.iter().enumerate() {
            if !word.fixed {
                return Err(Doubt("a shell's arguments are not fixed"));
            }
            let Some(flags) = word.text.strip_prefix('-') else { return Ok(()) };
            if flags.is_empty() || !flags.bytes().all(|b| FLAGS.contains(&b)) {
                return Err(Doubt("a program that runs another is called in a way that is not known"));
            }
            if flags.contains('c') {
                let Some(text) = arguments.get(n + 1) else { return Ok(()) };
                if text.text.starts_with('-') {
                    return Err(Doubt("a program that runs another is called in a way that is not known"));
                }
                return self.texts(&[text]);
            }
        }
        Ok(())
    }

    /// `find`: what it executes, and with which of its other actions it changes files.
    fn find(&mut self, arguments: &[Word]) -> Parsed {
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            match word.text.as_str() {
                _ if !word.fixed && word.text.starts_with(['$', '`']) => {
                    return Err(Doubt("the actions of \"find\" are not fixed"));
                }
                "-exec" | "-execdir" | "-ok" | "-okdir" => {
                    let inner: Vec<Word> =
                        words.by_ref().take_while(|w| w.text != ";" && w.text != "+").cloned().collect();
                    self.inner(&inner, true)?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Some shells work out a subscript such as `a[$(rm x)]` although it is quoted.
fn subscripts(words: &[Word]) -> Parsed {
    let works_out = |w: &Word| w.text.contains('[') && w.text.len() > 1 && (!w.fixed || w.text.contains(['$', '`']));
    let by_variable =
        words.iter().any(|w| matches!(w.text.as_str(), "-v" | "-R" | "-eq" | "-ne" | "-lt" | "-le" | "-gt" | "-ge"))
            && words.iter().any(|w| !w.fixed);
    if words.iter().any(works_out) || by_variable {
        return Err(Doubt("some shells would run what stands in a subscript"));
    }
    Ok(())
}
