//! Compiles the `.proto` files in pure Rust, so that no `protoc` is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = protox::compile(["runlog/v1/query.proto"], ["."])?;
    prost_build::Config::new()
        .btree_map(["."])
        .type_attribute(".", "#[derive(serde::Serialize, serde::Deserialize)]")
        .type_attribute(".", "#[serde(default)]")
        .compile_fds(files)?;
    println!("cargo::rerun-if-changed=runlog");
    Ok(())
}
