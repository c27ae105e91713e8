//! What decides which route takes a call: who asks whom for what, and the details that only conditions read.

use std::borrow::Cow;

use crate::{call::Identity, parse::Facts};

/// Bytes of a text that conditions read, at most: one beyond it is not there for them. Every limit of OpenAI's is below.
pub const MAX_TEXT: usize = 4096;
/// Tools, or entries of a map, that conditions read, at most: a list or a map beyond it is not there for them.
pub const MAX_ENTRIES: usize = 128;

/// A call as routes look at it.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Namespace whose routes are addressed.
    pub namespace: &'a str,
    /// Who asks.
    pub identity: &'a Identity,
    /// The alias or model that is asked for.
    pub model: &'a str,
    /// What is asked of a model.
    pub facts: &'a Facts,
    /// The rest.
    pub details: &'a dyn Details,
}

/// What only conditions read of a request: looked up when one does and not before, and once for all conditions of a call.
///
/// Of what is beyond [`MAX_ENTRIES`] or [`MAX_TEXT`] no more needs to be read than shows that it is.
pub trait Details: Sync {
    /// Which details are known: all of a request, but of a recorded call only those that were read.
    fn known(&self) -> Fields;

    /// Names of the tools that are offered.
    fn tools(&self) -> Vec<Cow<'_, str>>;

    /// `user`; empty where absent.
    fn user(&self) -> Cow<'_, str>;

    /// `metadata`, as far as it holds strings.
    fn metadata(&self) -> Vec<(Cow<'_, str>, Cow<'_, str>)>;

    /// How many messages there are.
    fn messages(&self) -> u32;
}

/// A set of details.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields(u8);

/// The beginning of a text, which is beyond [`MAX_TEXT`] where the text is.
pub fn cut(text: &str) -> &str {
    let end = (MAX_TEXT + 1..text.len()).find(|&end| text.is_char_boundary(end));
    end.map_or(text, |end| &text[..end])
}

impl Fields {
    /// No detail.
    pub const NONE: Self = Self(0);
    /// [`Details::tools`].
    pub const TOOLS: Self = Self(1);
    /// [`Details::user`].
    pub const USER: Self = Self(2);
    /// [`Details::metadata`].
    pub const METADATA: Self = Self(4);
    /// [`Details::messages`].
    pub const MESSAGES: Self = Self(8);
    /// The caller's labels.
    pub const LABELS: Self = Self(16);
    /// Every detail.
    pub const ALL: Self = Self(31);

    /// These and those.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether all of `others` are among these.
    #[must_use]
    pub const fn hold(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}
