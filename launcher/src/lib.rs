//! The contract between the webhook and `native-host-launcher.exe`.
