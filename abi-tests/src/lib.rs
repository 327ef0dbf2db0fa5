//! The binary interface of ntcom, pinned: the tests hold the runtime's types against the numbers of the contract
//! (docs/abi-contract.md), which are written out by hand and never computed.
