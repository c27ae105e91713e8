//! What is answered: words, tool calls or JSON, the same for the same prompt and model, cut into tokens of about a word.

use serde_json::{Value, json};

use super::{
    fault::mix,
    instance,
    request::{Request, Words},
    table::{Row, Table},
};

/// The longest answer of our own making, in tokens.
const LONGEST: u64 = 400;

/// Bytes of a token beyond which a word is cut.
const LONGEST_TOKEN: usize = 16;

/// One choice of an answer.
#[derive(Debug, PartialEq)]
pub struct Choice {
    /// What it says or calls.
    pub content: Content,
    /// `stop`, `length` or `tool_calls`.
    pub finish: &'static str,
}

/// What a choice says or calls.
#[derive(Debug, PartialEq)]
pub enum Content {
    /// Words.
    Text(Tokens),
    /// Calls of tools.
    ToolCalls(Vec<Call>),
}

/// A call of a tool.
#[derive(Debug, PartialEq)]
pub struct Call {
    pub id: String,
    pub name: String,
    /// The arguments' JSON.
    pub arguments: Tokens,
}

/// A text and where its tokens end: about a word each, with the white space before it; long words in pieces.
#[derive(Debug, Default, PartialEq)]
pub struct Tokens {
    text: String,
    ends: Vec<usize>,
}

impl Tokens {
    pub fn of(text: String) -> Self {
        let mut ends = Vec::with_capacity(text.len() / 4);
        let mut start = 0;
        let mut in_word = false;
        for (at, character) in text.char_indices() {
            let space = character.is_whitespace();
            if (in_word && space) || (at - start >= LONGEST_TOKEN && !space) {
                ends.push(at);
                start = at;
            }
            in_word = !space;
        }
        if start < text.len() {
            ends.push(text.len());
        }
        Self { text, ends }
    }

    /// Keeps the first `count`.
    fn truncate(&mut self, count: usize) {
        self.ends.truncate(count);
        self.text.truncate(self.ends.last().copied().unwrap_or(0));
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn get(&self, place: usize) -> Option<&str> {
        let start = if place == 0 { 0 } else { self.ends[place - 1] };
        self.ends.get(place).map(|&end| &self.text[start..end])
    }
}

/// Tokens as they are billed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub prompt: u64,
    /// The part of `prompt` that counts as cached.
    pub cached: u64,
    pub completion: u64,
}

impl Usage {
    /// As OpenAI writes it.
    pub fn json(&self) -> Value {
        json!({
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "prompt_tokens_details": {"cached_tokens": self.cached},
        })
    }
}

/// Prompt tokens of a conversation: four bytes of text each. With a cache, everything before the last message is cached.
pub fn usage(words: &Words, caches: bool, choices: &[Choice]) -> Usage {
    let tokens = |bytes: usize| (bytes as u64).div_ceil(4);
    let cached = if caches { tokens(words.history_bytes) } else { 0 };
    Usage { prompt: tokens(words.bytes), cached, completion: choices.iter().map(|choice| choice.content.tokens()).sum() }
}

impl Content {
    /// How many tokens are billed for it.
    pub fn tokens(&self) -> u64 {
        match self {
            Self::Text(tokens) => tokens.len() as u64,
            Self::ToolCalls(calls) => calls.iter().map(|call| 1 + call.arguments.len() as u64).sum(),
        }
    }
}

/// The choices of an answer.
pub fn choices(request: &Request<'_>, words: &Words, table: &Table) -> Vec<Choice> {
    let row = table.find(&request.model, &words.prompt);
    (0..request.choices()).map(|index| choice(request, words, row, index as u64)).collect()
}

fn choice(request: &Request<'_>, words: &Words, row: Option<&Row>, index: u64) -> Choice {
    let seed = hash(&[request.model.as_bytes(), words.prompt.as_bytes(), &index.to_le_bytes()]);
    if let Some(calls) = tool_calls(request, words, row) {
        let calls = calls.into_iter().enumerate().map(|(place, (name, arguments))| Call {
            id: format!("call_{:016x}", mix(seed ^ place as u64)),
            name,
            arguments: Tokens::of(arguments.to_string()),
        });
        return Choice { content: Content::ToolCalls(calls.collect()), finish: "tool_calls" };
    }
    let text = match (row.and_then(|row| row.answer.as_deref()), &request.response_format) {
        (Some(answer), _) => answer.to_owned(),
        (None, Some(format)) if format.r#type == "json_schema" => {
            let schema = format.json_schema.as_ref().map_or(&Value::Null, |schema| &schema.schema);
            instance::of(schema).to_string()
        }
        (None, Some(format)) if format.r#type == "json_object" => {
            json!({"answer": prose(&request.model, &words.prompt, LONGEST, seed)}).to_string()
        }
        // Words beyond the caller's limit are not even thought of; one more tells that the answer was cut.
        (None, _) => prose(&request.model, &words.prompt, LONGEST.min(request.max_tokens().saturating_add(1) as u64), seed),
    };
    let mut tokens = Tokens::of(text);
    let cut = tokens.len() > request.max_tokens();
    tokens.truncate(request.max_tokens());
    Choice { content: Content::Text(tokens), finish: if cut { "length" } else { "stop" } }
}

/// Tools are called where the table says so, where the request demands it, or where the prompt asks to `call the tool`; never
/// right after a tool's result.
fn tool_calls(request: &Request<'_>, words: &Words, row: Option<&Row>) -> Option<Vec<(String, Value)>> {
    let tools = request.tools.as_deref().filter(|tools| !tools.is_empty() && !words.after_tool)?;
    if let Some(row) = row {
        let calls = row.tool_calls.as_ref()?;
        return Some(calls.iter().map(|call| (call.name.clone(), call.arguments.clone())).collect());
    }
    let choice = request.tool_choice.as_ref().unwrap_or(&Value::Null);
    let named = choice["function"]["name"].as_str();
    let demanded = named.is_some() || choice.as_str() == Some("required");
    let asked = choice.as_str() != Some("none") && words.prompt.to_lowercase().contains("call the tool");
    if !demanded && !asked {
        return None;
    }
    let tool = tools.iter().find(|tool| named.is_none_or(|name| name == tool.function.name))?;
    Some(vec![(tool.function.name.clone(), instance::of(&tool.function.parameters))])
}

/// Words that an answer of our own making is made of.
const OPENINGS: &[&str] = &["In short,", "As a first step,", "Seen from here,", "For the record,", "To be precise,", "On reflection,"];
const SUBJECTS: &[&str] =
    &["the wind", "a careful reader", "the second ledger", "the harbour", "every number", "the old chart", "a patient clerk", "the tide"];
const VERBS: &[&str] = &["follows", "explains", "balances", "carries", "measures", "answers", "reaches", "compares"];
const OBJECTS: &[&str] = &[
    "the question",
    "a longer route",
    "the smaller sum",
    "what was asked",
    "the next port",
    "its own weight",
    "the whole table",
    "a plain proof",
];

/// An answer of our own making: says that it is simulated, by which model, and goes on the longer the longer the prompt is.
fn prose(model: &str, prompt: &str, longest: u64, seed: u64) -> String {
    let words = prompt.split_whitespace().count() as u64;
    let wanted = (12 + seed % 24 + words * (1 + (seed >> 8) % 3)).min(longest);
    let mut text = format!("This is a simulated answer by {model}.");
    let mut count = text.split(' ').count() as u64;
    let mut state = seed;
    let mut pick = |list: &[&'static str]| {
        state = mix(state);
        list[usize::try_from(state % list.len() as u64).unwrap_or(0)]
    };
    while count < wanted {
        let sentence = format!(" {} {} {} {}.", pick(OPENINGS), pick(SUBJECTS), pick(VERBS), pick(OBJECTS));
        count += sentence.split_whitespace().count() as u64;
        text.push_str(&sentence);
    }
    text
}

/// FNV-1a over parts, their borders included, mixed.
fn hash(parts: &[&[u8]]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for &byte in *part {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        hash = mix(hash ^ part.len() as u64);
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &Value) -> (Vec<Choice>, Usage) {
        let table = Table::parse("{\"contains\": \"capital\", \"answer\": \"Paris, in France\"}").unwrap();
        let body = body.to_string();
        let request = Request::read(body.as_bytes()).unwrap();
        let words = request.words();
        let choices = choices(&request, &words, &table);
        let usage = usage(&words, false, &choices);
        (choices, usage)
    }

    fn text(choice: &Choice) -> String {
        match &choice.content {
            Content::Text(tokens) => tokens.text().to_owned(),
            Content::ToolCalls(calls) => panic!("{calls:?}"),
        }
    }

    #[test]
    fn tokens_join_to_the_text() {
        for (text, count) in
            [("", 0), ("one", 1), ("one two  three\n", 4), (" lead", 1), ("aaaaaaaaaaaaaaaaaaaa", 2), ("一二三四五六七八九十", 2)]
        {
            let tokens = Tokens::of(text.to_owned());
            assert_eq!((0..).map_while(|place| tokens.get(place)).collect::<String>(), text);
            assert_eq!(tokens.len(), count, "{tokens:?}");
        }
    }

    #[test]
    fn the_same_prompt_and_model_have_the_same_answer_and_others_another() {
        let ask =
            |model: &str, prompt: &str| text(&check(&json!({"model": model, "messages": [{"role": "user", "content": prompt}]})).0[0]);
        assert_eq!(ask("small", "why?"), ask("small", "why?"));
        assert_ne!(ask("small", "why?"), ask("large", "why?"));
        assert_ne!(ask("small", "why?"), ask("small", "how?"));
        assert!(ask("small", &"long ".repeat(200)).len() > ask("small", "long").len());
    }

    #[test]
    fn an_answer_has_usage_and_ends_at_the_callers_limit() {
        let (choices, usage) =
            check(&json!({"model": "m", "max_tokens": 2, "n": 2, "messages": [{"role": "user", "content": "the capital of France"}]}));
        assert_eq!(
            choices.iter().map(|choice| (text(choice), choice.finish)).collect::<Vec<_>>(),
            vec![("Paris, in".to_owned(), "length"); 2]
        );
        assert_eq!(usage, Usage { prompt: 6, cached: 0, completion: 4 });
    }

    #[test]
    fn tools_are_called_where_the_prompt_or_the_request_asks() {
        let tools = json!([{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {"place": {"type": "string"}}}}}]);
        let ask = |prompt: &str, choice: Value| {
            let messages = json!([{"role": "user", "content": prompt}]);
            check(&json!({"model": "m", "tools": tools, "tool_choice": choice, "messages": messages})).0.remove(0)
        };
        for (prompt, choice, called) in [
            ("Please call the tool.", json!("auto"), true),
            ("Please call the tool.", json!("none"), false),
            ("Hello", json!("required"), true),
            ("Hello", json!({"type": "function", "function": {"name": "look"}}), true),
            ("Hello", json!("auto"), false),
            ("the capital", json!("required"), false),
        ] {
            let found = ask(prompt, choice);
            assert_eq!(found.finish == "tool_calls", called, "{prompt}");
            if let Content::ToolCalls(calls) = &found.content {
                assert_eq!((calls[0].name.as_str(), calls[0].arguments.text()), ("look", r#"{"place":"simulated"}"#));
            }
        }
    }

    #[test]
    fn json_is_answered_where_json_is_asked_for() {
        let ask = |format: Value| {
            text(&check(&json!({"model": "m", "response_format": format, "messages": [{"role": "user", "content": "hi"}]})).0[0])
        };
        assert!(serde_json::from_str::<Value>(&ask(json!({"type": "json_object"}))).unwrap()["answer"].is_string());
        let schema = json!({"type": "object", "properties": {"age": {"type": "integer"}}});
        assert_eq!(ask(json!({"type": "json_schema", "json_schema": {"name": "a", "schema": schema}})), r#"{"age":1}"#);
    }
}
