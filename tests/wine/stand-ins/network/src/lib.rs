//! What wine lacks of a Windows node's network: this DLL, copied as `computenetwork.dll` and as `iphlpapi.dll` into
//! a prefix's system32, answers the calls that the launcher makes, and writes each one down.
//!
//! In `C:\native-host-stand-in` of the prefix, read at every call:
//!
//! - `endpoints`: a line for each endpoint, `ENDPOINT_GUID NAMESPACE_GUID COMPARTMENT FLAGS IP[,IP...]`. The namespace
//!   is `-` for none, the compartment 0 while the sandbox is not up, flag 1 an endpoint of another node.
//! - `ctrl-break`: whether it is there says whether CTRL_BREAK gets to other process groups ([`control`]).
//! - `faults`: lines `FUNCTION ERROR`, the number that a call returns (decimal, or hexadecimal after `0x`), or
//!   `FUNCTION ignored`: it says that all is well and does nothing.
//!
//! and written there:
//!
//! - `calls`: a line for each call, `PID FUNCTION ARG=VALUE... -> RESULT`.
//! - `compartment`: what `SetJobCompartmentId` was last told, and by which process.
//!
//! Where a thread is, is what it was last told itself; else, in any job, what `SetJobCompartmentId` was last told, but
//! not for the process that told it; else 1. wine cannot say which job a process is in, so one such job in a
//! prefix is all that can be played: a prefix is a container. Without the folder all calls fail as on a machine
//! that has no compartments.
#![cfg(windows)]
#![allow(non_snake_case)]

mod control;
mod folder;
mod hcn;
mod iphlpapi;
