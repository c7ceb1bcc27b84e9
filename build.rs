//! Turns the YAML catalogues of `knowledge/` into a JSON document each at build time: YAML is for people to read and to
//! write, and reading 200 KB of it at every start would cost more than planning a Dockerfile.

#![allow(clippy::disallowed_methods, reason = "it runs before there is a program")]

use std::{env, fs, path::Path};

fn main() {
    println!("cargo::rerun-if-changed=knowledge");
    let mut names: Vec<_> =
        fs::read_dir("knowledge").expect("knowledge/").map(|e| e.expect("an entry").path()).collect();
    names.retain(|p| p.extension().is_some_and(|x| x == "yaml"));
    names.sort();
    let out = env::var_os("OUT_DIR").expect("set by cargo");
    for path in names {
        println!("cargo::rerun-if-changed={}", path.display());
        let text = fs::read_to_string(&path).expect("a readable catalogue");
        let value: serde_json::Value =
            serde_yaml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let json = Path::new(&out).join(path.file_stem().expect("a name")).with_extension("json");
        fs::write(json, value.to_string()).expect("writable OUT_DIR");
    }
}
