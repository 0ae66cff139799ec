//! A description as a server serves it, and schemas in it.

use integration_tests::server::{Server, json};
use serde_json::{Value, json};

/// A description.
pub(super) struct Document(pub(super) Value);

impl Document {
    pub(super) async fn of(server: &Server, path: &str) -> Self {
        let answer = server.client.get(server.at(path)).send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "application/json");
        Self(json(answer).await)
    }

    /// A value of the document, or the value that it refers to.
    pub(super) fn resolved<'document>(&'document self, value: &'document Value) -> &'document Value {
        match value["$ref"].as_str() {
            None => value,
            Some(place) => {
                let pointer = place.strip_prefix('#').expect("references stay in the document");
                self.0.pointer(pointer).unwrap_or_else(|| panic!("{place} leads nowhere"))
            }
        }
    }

    /// Asserts that everything that is referred to is there.
    pub(super) fn assert_references_lead_somewhere(&self) {
        fn walk(document: &Document, value: &Value) {
            match value {
                Value::Object(members) => {
                    if members.contains_key("$ref") {
                        document.resolved(value);
                    }
                    members.values().for_each(|member| walk(document, member));
                }
                Value::Array(items) => items.iter().for_each(|item| walk(document, item)),
                _ => {}
            }
        }
        walk(self, &self.0);
    }

    /// Asserts that a value is what a schema of the document says.
    pub(super) fn assert_valid(&self, schema: &Value, value: &Value) {
        let whole = json!({ "allOf": [schema], "components": self.0["components"] });
        let validator = jsonschema::options().should_validate_formats(true).build(&whole).unwrap();
        let errors: Vec<_> = validator
            .iter_errors(value)
            .map(|error| format!("{} at {}", error, error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{errors:#?}\n{value:#}");
    }
}
