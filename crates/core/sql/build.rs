//! Compiles `src/parse/shim.c`, which calls the parser that the `pg_query` crate links.

fn main() {
    println!("cargo:rerun-if-changed=src/parse/shim.c");
    cc::Build::new().file("src/parse/shim.c").warnings(true).extra_warnings(true).compile("countersign_parse_shim");
}
