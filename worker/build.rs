//! Compiles the shims against the llama.cpp that `llama-cpp-sys-2` built and linked.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=shim");
    let source = llama_source();
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .file("shim/chat.cpp")
        // llama.cpp's headers are not ours to clean up.
        .warnings(false)
        .includes([
            source.join("common"),
            source.join("include"),
            source.join("ggml/include"),
            source.join("vendor"),
        ])
        .compile("chainference_chat");
    // Without OpenMP the directive is passed over, and so is the bound.
    cc::Build::new()
        .cpp(true)
        .file("shim/threads.cpp")
        .flag_if_supported("-fopenmp")
        .compile("chainference_threads");
}

/// The sys crate names only where its build installed ggml's cmake files; the cmake cache beside
/// them names the sources.
fn llama_source() -> PathBuf {
    let cmake_dir = PathBuf::from(
        env::var("DEP_LLAMA_GGML_CMAKE_DIR")
            .expect("llama-cpp-sys-2 tells where ggml's cmake files are"),
    );
    let out = cmake_dir.ancestors().nth(2).expect("they lie in OUT_DIR/lib/cmake");
    let cache = fs::read_to_string(out.join("build/CMakeCache.txt")).expect("cmake left its cache");
    let line = |line: &str| line.strip_prefix("CMAKE_HOME_DIRECTORY:INTERNAL=").map(PathBuf::from);
    cache.lines().find_map(line).expect("the cache names the source directory")
}
