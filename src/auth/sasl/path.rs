//! Where the library is told to look for `memcached.conf`.

use std::path::{Path, PathBuf};

/// Folders that are looked at where the environment names none.
const FOLDERS: [&str; 2] = ["/etc/sasl", "/etc/sasl2"];
/// The file that the library reads in the folder it is told.
const FILE: &str = "memcached.conf";

/// `named` is what the environment says, and is not looked at; otherwise the first folder that has the file.
pub(super) fn find(named: Option<PathBuf>, exists: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let known = || {
        FOLDERS.iter().find_map(|folder| {
            let inner = Path::new(folder).join(FILE);
            if exists(&inner.join(FILE)) {
                // A folder that is named like the file.
                Some(inner)
            } else if exists(&inner) {
                Some(PathBuf::from(folder))
            } else {
                None
            }
        })
    };
    named.or_else(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_comes_first_and_then_the_folders_in_order() {
        let among = |there: &'static [&str]| {
            move |path: &Path| there.iter().any(|name| Path::new(name) == path)
        };
        let found = |there| find(None, among(there));
        assert_eq!(find(Some("/x".into()), among(&[])), Some("/x".into()));
        assert_eq!(found(&[]), None);
        assert_eq!(
            found(&["/etc/sasl2/memcached.conf"]),
            Some("/etc/sasl2".into())
        );
        assert_eq!(
            found(&["/etc/sasl/memcached.conf", "/etc/sasl2/memcached.conf"]),
            Some("/etc/sasl".into())
        );
        assert_eq!(
            found(&[
                "/etc/sasl/memcached.conf",
                "/etc/sasl/memcached.conf/memcached.conf"
            ]),
            Some("/etc/sasl/memcached.conf".into())
        );
    }
}
