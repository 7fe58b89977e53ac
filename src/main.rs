//! native-host
fn main() {}
