//! ntcom-exec
