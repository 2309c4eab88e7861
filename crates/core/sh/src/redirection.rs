//! Redirections and here-documents (POSIX.1-2024, Shell Command Language, 2.7).

use crate::command::{Doubt, Redirection};
use crate::parser::{HereDocument, Parsed, Parser};

impl Parser<'_> {
    /// Takes an operator and its word; gives the file that is opened, where one is.
    pub(crate) fn opened(&mut self) -> Parsed<Option<Redirection>> {
        const PROCESS: Doubt = Doubt("it has a process substitution, which not every shell has");
        const SOME: Doubt = Doubt("it has a redirection that not every shell has");
        // Where one shell reads `&>` as a redirection, another runs what stands behind it.
        if ["<<<", "&>"].iter().any(|o| self.rest().starts_with(o.as_bytes())) {
            return Err(SOME);
        }
        for operator in ["<<-", "<<", "<&", "<>", "<", ">>", ">&", ">|", ">"] {
            if !self.take(operator.as_bytes()) {
                continue;
            }
            if matches!(operator, "<" | ">" | "<<" | ">>") && self.peek() == Some(b'(') {
                return Err(PROCESS);
            }
            if self.peek() == Some(b'!') {
                return Err(SOME);
            }
            let word = self.needed_word()?;
            return match operator {
                "<<" | "<<-" => {
                    if !word.fixed {
                        return Err(Doubt("the delimiter of a here-document is not fixed"));
                    }
                    self.pending.push(HereDocument {
                        delimiter: word.text.into_bytes(),
                        plain: word.quoted,
                        strip_tabs: operator == "<<-",
                    });
                    Ok(None)
                }
                "<&" | ">&" if is_descriptor(&word.text) => Ok(None),
                "<&" | ">&" => Err(SOME),
                _ => Ok(Some(Redirection { writes: operator != "<", path: word.into() })),
            };
        }
        Err(SOME)
    }

    /// Reads a body; what it substitutes is found.
    pub(crate) fn here_document(&mut self, document: &HereDocument) -> Parsed {
        const UNENDED: Doubt = Doubt("a here-document does not end");
        let mut body = Vec::new();
        loop {
            let rest = self.rest();
            let end = rest.iter().position(|&b| b == b'\n');
            let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            let taken = line.len() + usize::from(end.is_some());
            let tabs = if document.strip_tabs { line.iter().take_while(|&&b| b == b'\t').count() } else { 0 };
            let line = line.get(tabs..).unwrap_or_default();
            if line == document.delimiter {
                // The line end stays, so that the list goes on as after any line.
                self.at += taken;
                break;
            }
            if end.is_none() {
                return Err(UNENDED);
            }
            if !document.plain && line.ends_with(b"\\") {
                return Err(Doubt("a line of a here-document is continued on the next one"));
            }
            body.extend_from_slice(line);
            body.push(b'\n');
            self.at += taken;
        }
        if document.plain { Ok(()) } else { self.substitutions_of(&body) }
    }
}

fn is_descriptor(word: &str) -> bool {
    let digits = word.strip_suffix('-').unwrap_or(word);
    word == "-" || (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}
