//! Why an answer is not taken. Texts are for the person who answers.

use countersign_enforce::NoFactor;
use countersign_store::StoreError;

/// Why an answer is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum No {
    /// There is no such review, or it is none of theirs.
    #[error("there is no review with this id that you may see")]
    Unknown,
    /// They asked for it, or have a part in it.
    #[error("nobody answers what they asked for themselves, or what somebody asked for them or through them")]
    OwnRequest,
    /// No person speaks here.
    #[error("only a person may answer, by themselves: no workload, no AI agent, nobody through one")]
    NotAPerson,
    /// They are in none of the groups that are asked.
    #[error("you are in none of the groups that are asked")]
    NotAsked,
    /// They said that before.
    #[error("you have said so already: one person counts once")]
    Twice,
    /// What they showed beside their login does not do, or they showed nothing.
    #[error("{0}")]
    Factor(NoFactor),
    /// Only the asker may do that.
    #[error("only who asked may take it back")]
    NotYours,
    /// It has come to its end.
    #[error("it is over: {0}")]
    Over(&'static str),
    /// It is not what they looked at.
    #[error("it is not about what you looked at: show it again")]
    Changed,
    /// The comment cannot be kept.
    #[error("a comment has 1 to {0} characters and no control characters")]
    Comment(usize),
    /// The reason cannot be kept.
    #[error("a reason has 1 to {0} characters and no control characters")]
    Reason(usize),
    /// It is more than may be asked for.
    #[error("{0}")]
    TooMuch(String),
    /// Something that they took at once was not reviewed yet.
    #[error("what you took at once as {0} waits for its review: until then nothing else is given so")]
    Unreviewed(String),
    /// Somebody else was faster, again and again.
    #[error("too many answer at once: try again")]
    Busy,
    /// It has too many answers.
    #[error("it has as many answers and comments as a review may have")]
    Full,
    /// The store could not be asked.
    #[error("the reviews cannot be read or written now: {0}")]
    Unavailable(String),
}

impl From<NoFactor> for No {
    fn from(no: NoFactor) -> Self {
        match no {
            NoFactor::Unavailable(why) => Self::Unavailable(why),
            NoFactor::Busy => Self::Busy,
            other => Self::Factor(other),
        }
    }
}

impl From<StoreError> for No {
    fn from(e: StoreError) -> Self {
        match e {
            StoreError::Limit(_) => Self::Full,
            other => Self::Unavailable(other.to_string()),
        }
    }
}
