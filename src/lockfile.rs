//! Door 2: the lock file.

// The seams: these expectations fall away as the lock core takes the modules up.
#[cfg_attr(
    not(test),
    expect(dead_code, unused_imports, reason = "used by the lock core")
)]
pub(crate) mod probe;
#[cfg_attr(not(test), expect(dead_code, reason = "used by the lock core"))]
pub(crate) mod process;
#[cfg_attr(
    not(test),
    expect(dead_code, unused_imports, reason = "used by the lock core")
)]
pub(crate) mod verdict;
