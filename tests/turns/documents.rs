//! What the documents name.

use std::fs;
use std::path::{Path, PathBuf};

/// The file of a test, by the names of its binary and its modules.
fn file_of(modules: &[&str]) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = modules.iter().collect::<PathBuf>().with_extension("rs");
    let places = ["tests", "crates/cli/tests"].map(|place| root.join(place).join(&path));
    places.into_iter().find(|path| path.exists())
}

#[test]
fn every_test_that_the_page_on_security_names_exists() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/security.md");
    let page = fs::read_to_string(page).unwrap();
    let named: Vec<_> = page.split('`').filter(|word| word.contains("::")).collect();
    assert!(named.len() > 40, "{named:?}");
    for name in named {
        let mut modules: Vec<_> = name.split("::").collect();
        let test = modules.pop().unwrap();
        let file = file_of(&modules).unwrap_or_else(|| panic!("no file of {name}"));
        let text = fs::read_to_string(file).unwrap();
        assert!(text.contains(&format!("#[test]\nfn {test}() {{")), "no test {name}");
    }
}
