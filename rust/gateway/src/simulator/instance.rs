//! The simplest value that a JSON schema accepts, for tool arguments and structured output.

use serde_json::{Map, Value, json};

/// Deeper schemas are cut off with null: a schema may refer to itself.
const MAX_DEPTH: usize = 16;

/// A value for a schema, as far as its types, enums, references and first alternatives go.
pub fn of(schema: &Value) -> Value {
    build(schema, schema, MAX_DEPTH)
}

fn build(schema: &Value, root: &Value, depth: usize) -> Value {
    if depth == 0 {
        return Value::Null;
    }
    let inner = |schema: &Value| build(schema, root, depth - 1);
    if let Some(target) = schema["$ref"].as_str().and_then(|path| root.pointer(path.strip_prefix('#')?)) {
        return inner(target);
    }
    if let Some(value) = schema.get("const").or_else(|| schema["enum"].get(0)) {
        return value.clone();
    }
    for alternatives in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema[alternatives].get(0) {
            return inner(first);
        }
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
    match kind {
        Some("string") => json!("simulated"),
        Some("integer") => schema.get("minimum").cloned().unwrap_or(json!(1)),
        Some("number") => schema.get("minimum").cloned().unwrap_or(json!(1.5)),
        Some("boolean") => json!(true),
        Some("null") => Value::Null,
        Some("array") => Value::Array(vec![inner(&schema["items"])]),
        _ => {
            let properties = schema["properties"].as_object();
            Value::Object(
                properties
                    .map_or_else(Map::new, |properties| properties.iter().map(|(name, schema)| (name.clone(), inner(schema))).collect()),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_fits_its_schema() {
        let person = json!({
            "type": "object",
            "properties": {
                "name": {"type": "string"}, "age": {"type": "integer", "minimum": 18}, "share": {"type": "number"}, "kind": {"enum": ["a", "b"]},
                "tags": {"type": "array", "items": {"type": "boolean"}}, "home": {"$ref": "#/$defs/Home"}, "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "maybe": {"type": ["integer", "null"]},
            },
            "$defs": {"Home": {"type": "object", "properties": {"city": {"type": "string"}}}},
        });
        for (schema, expected) in [
            (
                person,
                json!({"name": "simulated", "age": 18, "share": 1.5, "kind": "a", "tags": [true], "home": {"city": "simulated"}, "note": "simulated", "maybe": 1}),
            ),
            (json!({}), json!({})),
            (Value::Null, json!({})),
        ] {
            assert_eq!(of(&schema), expected);
        }
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let list = json!({"type": "object", "properties": {"next": {"$ref": "#"}}});
        assert!(of(&list)["next"]["next"].is_object());
    }
}
