//! The lowest versions that the manifest accepts are those that are tried.

use std::collections::BTreeMap;

/// Each dependency with its version, of those parts of a manifest that count for dependents.
fn versions(manifest: &str) -> BTreeMap<&str, &str> {
    let mut part = "";
    let mut versions = BTreeMap::new();
    for line in manifest.lines() {
        if let Some(name) = line.strip_prefix('[') {
            part = name.trim_end_matches(']');
            continue;
        }
        let counts = [
            "dependencies",
            "workspace.dependencies",
            "target.'cfg(target_os = \"linux\")'.dependencies",
        ]
        .contains(&part);
        let Some((name, value)) = line.split_once(" = ").filter(|_| counts) else { continue };
        let version = match value.split_once("version = ") {
            Some((_, version)) => version,
            None if value.starts_with('"') => value,
            None => continue,
        };
        versions.insert(name, version.split('"').nth(1).unwrap());
    }
    versions
}

/// What a dependent gets that has the lowest version of everything.
fn lowest(requirement: &str) -> &str {
    let first = requirement.split(',').next().unwrap_or_default();
    first.trim_start_matches(['>', '=', '~', '^'])
}

#[test]
fn the_lowest_version_of_each_dependency_is_built_by_an_adopter() {
    let ours = versions(include_str!("../../Cargo.toml"));
    let adopter = versions(include_str!("../adopter/Cargo.toml"));
    // Of the feature `gateway`, which adopters of the library do not use; and of tests.
    let others = ["procfs", "ureq", "tempfile", "turnlock"];
    assert!(ours.len() > 15, "{ours:?}");
    for (name, requirement) in ours {
        if others.contains(&name) {
            continue;
        }
        let expected = format!("={}", lowest(requirement));
        assert_eq!(adopter.get(name), Some(&expected.as_str()), "{name}");
    }
}
