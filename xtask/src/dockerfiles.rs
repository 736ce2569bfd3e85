//! The Dockerfiles, held to what `cargo xtask image` builds: nobody here has a container engine to build them with.
//!
//! Both make the same images. What drifts apart is caught by name: packages, profiles, programs, the toolchain, the
//! entry point, and the libraries that the programs are linked to.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::shell::root;

/// What a Dockerfile must say.
struct Expected<'a> {
    /// Packages it builds.
    packages: &'a [&'a str],
    /// Programs it copies out of the build.
    programs: &'a [&'a str],
    /// The last word of its entry point.
    entrypoint: &'a str,
}

/// What of the workspace's manifest it is held to.
struct Workspace<'a> {
    manifest: &'a str,
    /// Minor release of Rust that the manifest asks for, such as `1.95`.
    rust: &'a str,
    version: &'a str,
}

/// Checks both.
pub(crate) fn run() -> Result<()> {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).context("Cargo.toml")?;
    let workspace = Workspace::of(&manifest)?;
    let both = [
        ("deploy/images/Dockerfile", &["rfuse-fuse", "rfuse-csi"][..], &["rfuse", "rfuse-csi"][..], "rfuse-csi"),
        ("deploy/images/rfuse-jobs.Dockerfile", &["rfuse-resim"], &["rfuse-resim"], "rfuse-resim"),
    ];
    let mut wrong = Vec::new();
    for (name, packages, programs, entrypoint) in both {
        let text = std::fs::read_to_string(root().join(name)).context(name)?;
        let expected = Expected { packages, programs, entrypoint };
        wrong.extend(faults(&text, &expected, &workspace).into_iter().map(|fault| format!("{name}: {fault}")));
    }
    if wrong.is_empty() {
        return Ok(());
    }
    bail!("{}", wrong.join("\n  "))
}

impl<'a> Workspace<'a> {
    fn of(manifest: &'a str) -> Result<Self> {
        let value = |name: &str| {
            let line = manifest.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_prefix('='));
            line.map(|value| value.trim().trim_matches('"')).with_context(|| format!("Cargo.toml has no {name}"))
        };
        Ok(Self { manifest, rust: value("rust-version")?, version: value("version")? })
    }

    fn has_profile(&self, name: &str) -> bool {
        matches!(name, "release" | "dev") || self.manifest.contains(&format!("[profile.{name}]"))
    }
}

/// Everything in a Dockerfile that is not as the workspace is.
fn faults(text: &str, expected: &Expected<'_>, workspace: &Workspace<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    let Some(build) = text.lines().find(|line| line.starts_with("RUN ") && line.contains("cargo build")) else {
        return vec!["it builds nothing".to_owned()];
    };
    let words: Vec<&str> = build.split_whitespace().collect();
    let after = |flags: [&str; 2]| -> Vec<&str> {
        words.windows(2).filter(|pair| flags.contains(&pair[0])).map(|pair| pair[1]).collect()
    };
    if after(["-p", "--package"]) != expected.packages {
        faults.push(format!("it builds {:?}, not {:?}", after(["-p", "--package"]), expected.packages));
    }
    if !words.contains(&"--locked") {
        faults.push("it builds without --locked".to_owned());
    }
    let profile = after(["--profile", "--profile"]).first().copied();
    let profile = profile.unwrap_or(if words.contains(&"--release") { "release" } else { "debug" });
    if !workspace.has_profile(profile) {
        faults.push(format!("there is no profile {profile}"));
    }
    let copied: Vec<&str> = text.lines().filter(|line| line.starts_with("COPY --from=build")).collect();
    for program in expected.programs {
        let path = format!("/src/target/{profile}/{program}");
        if !copied.iter().any(|line| line.split_whitespace().any(|word| word == path)) {
            faults.push(format!("it does not copy {path}"));
        }
    }
    let toolchain = format!("rust:{}-", workspace.rust);
    if !text.contains(&toolchain) {
        faults.push(format!("its toolchain is not {toolchain}…"));
    }
    let entry = text.lines().find_map(|line| line.strip_prefix("ENTRYPOINT "));
    let last = entry.map(|entry| entry.trim_matches(['[', ']', '"'].as_slice()));
    if last.and_then(|path| Path::new(path).file_name()).is_none_or(|name| name != expected.entrypoint) {
        faults.push(format!("its entry point is {entry:?}, not {}", expected.entrypoint));
    }
    let tags = text.split_whitespace().filter_map(|word| word.strip_prefix("rfuse-")?.split_once(':'));
    faults.extend(
        tags.filter(|(_, tag)| *tag != workspace.version)
            .map(|(_, tag)| format!("it is tagged {tag}, and this is {}", workspace.version)),
    );
    faults
}

/// The libraries that a Dockerfile on an empty base copies, by name; none: its base brings them.
pub(crate) fn libraries_copied(text: &str) -> Option<Vec<&str>> {
    if !text.lines().any(|line| line == "FROM scratch") {
        return None;
    }
    let copies = text.lines().filter(|line| line.starts_with("COPY --from=files"));
    let words = copies.flat_map(str::split_whitespace).filter(|word| word.contains(".so."));
    Some(words.filter_map(|word| word.rsplit('/').next()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "FROM rust:1.95-bookworm AS build\n#  docker build -t rfuse-x:0.1.0 .\n\
                        RUN cargo build --release --locked -p rfuse-x\nFROM scratch\n\
                        COPY --from=files /lib/libc.so.6 /lib/\nCOPY --from=build /src/target/release/x /usr/bin/\n\
                        ENTRYPOINT [\"/usr/bin/x\"]\n";

    fn found(text: &str) -> Vec<String> {
        let workspace = Workspace { manifest: "", rust: "1.95", version: "0.1.0" };
        faults(text, &Expected { packages: &["rfuse-x"], programs: &["x"], entrypoint: "x" }, &workspace)
    }

    #[test]
    fn what_drifts_from_the_workspace_is_named() {
        assert_eq!(found(GOOD), Vec::<String>::new());
        for (from, to, fault) in [
            ("-p rfuse-x", "-p rfuse-y", "builds"),
            ("--locked ", "", "--locked"),
            ("--release", "--profile fast", "profile fast"),
            ("release/x", "release/y", "does not copy"),
            ("rust:1.95", "rust:1.80", "toolchain"),
            ("/usr/bin/x\"", "/usr/bin/z\"", "entry point"),
            (":0.1.0", ":0.2.0", "tagged 0.2.0"),
        ] {
            let faults = found(&GOOD.replace(from, to)).join("; ");
            assert!(faults.contains(fault), "{from} → {to}: {faults}");
        }
    }

    #[test]
    fn libraries_are_those_of_an_empty_base() {
        assert_eq!(libraries_copied(GOOD), Some(vec!["libc.so.6"]));
        assert_eq!(libraries_copied(&GOOD.replace("FROM scratch", "FROM debian")), None);
    }

    #[test]
    fn the_shipped_files_are_in_order() {
        run().unwrap();
    }
}
