//! Schemas of what is written and read, made from the very types by schemars. OpenAPI 3.1 and AsyncAPI 3 both take
//! them as they are.

use schemars::{
    JsonSchema, Schema, SchemaGenerator,
    generate::{Contract, SchemaSettings},
    transform::RecursiveTransform,
};
use serde_json::{Map, Value, json};
use utoipa::openapi::Ref;
use worker::{Size, Upload, UploadId};

use crate::{
    health::{Health, Limits, Readiness},
    problem::Problem,
    uploads::accept::Taken,
};

/// Where both descriptions keep schemas.
const PLACE: &str = "/components/schemas";

/// Makes schemas of what this server writes (`Contract::Serialize`) or reads.
pub(super) fn generator(contract: Contract) -> SchemaGenerator {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = PLACE.into();
        settings.meta_schema = None;
        settings.contract = contract;
    });
    settings.with_transform(RecursiveTransform(never_null)).into_generator()
}

/// What is absent is left out, and never written as `null`.
fn never_null(schema: &mut Schema) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = &types[..] {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.retain(|choice| *choice != json!({ "type": "null" }));
        if let [Value::Object(only)] = &choices[..] {
            let only = only.clone();
            schema.remove("anyOf");
            only.into_iter().for_each(|(keyword, value)| drop(schema.insert(keyword, value)));
        }
    }
}

/// Every schema that an operation names with [`of`].
pub(super) fn of_answers() -> Map<String, Value> {
    let mut generator = generator(Contract::Serialize);
    generator.subschema_for::<Taken>();
    generator.subschema_for::<Upload>();
    generator.subschema_for::<UploadId>();
    generator.subschema_for::<Size>();
    generator.subschema_for::<Problem>();
    generator.subschema_for::<Limits>();
    generator.subschema_for::<Health>();
    generator.subschema_for::<Readiness>();
    generator.take_definitions(true)
}

/// The schema of a type, by its name.
pub(super) fn of<T: JsonSchema>() -> Ref {
    Ref::from_schema_name(T::schema_name())
}
