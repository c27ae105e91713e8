//! The condition of a route: CEL over the request and its caller. Checked and compiled once; evaluated only on routes that have one.

mod check;
mod variables;

use std::sync::{Arc, LazyLock};

use cel::{Context, Env, ExecutionError, IdedExpr, Value, common::types::CelBool, parser::Parser};

use self::variables::Example;
pub use self::variables::Variables;
use super::asked::Fields;
use crate::error::excerpt;

/// Longest condition, bytes.
pub const MAX_BYTES: usize = 1024;
/// Deepest nesting of a condition: brackets in its text, then operations in what was read of it. Keeps every walk's stack small.
const MAX_DEPTH: usize = 32;
/// Bytes that the conditions of one call look at together, a variable's at each look: once they are used up, no variable is there.
/// `request.tools.exists(t, request.user.contains(t))` looks at `user` for each tool.
const MAX_LOOKED_AT: usize = 1 << 20;

/// Building one costs more than any evaluation.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// A compiled condition.
pub struct When {
    text: Box<str>,
    expression: IdedExpr,
    reads: Fields,
}

/// Why a condition is refused.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// As a sentence.
    pub message: String,
    /// Accepted names, where they are a closed set.
    pub accepted: Vec<String>,
}

impl Refusal {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), accepted: Vec::new() }
    }
}

impl When {
    /// Reads and checks a condition.
    ///
    /// # Errors
    /// Where it is too long or too deep, is not CEL, names something that there is not, or does not give true or false.
    pub fn compile(text: &str) -> Result<Self, Refusal> {
        if text.len() > MAX_BYTES {
            return Err(Refusal::new(format!("a condition has at most {MAX_BYTES} bytes; this one has {}", text.len())));
        }
        if nesting(text) > MAX_DEPTH {
            return Err(too_deep());
        }
        let expression = Parser::new().parse(text).map_err(|errors| {
            let first = errors.errors.first();
            Refusal::new(first.map_or_else(
                || "this is not CEL".to_owned(),
                |error| format!("this is not CEL: line {}, column {}: {}", error.pos.0, error.pos.1, excerpt(&error.msg)),
            ))
        })?;
        let reads = check::check(&expression)?;
        let when = Self { text: text.into(), expression, reads };
        when.try_out()?;
        Ok(when)
    }

    /// The text it was compiled from.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Which details of a call it reads.
    #[must_use]
    pub fn reads(&self) -> Fields {
        self.reads
    }

    /// Whether it holds for a call. What cannot be evaluated, such as a key that is missing, does not hold.
    #[must_use]
    pub fn holds(&self, variables: &Variables<'_>) -> bool {
        self.evaluate(variables) == Ok(Some(true))
    }

    /// `None` where it gives something other than true or false.
    fn evaluate(&self, variables: &Variables<'_>) -> Result<Option<bool>, ExecutionError> {
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        context.set_variable_resolver(variables);
        let value = Value::resolve_val(&self.expression, &context)?;
        Ok(value.downcast_ref::<CelBool>().map(|value| *value.inner()))
    }

    /// Evaluates it once: what the check lets pass must also run. Only an example's values may fail it.
    fn try_out(&self) -> Result<(), Refusal> {
        let example = Example::default();
        match self.evaluate(&Variables::new(&example.asked())) {
            Ok(Some(_))
            | Err(
                ExecutionError::NoSuchKey(_)
                | ExecutionError::IndexOutOfBounds(_)
                | ExecutionError::DivisionByZero(_)
                | ExecutionError::RemainderByZero(_)
                | ExecutionError::Overflow(..)
                | ExecutionError::FunctionError { .. },
            ) => Ok(()),
            Ok(None) => Err(Refusal::new("a condition gives true or false; this one gives something else")),
            Err(error) => Err(Refusal::new(format!("this cannot be evaluated: {}", excerpt(&error.to_string())))),
        }
    }
}

fn too_deep() -> Refusal {
    Refusal::new(format!("a condition is nested at most {MAX_DEPTH} levels deep"))
}

/// How deep brackets and choices nest, at most: those inside strings count too, so that nothing has to be read to know it.
fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            // The second half of a choice nests into the first one's, and nothing closes it.
            b'?' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

#[cfg(test)]
mod tests;
