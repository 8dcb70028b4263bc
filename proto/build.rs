//! Compiles the `.proto` files in pure Rust, so that no `protoc` is needed.

use prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = protox::compile(["runlog/v1/query.proto", "runlog/v1/run.proto"], ["."])?;
    let described = std::path::Path::new(&std::env::var("OUT_DIR")?).join("runlog.v1.descriptors");
    std::fs::write(described, files.encode_to_vec())?;
    let mut config = prost_build::Config::new();
    config
        .btree_map(["."])
        // Their JSON is not what serde would derive.
        .extern_path(".runlog.v1.Value", "crate::value::Value")
        .extern_path(".runlog.v1.Values", "crate::value::Values")
        .type_attribute(".", "#[derive(serde::Serialize, serde::Deserialize)]")
        .type_attribute(".", "#[serde(default)]")
        .field_attribute("time", "#[serde(deserialize_with = \"crate::value::text_or_number\")]");
    tonic_prost_build::configure().build_transport(false).compile_fds_with_config(files, config)?;
    println!("cargo::rerun-if-changed=runlog");
    Ok(())
}
