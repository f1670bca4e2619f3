//! Builds the BPF programs with clang, and turns their shared headers into Rust constants.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use libbpf_cargo::SkeletonBuilder;

fn main() -> Result<(), Box<dyn Error>> {
    let bpf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bpf");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    for name in ["steer", "pump"] {
        let (source, header) = (bpf.join(format!("{name}.bpf.c")), bpf.join(format!("{name}.h")));
        println!("cargo:rerun-if-changed={}", source.display());
        println!("cargo:rerun-if-changed={}", header.display());
        fs::write(out.join(format!("{name}_h.rs")), constants(&fs::read_to_string(&header)?)?)?;

        // <asm/types.h> lives in a directory per architecture that clang does not search for -target bpf.
        let triple = format!("{}-linux-gnu", env::var("CARGO_CFG_TARGET_ARCH")?);
        SkeletonBuilder::new()
            .source(&source)
            .obj(out.join(format!("{name}.bpf.o")))
            .clang_args([
                "-I".to_owned(),
                format!("/usr/include/{triple}"),
                "-mcpu=v3".into(),
                "-Wall".into(),
            ])
            .build()
            .map_err(|error| {
                format!("{error:#}\nclang, libbpf-dev and linux-libc-dev are needed: cargo xtask setup")
            })?;
    }
    Ok(())
}

/// `#define NAME number` becomes a constant, the X() lines, where there are some, become the list of causes.
fn constants(header: &str) -> Result<String, Box<dyn Error>> {
    let mut rust = String::new();
    let mut causes = Vec::new();
    for line in header.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let ["#define", name, number] = words[..]
            && let Ok(number) = number.parse::<u32>()
        {
            writeln!(rust, "pub(crate) const {name}: u32 = {number};")?;
        }
        if let Some(name) = line.trim().strip_prefix("X(").and_then(|rest| rest.split(')').next()) {
            causes.push(name.to_lowercase());
        }
    }
    if causes.is_empty() {
        return Ok(rust);
    }
    writeln!(rust, "pub(crate) const CAUSES: [&str; {}] = {causes:?};", causes.len())?;
    Ok(rust)
}
