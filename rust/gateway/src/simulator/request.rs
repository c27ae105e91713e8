//! What a chat call asks for, as far as a simulator cares.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

/// A request. Borrows from the body.
#[derive(Deserialize)]
pub struct Request<'a> {
    #[serde(borrow)]
    pub model: Cow<'a, str>,
    #[serde(borrow)]
    messages: Vec<Message<'a>>,
    #[serde(default)]
    pub stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    max_tokens: Option<usize>,
    #[serde(default)]
    max_completion_tokens: Option<usize>,
    #[serde(default)]
    n: Option<usize>,
    #[serde(default)]
    pub tools: Option<Vec<Tool>>,
    #[serde(default)]
    pub tool_choice: Option<Value>,
    #[serde(default)]
    pub response_format: Option<ResponseFormat>,
    /// Comes back in the log, so that a test can tell whose answer a line is.
    #[serde(default)]
    pub user: Option<String>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: Option<bool>,
}

/// An offered tool.
#[derive(Deserialize)]
pub struct Tool {
    pub function: Function,
}

/// A function that may be called.
#[derive(Deserialize)]
pub struct Function {
    pub name: String,
    /// JSON schema of the arguments.
    #[serde(default)]
    pub parameters: Value,
}

/// How the answer must look.
#[derive(Deserialize)]
pub struct ResponseFormat {
    pub r#type: String,
    #[serde(default)]
    pub json_schema: Option<JsonSchema>,
}

/// A named JSON schema.
#[derive(Deserialize)]
pub struct JsonSchema {
    #[serde(default)]
    pub schema: Value,
}

/// The words of a conversation.
pub struct Words {
    /// The last message of role `user`.
    pub prompt: String,
    /// Bytes of text before the last message.
    pub history_bytes: usize,
    /// Bytes of all text.
    pub bytes: usize,
    /// The last message is a tool's result.
    pub after_tool: bool,
}

impl<'a> Request<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// A sentence for OpenAI's `error.message`.
    pub fn read(body: &'a [u8]) -> Result<Self, String> {
        let request: Self = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        if request.messages.is_empty() {
            return Err("`messages` is empty".to_owned());
        }
        if !(1..=128).contains(&request.choices()) {
            return Err("`n` must be from 1 to 128".to_owned());
        }
        Ok(request)
    }

    /// How many answers.
    pub fn choices(&self) -> usize {
        self.n.unwrap_or(1)
    }

    /// The most tokens of each answer.
    pub fn max_tokens(&self) -> usize {
        self.max_completion_tokens.or(self.max_tokens).unwrap_or(usize::MAX)
    }

    /// Whether a stream ends with usage.
    pub fn include_usage(&self) -> bool {
        self.stream_options.as_ref().and_then(|options| options.include_usage).unwrap_or(false)
    }

    /// The words of the conversation.
    pub fn words(&self) -> Words {
        let texts: Vec<Cow<'_, str>> = self.messages.iter().map(|message| message.content.map_or(Cow::Borrowed(""), text)).collect();
        let bytes: usize = texts.iter().map(|text| text.len()).sum();
        let last = texts.last().map_or(0, |text| text.len());
        let prompt = self.messages.iter().zip(&texts).rfind(|(message, _)| message.role == "user").map(|(_, text)| text.to_string());
        Words {
            prompt: prompt.unwrap_or_default(),
            history_bytes: bytes - last,
            bytes,
            after_tool: self.messages.last().is_some_and(|message| message.role == "tool"),
        }
    }
}

/// The text of a message's content: a string, or the text parts of an array.
fn text(raw: &RawValue) -> Cow<'_, str> {
    if let Ok(Quoted(text)) = serde_json::from_str(raw.get()) {
        return text;
    }
    let parts: Vec<Part<'_>> = serde_json::from_str(raw.get()).unwrap_or_default();
    Cow::Owned(parts.iter().filter_map(|part| part.text.as_deref()).collect())
}

#[derive(Deserialize)]
struct Quoted<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prompt_is_the_last_user_message_and_all_text_counts() {
        for (messages, prompt, history, bytes) in [
            (r#"[{"role":"user","content":"héllo \n"}]"#, "héllo \n", 0, 8),
            (
                r#"[{"role":"system","content":"abcd"},{"role":"user","content":[{"type":"text","text":"x"},{"type":"text","text":"y"}]}]"#,
                "xy",
                4,
                6,
            ),
            (r#"[{"role":"user","content":"ask"},{"role":"assistant","content":null},{"role":"tool","content":"42"}]"#, "ask", 3, 5),
        ] {
            let body = format!(r#"{{"model":"m","messages":{messages}}}"#);
            let words = Request::read(body.as_bytes()).unwrap().words();
            assert_eq!((words.prompt.as_str(), words.history_bytes, words.bytes), (prompt, history, bytes));
        }
    }

    #[test]
    fn a_body_that_is_no_request_is_refused() {
        for body in [
            "",
            "{",
            "[]",
            r#"{"model":"m"}"#,
            r#"{"model":"m","messages":[]}"#,
            r#"{"model":"m","n":0,"messages":[{"role":"user","content":"x"}]}"#,
        ] {
            assert!(Request::read(body.as_bytes()).is_err(), "{body}");
        }
    }
}
