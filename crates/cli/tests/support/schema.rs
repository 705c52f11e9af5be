//! Answers in JSON, held against the schemas in `docs/schemas`.

use std::path::Path;
use std::sync::LazyLock;

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::Value;

const WHERE: &str = "https://github.com/turnlock/turnlock/raw/main/docs/schemas/";

struct Known {
    schemas: Schemas,
    /// By what a document calls its schema.
    named: Vec<(String, SchemaIndex)>,
}

static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let (mut compiler, mut schemas, mut names) = (Compiler::new(), Schemas::new(), Vec::new());
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas");
    for entry in dir.read_dir().unwrap() {
        let path = entry.unwrap().path();
        let schema: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let id = format!("{WHERE}{}", path.file_name().unwrap().display());
        assert_eq!(schema["$id"], *id);
        let name = schema["properties"]["schema"]["const"].as_str().map(str::to_owned);
        compiler.add_resource(&id, schema).unwrap();
        names.extend(name.map(|name| (name, id)));
    }
    let compiled = names.into_iter().map(|(name, id)| {
        let index = compiler.compile(&id, &mut schemas);
        (name, index.unwrap_or_else(|error| panic!("{id}: {error:#}")))
    });
    let named = compiled.collect();
    Known { schemas, named }
});

/// A document of this schema. Fails if it is none, or none that its schema allows.
#[track_caller]
pub fn document(text: &str, schema: &str) -> Value {
    let told: Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"));
    assert_eq!(told["schema"], schema, "{text}");
    let (_, index) = KNOWN
        .named
        .iter()
        .find(|(name, _)| name == schema)
        .unwrap_or_else(|| panic!("no schema of {schema}"));
    let valid = KNOWN.schemas.validate(&told, *index);
    valid.unwrap_or_else(|error| panic!("{error:#}\n{text}"));
    told
}
