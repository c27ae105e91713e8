//! Answers to known prompts: the first row that fits a call answers it.

use serde::Deserialize;
use serde_json::Value;

use super::settings::Error;

/// The rows, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    rows: Vec<Row>,
}

/// One known answer.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The last user message holds this.
    #[serde(default)]
    pub contains: Option<String>,
    /// The last user message is this.
    #[serde(default)]
    pub prompt: Option<String>,
    /// Only this model answers so.
    #[serde(default)]
    pub model: Option<String>,
    /// The answer.
    #[serde(default)]
    pub answer: Option<String>,
    /// Tools called in place of an answer.
    #[serde(default)]
    pub tool_calls: Option<Vec<ToolCall>>,
}

/// A tool call in the table.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolCall {
    /// Name of the function.
    pub name: String,
    /// Its arguments.
    #[serde(default)]
    pub arguments: Value,
}

impl Table {
    /// A table of rows.
    #[must_use]
    pub fn new(rows: Vec<Row>) -> Self {
        Self { rows }
    }

    /// Reads JSON Lines; empty lines are passed by.
    ///
    /// # Errors
    /// With the number of the first line that is no row.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut rows = Vec::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let refused = |message: &str| Error::flag("answers", format!("line {}: {message}", index + 1));
            let row: Row = serde_json::from_str(line).map_err(|error| refused(&error.to_string()))?;
            if row.contains.is_some() == row.prompt.is_some() {
                return Err(refused("expected exactly one of `contains` and `prompt`"));
            }
            if row.answer.is_some() == row.tool_calls.is_some() {
                return Err(refused("expected exactly one of `answer` and `tool_calls`"));
            }
            rows.push(row);
        }
        Ok(Self { rows })
    }

    /// The row that answers a prompt to a model.
    #[must_use]
    pub fn find(&self, model: &str, prompt: &str) -> Option<&Row> {
        self.rows.iter().find(|row| {
            row.model.as_deref().is_none_or(|only| only == model)
                && row.prompt.as_deref().is_none_or(|whole| whole == prompt)
                && row.contains.as_deref().is_none_or(|part| prompt.contains(part))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_row_that_fits_answers() {
        let table = Table::parse(concat!(
            "{\"contains\": \"capital\", \"model\": \"large\", \"answer\": \"Paris, of course\"}\n\n",
            "{\"contains\": \"capital\", \"answer\": \"Paris\"}\n",
            "{\"prompt\": \"hi\", \"answer\": \"hello\"}\n",
        ))
        .unwrap();
        for (model, prompt, expected) in [
            ("large", "the capital of France?", Some("Paris, of course")),
            ("small", "the capital of France?", Some("Paris")),
            ("small", "hi", Some("hello")),
            ("small", "hi there", None),
        ] {
            assert_eq!(table.find(model, prompt).and_then(|row| row.answer.as_deref()), expected, "{model}: {prompt}");
        }
    }

    #[test]
    fn a_bad_row_is_refused_with_its_line() {
        for (row, expected) in [
            ("{\"contains\": \"x\"}", "line 2: expected exactly one of `answer`"),
            ("{\"answer\": \"x\"}", "line 2: expected exactly one of `contains`"),
            ("{\"contains\": \"x\", \"reply\": \"x\"}", "line 2: unknown field `reply`"),
        ] {
            let error = Table::parse(&format!("\n{row}\n")).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
