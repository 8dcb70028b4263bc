//! No file names the host of a package registry: where packages come from is the machine's setting, not the project's.

use crate::tree::{Fault, Tree};

/// In parts, since this file may not name them either.
const HOSTS: [(&str, &str); 7] = [
    ("crates", "io"),
    ("pypi", "org"),
    ("registry.npmjs", "org"),
    ("proxy.golang", "org"),
    ("sum.golang", "org"),
    ("deb.debian", "org"),
    ("repo.maven.apache", "org"),
];

/// Cargo writes it, and the registry's name is part of its format.
const EXEMPT: &str = "Cargo.lock";

/// Lines that name one.
pub fn faults(tree: &Tree) -> Vec<Fault> {
    let hosts = HOSTS.map(|(name, domain)| format!("{name}.{domain}"));
    let mut faults = Vec::new();
    for file in tree.files.iter().filter(|file| file.path != EXEMPT) {
        // Looked for in the whole first: most files name none.
        let text = file.text.to_ascii_lowercase();
        for host in hosts.iter().filter(|host| text.contains(host.as_str())) {
            let lines = text.lines().enumerate().filter(|(_, line)| line.contains(host.as_str()));
            faults.extend(lines.map(|(at, _)| {
                file.fault(
                    at + 1,
                    format!("names {host}; leave the registry to the settings of cargo, pip, npm, go or apt"),
                )
            }));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::places;

    #[test]
    fn registry_is_found_in_any_file_but_the_lock() {
        let named = HOSTS.map(|(name, domain)| format!("a\nhttps://index.{}.{domain}/b\n", name.to_uppercase()));
        let mut files: Vec<(&str, &str)> = named.iter().map(|text| ("tests/tools/a", text.as_str())).collect();
        files.push((EXEMPT, &named[0]));
        assert_eq!(places(&faults(&Tree::with(&files))), [("tests/tools/a", 2); HOSTS.len()]);
    }
}
