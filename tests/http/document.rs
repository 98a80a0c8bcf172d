//! The OpenAPI document, as it is served, and answers held against it.

use std::collections::BTreeSet;

use boon::{Compiler, Schemas};
use serde_json::{Value, json};

/// Where the validator finds the document.
const URL: &str = "https://schemas.test/openapi.json";

/// The document, with every object closed: what it does not name is not to be in an answer.
pub(crate) struct Document {
    pub(crate) value: Value,
    strict: Value,
}

impl Document {
    pub(crate) fn new(value: Value) -> Self {
        let mut strict = value.clone();
        close(&mut strict);
        Self { value, strict }
    }

    /// Every operation: path, method, and what is said of it.
    pub(crate) fn operations(&self) -> Vec<(String, String, Value)> {
        let mut operations = Vec::new();
        for (path, item) in self.value["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                operations.push((path.clone(), method.to_uppercase(), operation.clone()));
            }
        }
        operations
    }

    /// The path of the document that an address is of.
    pub(crate) fn template(&self, path: &str) -> String {
        let fits = |template: &str| {
            let (parts, asked): (Vec<&str>, Vec<&str>) =
                (template.split('/').collect(), path.split('/').collect());
            let fits = |(part, asked): (&&str, &&str)| part == asked || part.starts_with('{');
            parts.len() == asked.len() && parts.iter().zip(&asked).all(fits)
        };
        let paths = self.value["paths"].as_object().unwrap();
        let mut fitting: Vec<&String> = paths.keys().filter(|template| fits(template)).collect();
        // `/replay` before `/{id}`.
        fitting.sort_by_key(|template| template.matches('{').count());
        fitting.first().unwrap_or_else(|| panic!("the document has no path for {path}")).to_string()
    }

    /// Fails unless an answer is one that the document tells of.
    pub(crate) fn check(
        &self,
        method: &str,
        path: &str,
        status: u16,
        content_type: Option<&str>,
        body: &Value,
    ) {
        let template = self.template(path);
        let method = method.to_lowercase();
        let what = format!("{method} {path}: {status}");
        let response = &self.value["paths"][&template][&method]["responses"][status.to_string()];
        assert!(response.is_object(), "the document does not tell of {what}: {body}");
        let Some(content) = response["content"].as_object() else {
            assert!(content_type.is_none() && body.is_null(), "{what} has a body: {body}");
            return;
        };
        let content_type = content_type.unwrap_or_else(|| panic!("{what} has no content type"));
        assert!(content.contains_key(content_type), "the document does not tell of {what}, {content_type}");
        let escaped =
            |text: &str| text.replace('~', "~0").replace('/', "~1").replace('{', "%7B").replace('}', "%7D");
        let pointer = format!(
            "{URL}#/paths/{}/{method}/responses/{status}/content/{}/schema",
            escaped(&template),
            escaped(content_type)
        );
        let mut schemas = Schemas::new();
        let mut compiler = Compiler::new();
        compiler.enable_format_assertions();
        compiler.add_resource(URL, self.strict.clone()).unwrap();
        let schema = compiler.compile(&pointer, &mut schemas).unwrap();
        if let Err(error) = schemas.validate(body, schema) {
            panic!("{what} is not what the document says: {error}\n{body}");
        }
    }
}

/// Closes every object that lists its properties, but for those that others are put together of.
fn close(document: &mut Value) {
    let mut parts = BTreeSet::new();
    visit(document, &mut |value| {
        for part in value["allOf"].as_array().into_iter().flatten() {
            parts.extend(part["$ref"].as_str().map(|name| name.rsplit('/').next().unwrap().to_owned()));
        }
    });
    let of_parts: Vec<(String, Value)> = document["components"]["schemas"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, _)| parts.contains(*name))
        .map(|(name, schema)| (name.clone(), schema.clone()))
        .collect();
    close_below(document, false);
    for (name, schema) in of_parts {
        document["components"]["schemas"][name] = schema;
    }
}

fn close_below(value: &mut Value, is_part: bool) {
    match value {
        Value::Object(object) => {
            for (name, value) in object.iter_mut() {
                close_below(value, name == "allOf");
            }
            if !is_part
                && (object.contains_key("allOf") || object.get("properties").is_some_and(Value::is_object))
            {
                object.insert("unevaluatedProperties".to_owned(), json!(false));
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| close_below(value, is_part)),
        _ => {}
    }
}

fn visit(value: &Value, see: &mut impl FnMut(&Value)) {
    see(value);
    match value {
        Value::Object(object) => object.values().for_each(|value| visit(value, see)),
        Value::Array(values) => values.iter().for_each(|value| visit(value, see)),
        _ => {}
    }
}

fn document() -> Document {
    let document = channel_sync::http::api::document().to_json().unwrap();
    Document::new(serde_json::from_str(&document).unwrap())
}

#[test]
fn every_reference_leads_somewhere() {
    let Document { value, .. } = document();
    let mut references = BTreeSet::new();
    visit(&value, &mut |value| references.extend(value["$ref"].as_str().map(str::to_owned)));
    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(value.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

#[test]
fn every_schema_can_be_compiled() {
    let Document { value, strict } = document();
    for name in value["components"]["schemas"].as_object().unwrap().keys() {
        let mut compiler = Compiler::new();
        compiler.add_resource(URL, strict.clone()).unwrap();
        compiler.compile(&format!("{URL}#/components/schemas/{name}"), &mut Schemas::new()).unwrap();
    }
}

#[test]
fn every_operation_is_told_whole() {
    let document = document();
    assert_eq!(document.value["openapi"], "3.1.0");
    let mut ids = BTreeSet::new();
    for (path, method, operation) in document.operations() {
        let what = format!("{method} {path}");
        let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{what} has no id"));
        assert!(ids.insert(id.to_owned()), "{what} has the id of another: {id}");
        assert!(operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{what}");
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let in_path: BTreeSet<String> = parameters
            .iter()
            .filter(|parameter| parameter["in"] == "path")
            .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
            .collect();
        let named: BTreeSet<String> = path
            .split('/')
            .filter_map(|part| Some(part.strip_prefix('{')?.strip_suffix('}')?.to_owned()))
            .collect();
        assert_eq!(in_path, named, "{what}");
        for parameter in &parameters {
            assert!(
                parameter["description"].as_str().is_some_and(|text| !text.is_empty()),
                "{what}: {parameter}"
            );
        }
        let responses = operation["responses"].as_object().unwrap();
        for status in ["400", "401", "421", "503"] {
            assert!(responses.contains_key(status), "{what} does not tell of {status}");
        }
        assert_eq!(responses.contains_key("403"), method != "GET", "{what}");
        let takes_body = method == "POST";
        assert_eq!(operation["requestBody"].is_object(), takes_body, "{what}");
    }
    let schemes = document.value["components"]["securitySchemes"].as_object().unwrap();
    for required in document.value["security"].as_array().unwrap() {
        assert!(required.as_object().unwrap().keys().all(|name| schemes.contains_key(name)));
    }
}
