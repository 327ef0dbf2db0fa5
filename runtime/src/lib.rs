//! ntcom
