//! ntcom-fuzz
