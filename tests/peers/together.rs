//! Appending together, and what is in the file afterwards.
