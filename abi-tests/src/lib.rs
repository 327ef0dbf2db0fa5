//! ntcom-abi-tests
