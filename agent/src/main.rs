//! The `runlog` program.

fn main() -> std::process::ExitCode {
    runlog::cli::main()
}
