//! native-host: arguments in, one command out.

fn main() -> std::process::ExitCode {
    native_host::cli::main()
}
