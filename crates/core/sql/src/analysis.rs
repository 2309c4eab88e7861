//! What an analysis tells: a shape for policy, and facts per statement for the protocol machine.

use std::sync::Arc;

use countersign_model::{Access, Disclosure, Fingerprint, Shape};

use crate::lineage::Outputs;
use crate::uses::Uses;

/// What a text means.
#[derive(Debug)]
pub struct Analysis {
    pub(crate) shape: Arc<Shape>,
    /// The uses without the stand-ins for prepared statements and cursors that the text only names.
    pub(crate) own: Uses,
    /// What it does with tagged data without those stand-ins.
    pub(crate) own_disclosure: Disclosure,
    pub(crate) statements: Vec<Statement>,
    pub(crate) undefined: Option<Undefined>,
    pub(crate) syntax_error: Option<SyntaxError>,
    pub(crate) constants_matter: bool,
}

/// What the grammar said of a text that it does not accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Where it gave up, in characters from 1.
    pub position: usize,
    /// PostgreSQL's words; they may quote the text.
    pub message: String,
}

/// A name that the catalog does not have, or not whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undefined {
    /// What sort of thing.
    pub what: UndefinedKind,
    /// As the text wrote it.
    pub name: Arc<str>,
}

/// What is undefined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UndefinedKind {
    /// A table, view or sequence: SQLSTATE 42P01.
    Relation,
    /// A function: SQLSTATE 42883.
    Function,
    /// A view whose definition cannot be read, because somebody is altering what it reads: SQLSTATE 55P03.
    Altered,
}

impl UndefinedKind {
    /// The SQLSTATE that PostgreSQL gives for it.
    pub const fn sqlstate(self) -> &'static str {
        match self {
            Self::Relation => "42P01",
            Self::Function => "42883",
            Self::Altered => "55P03",
        }
    }
}

/// One statement of a text, in order.
#[derive(Clone, Debug)]
pub struct Statement {
    /// A word: `select`, `copy_from`, `create_table`.
    pub kind: &'static str,
    /// The gravest access that this statement alone needs.
    pub access: Access,
    /// What it does to the transaction, if that is what it is for.
    pub transaction: Option<Transaction>,
    /// What it does to names that live in the session.
    pub session: Option<SessionEffect>,
    /// The SQL-level prepared statement that it runs: `EXECUTE`, also within `EXPLAIN` and `CREATE TABLE AS`.
    pub executes: Option<Arc<str>>,
    /// `COPY`: which way and where to.
    pub copy: Option<Copy>,
    /// Relations, functions, types or rights change, so the catalog must be loaded again; temporary objects count.
    pub changes_catalog: bool,
    /// Temporary objects of this session appear or go.
    pub changes_temporary: bool,
    /// Settings that it changes by name, with the value when it is a constant; empty value lists are `DEFAULT` and `RESET`.
    pub settings: Vec<SettingChange>,
    /// It may change settings in a way that the text does not tell: functions, procedures, `DO`. The machine asks the session anew.
    pub may_change_settings: bool,
    /// PostgreSQL refuses it inside a transaction block.
    pub outside_transaction: bool,
    /// What it gives back to the client, `COPY` to it included. For `EXECUTE` and `FETCH` see [`Analysis::outputs_with`].
    pub outputs: Outputs,
    /// It is `EXPLAIN` of what else is said here.
    pub explained: bool,
}

/// Transaction control.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transaction {
    /// `BEGIN`, `START TRANSACTION`.
    Begin,
    /// `COMMIT`, `END`; `chain` opens the next one at once.
    Commit {
        /// `AND CHAIN`.
        chain: bool,
    },
    /// `ROLLBACK`, `ABORT`.
    Rollback {
        /// `AND CHAIN`.
        chain: bool,
    },
    /// `SAVEPOINT name`.
    Savepoint(Arc<str>),
    /// `RELEASE name`.
    Release(Arc<str>),
    /// `ROLLBACK TO name`.
    RollbackTo(Arc<str>),
    /// `PREPARE TRANSACTION`: ends the transaction.
    Prepare,
    /// `COMMIT PREPARED`.
    CommitPrepared,
    /// `ROLLBACK PREPARED`.
    RollbackPrepared,
}

/// A change to names that live in the session.
#[derive(Clone, Debug)]
pub enum SessionEffect {
    /// `PREPARE name AS …`.
    Prepare {
        /// Its name.
        name: Arc<str>,
        /// What running it means.
        inner: Arc<Shape>,
        /// What running it gives back.
        outputs: Outputs,
    },
    /// `DEALLOCATE name`, or all of them.
    Deallocate(Option<Arc<str>>),
    /// `DECLARE name CURSOR FOR …`.
    Declare {
        /// Its name.
        name: Arc<str>,
        /// It outlives its transaction.
        hold: bool,
        /// What fetching from it means.
        inner: Arc<Shape>,
        /// What fetching from it gives back.
        outputs: Outputs,
    },
    /// `FETCH` or `MOVE` from a cursor.
    Fetch {
        /// Its name.
        name: Arc<str>,
        /// `MOVE`: no rows come.
        is_move: bool,
    },
    /// `CLOSE name`, or all of them.
    Close(Option<Arc<str>>),
    /// `DISCARD ALL`: prepared statements, cursors, settings, temporary objects.
    DiscardAll,
}

/// A `COPY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Into the database.
    pub from: bool,
    /// Where the other end is.
    pub endpoint: Endpoint,
    /// How its rows are written.
    pub form: CopyForm,
}

/// How a `COPY` writes rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyForm {
    /// Lines of columns, with backslashes before what has a meaning.
    Text {
        /// Between columns.
        delimiter: u8,
        /// What stands for null.
        null: Arc<str>,
        /// The first line has the columns' names.
        header: bool,
    },
    /// Comma-separated values.
    Csv {
        /// Between columns.
        delimiter: u8,
        /// What stands for null, outside of quotes.
        null: Arc<str>,
        /// Around values that need it.
        quote: u8,
        /// Before quotes within quotes.
        escape: u8,
        /// The first line has the columns' names.
        header: bool,
    },
    /// Columns with their lengths, each in its type's binary form.
    Binary,
    /// By options that are not known here, or in another encoding.
    Other,
}

/// The end of a `COPY` that is not a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// The client: `STDIN` or `STDOUT`.
    Client,
    /// A file on the server.
    File,
    /// A program on the server.
    Program,
}

/// A setting that a statement changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingChange {
    /// Its name in lower case.
    pub name: Arc<str>,
    /// The new values; empty for `DEFAULT` and `RESET`.
    pub values: Vec<Arc<str>>,
    /// For the transaction alone.
    pub local: bool,
}

/// What an analysis only knows by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference<'a> {
    /// A prepared statement (`EXECUTE`).
    Prepared(&'a str),
    /// A cursor (`FETCH`, `MOVE`).
    Cursor(&'a str),
}

impl Analysis {
    /// What policy judges. A prepared statement or a cursor that the text only names counts as [`Access::Execute`] here; see
    /// [`Analysis::with_references`].
    pub fn shape(&self) -> &Arc<Shape> {
        &self.shape
    }

    /// The statements in order; empty for an empty text and for one that could not be read.
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// The first name that the catalog does not have. The machine loads the catalog again once, and then denies.
    pub fn undefined(&self) -> Option<&Undefined> {
        self.undefined.as_ref()
    }

    /// What the grammar said, when that is why the shape is unreadable.
    pub fn syntax_error(&self) -> Option<&SyntaxError> {
        self.syntax_error.as_ref()
    }

    /// True when texts that differ only in constants may not share this analysis.
    pub fn constants_matter(&self) -> bool {
        self.constants_matter
    }

    /// The names that the text uses without telling what is behind them: a prepared statement or cursor that an earlier statement
    /// of the same text made is not among them.
    pub fn references(&self) -> impl Iterator<Item = Reference<'_>> {
        let mut made: Vec<Reference<'_>> = Vec::new();
        let mut open = Vec::new();
        for statement in &self.statements {
            if let Some(name) = &statement.executes
                && !made.contains(&Reference::Prepared(name))
            {
                open.push(Reference::Prepared(name));
            }
            match &statement.session {
                Some(SessionEffect::Prepare { name, .. }) => made.push(Reference::Prepared(name)),
                Some(SessionEffect::Declare { name, .. }) => made.push(Reference::Cursor(name)),
                Some(SessionEffect::Fetch { name, .. }) if !made.contains(&Reference::Cursor(name)) => {
                    open.push(Reference::Cursor(name));
                }
                _ => {}
            }
        }
        open.into_iter()
    }

    /// The shape with what is behind each reference joined in. A reference that `find` does not know stays [`Access::Execute`].
    pub fn with_references(&self, mut find: impl FnMut(Reference<'_>) -> Option<Arc<Shape>>) -> Arc<Shape> {
        let mut shapes = Vec::new();
        for reference in self.references() {
            match find(reference) {
                Some(shape) => shapes.push(shape),
                None => return Arc::clone(&self.shape),
            }
        }
        if shapes.is_empty() || self.shape.why_unreadable().is_some() {
            return Arc::clone(&self.shape);
        }
        let mut uses = self.own.clone();
        let mut disclosure = self.own_disclosure.clone();
        let explains = self.statements.iter().any(|s| s.executes.is_some() && s.explained);
        let stores = self.statements.iter().any(|s| s.executes.is_some() && s.kind == "create_table_as");
        for shape in &shapes {
            if let Some(why) = shape.why_unreadable() {
                return Shape::unreadable(why, self.shape.fingerprint());
            }
            uses.absorb(shape);
            let mut of = shape.disclosure().clone();
            if explains {
                // The figures of a plan tell of all that it touches.
                of.chosen = of.tags().into_iter().cloned().collect();
            }
            if stores {
                let copied = Disclosure { copied: of.shown.clone(), ..Disclosure::default() };
                of.absorb(&copied);
            }
            disclosure.absorb(&of);
        }
        // The same text means different things as the names behind it change, so the fingerprint says which.
        let fingerprint = shapes.iter().fold(self.shape.fingerprint(), |all, s| mix(all, s.fingerprint()));
        Shape::disclosing(self.shape.kind(), uses.into_uses(), fingerprint, disclosure)
    }
}

impl Analysis {
    /// What each statement gives back, in order, with what is behind a reference in its place: that of an earlier statement of the
    /// same text, or what `find` knows. What nobody knows may hold anything.
    pub fn outputs_with(&self, mut find: impl FnMut(Reference<'_>) -> Option<Outputs>) -> Vec<Outputs> {
        let mut made: Vec<(Reference<'_>, &Outputs)> = Vec::new();
        let mut all = Vec::with_capacity(self.statements.len());
        for statement in &self.statements {
            let reference = match (&statement.executes, &statement.session) {
                (Some(name), _) if statement.kind == "execute" => Some(Reference::Prepared(name)),
                (_, Some(SessionEffect::Fetch { name, is_move: false })) => Some(Reference::Cursor(name)),
                _ => None,
            };
            all.push(match reference {
                Some(reference) => match made.iter().rev().find(|(r, _)| *r == reference) {
                    Some((_, outputs)) => (*outputs).clone(),
                    None => find(reference).unwrap_or_else(|| statement.outputs.clone()),
                },
                None => statement.outputs.clone(),
            });
            match &statement.session {
                Some(SessionEffect::Prepare { name, outputs, .. }) => made.push((Reference::Prepared(name), outputs)),
                Some(SessionEffect::Declare { name, outputs, .. }) => made.push((Reference::Cursor(name), outputs)),
                _ => {}
            }
        }
        all
    }
}

/// One shape for several that run together: uses of the same access become one, and the gravest decides. Unreadable if one is.
pub fn join(shapes: &[&Shape]) -> Arc<Shape> {
    let fingerprint = shapes.iter().map(|s| s.fingerprint()).reduce(mix).unwrap_or(Fingerprint(0));
    let mut uses = Uses::default();
    let mut disclosure = Disclosure::default();
    let mut kinds: Vec<&str> = Vec::new();
    for shape in shapes {
        if let Some(why) = shape.why_unreadable() {
            return Shape::unreadable(why, fingerprint);
        }
        uses.absorb(shape);
        disclosure.absorb(shape.disclosure());
        if kinds.last() != Some(&shape.kind()) {
            kinds.push(shape.kind());
        }
    }
    Shape::disclosing(&kinds.join("+"), uses.into_uses(), fingerprint, disclosure)
}

fn mix(a: Fingerprint, b: Fingerprint) -> Fingerprint {
    // Order matters: a then b is not b then a.
    Fingerprint(a.0.rotate_left(1).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013B) ^ b.0)
}
