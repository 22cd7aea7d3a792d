fn main() -> std::process::ExitCode {
    chainference_worker::engine::child::main()
}
